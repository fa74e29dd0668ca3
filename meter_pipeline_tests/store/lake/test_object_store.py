"""A lake on an object store: what is loaded, what is published, what breaks off and what cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.files import RemoteFiles, open_files
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.warehouse.build import publish
from meter_pipeline_tests.behaviour.station import Station, assert_equal, insert_drifting
from meter_pipeline_tests.servers import SECRET, SPELLED_SECRET, store_url


@pytest.fixture
def shared(store_place: str, make_station: Callable[..., Station], empty_sandbox: Sandbox) -> Station:
    """A station whose lake is on the store, on a sandbox with fields that drift."""
    insert_drifting(empty_sandbox, 24)
    station = make_station(empty_sandbox, "shared")
    station.lake = Lake.open(store_place)
    return station


def test_a_lake_on_an_object_store_holds_what_a_folder_holds(
    shared: Station,
    make_station: Callable[..., Station],
    empty_sandbox: Sandbox,
) -> None:
    local = make_station(empty_sandbox, "local")
    local.sync()
    assert not shared.sync().problems
    assert_equal(shared, local)
    insert_drifting(empty_sandbox, 6, names=("Gamma",))
    shared.sync(again=True, strategies=["Alpha"])
    shared.sync()
    local.sync()
    assert_equal(shared, local)


def test_it_is_published_without_extensions_and_without_its_keys(shared: Station, tmp_path: Path) -> None:
    shared.sync()
    path = tmp_path / "warehouse.duckdb"
    publish(shared.ledger, shared.lake, path)
    with duckdb.connect(str(path), read_only=True) as connection:
        for slug in shared.slugs:
            rows = connection.execute(f"SELECT count(*) FROM results.{slug}").fetchall()
            assert rows == [(shared.results(slug).num_rows,)]
        assert connection.execute("SELECT count(*) FROM meter.item_changes").fetchall() != [(0,)]
    secrets = [SECRET.encode(), SPELLED_SECRET.encode()]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if any(secret in file.read_bytes() for secret in secrets)]


def test_a_write_that_breaks_off_leaves_the_object_as_it_was(store_place: str) -> None:
    files = open_files(store_place)
    with files.writing("note") as file:
        file.write(b"whole")

    def broken() -> None:
        with files.writing("note") as file:
            file.write(b"ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert files.source("note").read() == b"whole"


def test_an_empty_object_and_a_large_one_can_be_written_and_read(store_place: str, tmp_path: Path) -> None:
    files = open_files(store_place)
    assert isinstance(files, RemoteFiles)
    for content in (b"", b"0123456789abcdef" * 2_500_000):
        with files.writing("some") as file:
            file.write(content)
        assert files.source("some").read() == content
        files.fetch("some", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == content


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (f"s3://AKIACANARY:{SECRET} @lakes/x", r"METER_LAKE_URL cannot be used: Cannot parse URI: '\*\*\*'"),
        (f"s3://AKIACANARY:{SECRET}@lakes/x", r"METER_LAKE_URL cannot be used: Cannot parse URI: '\*\*\*'"),
        (f"s4://AKIACANARY:{SPELLED_SECRET}@lakes/x", "METER_LAKE_URL cannot be used: Unrecognized filesystem type"),
        (
            f"s3://AKIACANARY:{SPELLED_SECRET}@lakes/x?secret_key={SECRET}",
            "METER_LAKE_URL cannot be used: Unexpected query",
        ),
        ("s3:/lakes/x", "METER_LAKE_URL is neither a path nor a URL"),
        ("s3://", "METER_LAKE_URL"),
        (
            store_url("lakes/x", "127.0.0.1%3A9"),
            "lake s3://lakes/x: .*Could not connect to server; check METER_LAKE_URL",
        ),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_without_its_secrets(broken: str, message: str) -> None:
    with pytest.raises(LakeError, match=f"^{message}") as raised:
        Lake.open(broken)
    for secret in (SECRET, SPELLED_SECRET, "canary"):
        assert secret not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_bucket_is_one_line(object_store: str) -> None:
    with pytest.raises(LakeError, match=r"lake s3://nobody/lake: .*bucket does not exist; check METER_LAKE_URL"):
        Lake.open(store_url("nobody/lake", object_store))
