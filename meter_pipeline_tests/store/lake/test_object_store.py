"""A lake on an object store: what is loaded, what is published, what breaks off and what cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake import remote, s3
from meter_pipeline.store.lake.files import RemoteFiles, open_files
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.lake.s3 import S3Store
from meter_pipeline.store.lake.stores import ArrowStore, ObjectStore
from meter_pipeline.store.warehouse.build import publish
from meter_pipeline_tests.behaviour.station import Station, assert_equal, insert_drifting
from meter_pipeline_tests.object_server import ObjectServer
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


@pytest.fixture(params=["the client of AWS", "PyArrow's client"])
def store(request: pytest.FixtureRequest, object_store: str) -> ObjectStore:
    """The test's server through each of the clients."""
    url = store_url("lakes", object_store)
    if request.param == "the client of AWS":
        return S3Store(f"AKIACANARY:{SPELLED_SECRET}", url.partition("?")[2])
    return ArrowStore(fs.FileSystem.from_uri(url)[0])


@pytest.mark.parametrize("content", [b"", b"0123456789abcdef" * 1_500_000], ids=["empty", "large"])
def test_objects_are_written_listed_read_copied_and_deleted(
    store: ObjectStore, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_PUT_BYTES", "_UPLOAD_BYTES"):
        monkeypatch.setattr(s3, name, 6 * 2**20)
    folder = f"lakes/{tmp_path.name}-{type(store).__name__}-{len(content)}"
    with (tmp_path / "file").open("w+b") as file:
        file.write(content)
        file.flush()
        store.put(f"{folder}/a/é b", file, len(content))
    store.copy(f"{folder}/a/é b", f"{folder}/b/copy")
    states = dict(store.list_below(f"{folder}/"))
    assert {key: state.size for key, state in states.items()} == {
        f"{folder}/a/é b": len(content),
        f"{folder}/b/copy": len(content),
    }
    assert store.size(f"{folder}/b/copy") == len(content)
    assert b"".join(store.pieces(f"{folder}/a/é b")) == content
    file = store.open(f"{folder}/a/é b", len(content))
    middle = len(content) // 2
    assert file.seek(middle) == middle
    assert (file.read(10), file.tell()) == (content[middle : middle + 10], min(middle + 10, len(content)))
    assert file.read() == content[middle + 10 :]
    store.delete([f"{folder}/a/é b", f"{folder}/b/copy", f"{folder}/never"])
    assert dict(store.list_below(f"{folder}/")) == {}
    with pytest.raises(FileNotFoundError):
        list(store.pieces(f"{folder}/b/copy"))


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
    assert files.read("note") == b"whole"


def test_a_large_part_is_read_by_ranges(
    store_place: str, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_READ_WHOLE_BYTES", 2**20)
    monkeypatch.setattr(s3, "_RANGE_BYTES", 2**18)
    rows = pa.table({"n": range(300_000), "text": [f"{n * 7919 % 1_000_003:012}" for n in range(300_000)]})
    files = open_files(store_place)
    assert isinstance(files, RemoteFiles)
    with files.writing("some") as file:
        pq.write_table(rows, file, row_group_size=50_000)
        size = file.tell()
    with (
        object_server.counting() as counts,
        pq.ParquetFile(files.source("some", size), memory_map=False, pre_buffer=False) as part,
    ):
        assert part.read() == rows
    assert 3 <= counts.total() <= 2 * (2 + size // 2**18)
    with (
        object_server.counting() as counts,
        pq.ParquetFile(files.source("some", size), memory_map=False, pre_buffer=False) as part,
    ):
        assert part.read_row_group(3, ["n"]) == rows.select(["n"]).slice(150_000, 50_000)
    assert counts == {"GET some": 2}
    files.fetch("some", tmp_path / "copy")
    assert pq.read_table(tmp_path / "copy") == rows


def test_small_files_that_were_written_or_read_are_not_asked_for_again(
    store_place: str, object_server: ObjectServer
) -> None:
    files, other = open_files(store_place), open_files(store_place)
    with files.writing("some") as file:
        file.write(b"content")
    with object_server.counting() as counts:
        assert {files.source("some", 7).read(), other.source("some", 7).read(), other.source("some", 7).read()} == {
            b"content"
        }
    assert counts == {"GET some": 1}
    other.delete(["some"])
    other.forget()
    with pytest.raises(FileNotFoundError):
        other.source("some", 7)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (f"s3://AKIACANARY:{SECRET} @lakes/x", "METER_LAKE_URL cannot be used: there is a space in it"),
        (f"gs://AKIACANARY:{SECRET}@lakes/x", r"METER_LAKE_URL cannot be used: Cannot parse URI: '\*\*\*'"),
        (f"s4://AKIACANARY:{SPELLED_SECRET}@lakes/x", "METER_LAKE_URL cannot be used: Unrecognized filesystem type"),
        (
            f"s3://AKIACANARY:{SPELLED_SECRET}@lakes/x?secret_key={SECRET}",
            "METER_LAKE_URL cannot be used: it has an unknown option; those of s3:// are endpoint_override, region",
        ),
        ("s3:/lakes/x", "METER_LAKE_URL is neither a path nor a URL"),
        ("s3://", "METER_LAKE_URL"),
        (
            store_url("lakes/x", "127.0.0.1%3A9"),
            "lake s3://lakes/x: Could not connect to the endpoint URL: .*; check METER_LAKE_URL",
        ),
    ],
)
@pytest.mark.usefixtures("object_server")
def test_a_url_that_cannot_be_used_is_one_line_without_its_secrets(broken: str, message: str) -> None:
    with pytest.raises(LakeError, match=f"^{message}") as raised:
        Lake.open(broken)
    for secret in (SECRET, SPELLED_SECRET, "canary"):
        assert secret not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_secret_may_be_spelled_with_its_slashes_and_a_folder_with_an_at(object_store: str) -> None:
    url = store_url("lakes/a@b", object_store)
    for spelled in (url, url.replace(SPELLED_SECRET, SECRET)):
        assert Lake.open(spelled).files.url == "s3://lakes/a@b"


def test_the_address_of_a_file_is_the_one_that_other_clients_of_s3_take(
    object_store: str, object_server: ObjectServer
) -> None:
    files = open_files(store_url("lakes/a%20folder%25", object_store))
    with files.writing("raw/part") as file:
        file.write(b"rows")
    assert files.uri("raw/part") == "s3://lakes/a folder%/raw/part"
    client = fs.S3FileSystem(
        access_key="AKIACANARY", secret_key=SECRET, endpoint_override=object_server.address, scheme="http"
    )
    assert client.open_input_file(files.uri("raw/part").removeprefix("s3://")).read() == b"rows"
    files.delete(["raw/part"])


def test_a_missing_bucket_is_one_line(object_store: str) -> None:
    with pytest.raises(
        LakeError,
        match=r"lake s3://nobody/lake: .*bucket does not exist \(GetObject: NoSuchBucket\); check METER_LAKE_URL",
    ):
        Lake.open(store_url("nobody/lake", object_store))
