"""`publish` says which publication is shown, and what keeps others from reading it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.build import reading
from meter_pipeline_tests.commandline import Command, one_line

_OPEN = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"


def publish_twice(shop: Sandbox, meter: Command) -> str:
    """Publishes twice; returns the id of the second publication."""
    meter("sync")
    meter("publish")
    shop.advance(hours=1)
    shop.insert_job("Books", items=[{"title": "Tide Tables", "price": 10}])
    meter("sync")
    return str(meter("publish", "--json").document["publication_id"])


def test_a_publication_that_was_put_back_is_named_when_there_is_nothing_new(shop: Sandbox, meter: Command) -> None:
    last = publish_twice(shop, meter)
    assert len(meter("publish").out.splitlines()) == 1
    meter("publish", "--rollback")
    said = meter("publish").out.splitlines()
    assert said[0].startswith("nothing new since the last publication of ")
    assert f"was put back; to go forward, `meter-pipeline publish --rollback {last}`" in said[1]
    assert meter("publish", "--rollback", last).code == 0
    assert len(meter("publish").out.splitlines()) == 1
    assert "exclude each other" in one_line(meter("publish", "--rollback", "--force"))


def test_older_publications_go_when_there_is_nothing_new(shop: Sandbox, meter: Command) -> None:
    publish_twice(shop, meter)
    meter("publish", "--force")
    assert len(meter("publications", "--json").document) == 3
    meter("publish", "--keep", "0")
    assert len(meter("publications", "--json").document) == 2


def test_a_warehouse_whose_folder_was_moved_says_so_until_it_is_published_again(
    meter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter("sync")
    meter("publish")
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path / "elsewhere"))
    line = one_line(meter("query", "select * from results.books"))
    assert "warehouse.duckdb shows files that are not where they were" in line
    assert line.endswith("if the data folder was moved, run `meter-pipeline publish`\n")
    # As the report and other readers of this package do.
    with pytest.raises(WarehouseError, match="are not where they were"):
        with reading(tmp_path / "elsewhere" / "warehouse.duckdb") as connection:
            connection.execute("select * from results.books")
    # A file of the reader's own is not the warehouse's.
    assert "moved" not in one_line(meter("query", "select * from 'none/such.parquet'"))
    meter("publish")
    assert meter("query", "select * from results.books").code == 0


def test_a_session_that_writes_is_named_with_the_way_out(meter: Command, tmp_path: Path) -> None:
    meter("sync")
    meter("publish")
    file = tmp_path / "data" / "warehouse.duckdb"
    writer = subprocess.Popen(
        [sys.executable, "-c", _OPEN, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout is not None
        if writer.stdout.readline():
            line = one_line(meter("query", "select 1"))
            assert "is open for writing in another program" in line
            assert "`duckdb -readonly`" in line
            meter("publish", "--force")
            assert meter("query", "select 1").code == 0
            writer.kill()
        else:
            # Only root gets a session that writes.
            assert writer.wait() != 0
