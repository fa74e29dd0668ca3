"""A lake that is to be read in place, where it cannot be; `engines/test_lake_in_place.py` reads one."""

from __future__ import annotations

from pathlib import Path

import pytest

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.lake.files import RemoteFiles
from meter_pipeline.store.warehouse import in_place
from meter_pipeline_tests.commandline import Command, one_line
from meter_pipeline_tests.object_server import ObjectServer
from meter_pipeline_tests.servers import SECRET


@pytest.fixture
def bare(meter: Command, store_place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A lake on S3 with a job, for a user who has installed no extension of DuckDB."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(in_place, "_find_packaged", lambda: None)
    monkeypatch.setenv("METER_LAKE_URL", store_place)
    monkeypatch.setenv("METER_LAKE_CACHE", "none")
    assert meter("sync").code == 0
    return meter


def test_a_missing_extension_is_one_line_before_anything_is_built_or_read(
    bare: Command, object_server: ObjectServer, tmp_path: Path
) -> None:
    object_server.requests.clear()
    line = one_line(bare("publish"))
    assert "needs the extension httpfs" in line
    assert "INSTALL httpfs" in line
    assert SECRET not in line
    assert {request.name for request in object_server.requests if request.method != "HEAD"} == {"lake.json"}
    assert not (tmp_path / "data" / "warehouse.duckdb").exists()
    assert not (tmp_path / "home" / ".duckdb" / "extensions").exists()


def test_a_warehouse_of_copies_needs_no_extension_whatever_is_set(bare: Command) -> None:
    assert bare("publish").code == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METER_LAKE_CACHE", "local")
        assert bare("publish").code == 0
    assert bare("query", "select count(*) from meter.items", "--csv").out.splitlines()[-1] == "2"


@pytest.mark.parametrize(
    ("url", "reason"),
    [("mock:///lake", "needs a lake on S3, which mock:///lake is not"), ("s3://k:s@b/a%3Fb", "a pattern")],
)
def test_a_lake_that_duckdb_cannot_read_in_place_is_one_line(url: str, reason: str) -> None:
    with pytest.raises(WarehouseError, match=reason):
        in_place.require(RemoteFiles(url))


def test_a_lake_in_a_folder_is_read_in_place_anyway(meter: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METER_LAKE_CACHE", "none")
    meter("sync")
    assert meter("publish").code == 0
    assert meter("query", "select count(*) from meter.items", "--csv").out.splitlines()[-1] == "2"
