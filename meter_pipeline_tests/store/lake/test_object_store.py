"""A lake on an object store: what is loaded, what is published, what breaks off and what cannot be used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.files import RemoteFiles, open_files
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.lake.part_files import writing_part
from meter_pipeline.store.warehouse import lake_copy as mirror
from meter_pipeline.store.warehouse import publications
from meter_pipeline.store.warehouse.build import publish
from meter_pipeline_tests.behaviour.station import Station, assert_equal, insert_drifting

SECRET = "canary/secret+0123456789"
_SPELLED = "canary%2Fsecret%2B0123456789"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server with the bucket `lakes`; its address as it stands in a URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    address = f"127.0.0.1%3A{running.get_host_and_port()[1]}"
    store, _ = fs.FileSystem.from_uri(f"{url('lakes', address)}&allow_bucket_creation=true")
    store.create_dir("lakes")
    yield address
    running.stop()


def url(place: str, address: str) -> str:
    """A URL with the keys in it."""
    return f"s3://AKIACANARY:{_SPELLED}@{place}?region=us-east-1&scheme=http&endpoint_override={address}"


@pytest.fixture
def place(server: str, tmp_path: Path) -> str:
    """The URL of a folder of the test's own."""
    return url(f"lakes/{tmp_path.name}", server)


@pytest.fixture
def shared(place: str, make_station: Callable[..., Station], empty_sandbox: Sandbox) -> Station:
    """A station whose lake is on the store, on a sandbox with fields that drift."""
    insert_drifting(empty_sandbox, 24)
    station = make_station(empty_sandbox, "shared")
    station.lake = Lake.open(place)
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
    secrets = [SECRET.encode(), _SPELLED.encode()]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if any(secret in file.read_bytes() for secret in secrets)]


@pytest.mark.parametrize(("young", "taken_over"), [(-3600, True), (mirror._YOUNG, False)])
def test_a_publication_copies_what_may_have_changed_since_the_one_before(
    shared: Station,
    empty_sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    young: int,
    taken_over: bool,
) -> None:
    monkeypatch.setattr(mirror, "_YOUNG", young)
    path = tmp_path / "warehouse.duckdb"
    shared.sync()
    before = publish(shared.ledger, shared.lake, path)
    insert_drifting(empty_sandbox, 2, names=("Beta",))
    shared.sync()
    after = publish(shared.ledger, shared.lake, path)
    old, new = (_copies(path, publication.publication_id) for publication in (before, after))
    kept = {name for name, number in new.items() if old.get(name) == number}
    assert kept == ({name for name in old if "strategy=alpha" in name} if taken_over else set())


def _copies(path: Path, publication_id: str) -> dict[str, int]:
    """The numbers of a publication's Parquet files."""
    root = publications.folder_of(path) / publication_id / "lake"
    return {file.relative_to(root).as_posix(): file.stat().st_ino for file in root.rglob("*.parquet")}


def test_a_strategy_in_the_middle_of_a_rewrite_is_not_published(
    shared: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_TRIES", 2)
    shared.sync()
    other = pa.table({"_meter_job_id": ["x"]})
    name = "results/strategy=alpha/month=1999-01/part-00000.parquet"
    with writing_part(shared.lake.files, name, other.schema) as writer:
        writer.write_table(other)
    with pytest.raises(LakeError, match=r"^alpha: a load is changing the files, or was cut off; publish again"):
        publish(shared.ledger, shared.lake, tmp_path / "warehouse.duckdb")
    assert not list(publications.folder_of(tmp_path / "warehouse.duckdb").iterdir())


def test_a_write_that_breaks_off_leaves_the_object_as_it_was(place: str) -> None:
    files = open_files(place)
    with files.writing("note") as file:
        file.write(b"whole")

    def broken() -> None:
        with files.writing("note") as file:
            file.write(b"ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert files.source("note").read() == b"whole"


def test_an_empty_object_and_a_large_one_can_be_written_and_read(place: str, tmp_path: Path) -> None:
    files = open_files(place)
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
        (f"s4://AKIACANARY:{_SPELLED}@lakes/x", "METER_LAKE_URL cannot be used: Unrecognized filesystem type"),
        (f"s3://AKIACANARY:{_SPELLED}@lakes/x?secret_key={SECRET}", "METER_LAKE_URL cannot be used: Unexpected query"),
        ("s3:/lakes/x", "METER_LAKE_URL is neither a path nor a URL"),
        ("s3://", "METER_LAKE_URL"),
        (url("lakes/x", "127.0.0.1%3A9"), "lake s3://lakes/x: .*Could not connect to server; check METER_LAKE_URL"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_without_its_secrets(broken: str, message: str) -> None:
    with pytest.raises(LakeError, match=f"^{message}") as raised:
        Lake.open(broken)
    for secret in (SECRET, _SPELLED, "canary"):
        assert secret not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_bucket_is_one_line(server: str) -> None:
    with pytest.raises(LakeError, match=r"lake s3://nobody/lake: .*bucket does not exist; check METER_LAKE_URL"):
        Lake.open(url("nobody/lake", server))
