"""The warehouse: one file that people open, which always shows one state of ledger and lake."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import text

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import StoreError, WarehouseError
from meter_pipeline.store.warehouse import item_versions
from meter_pipeline.store.warehouse.build import RejectedError, current, publish, reading
from meter_pipeline_tests.behaviour.station import Station


@pytest.fixture
def station(tmp_path: Path, empty_sandbox: Sandbox) -> Station:
    """A ledger and a lake with one strategy of two jobs."""
    empty_sandbox.insert_job("Mine", items=[{"Price": 1, "month": "May"}, {"Price": 2}])
    empty_sandbox.insert_job("Mine", items=[{"Price": 3}])
    opened = Station(tmp_path, empty_sandbox)
    opened.sync()
    return opened


def one(path: Path, query: str) -> object:
    """The only cell of a query."""
    with reading(path) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_an_empty_ledger_makes_valid_empty_tables(tmp_path: Path, empty_sandbox: Sandbox) -> None:
    path = tmp_path / "warehouse.duckdb"
    with Station(tmp_path, empty_sandbox) as station:
        publish(station.ledger, station.lake, path)
    for table in ("jobs", "items", "strategies", "strategy_versions", "schedules", "schedule_changes", "item_changes"):
        assert one(path, f"SELECT count(*) FROM meter.{table}") == 0


def test_an_unchanged_ledger_is_not_published_again(station: Station, empty_sandbox: Sandbox) -> None:
    path = station.folder / "warehouse.duckdb"
    first = publish(station.ledger, station.lake, path)
    inode = path.stat().st_ino
    again = publish(station.ledger, station.lake, path)
    assert (again.unchanged, again.publication_id, path.stat().st_ino) == (True, first.publication_id, inode)
    station.sync()
    assert publish(station.ledger, station.lake, path).unchanged
    empty_sandbox.insert_job("Mine", items=[{"Price": 4}])
    station.sync()
    assert not publish(station.ledger, station.lake, path).unchanged
    assert one(path, "SELECT sum(price) FROM results.mine") == 10


def test_views_read_the_state_that_was_published_while_the_lake_moves_on(
    station: Station, empty_sandbox: Sandbox
) -> None:
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)
    empty_sandbox.insert_job("Mine", items=[{"Price": "sold out"}])
    station.sync()
    assert one(path, "SELECT sum(price) FROM results.mine") == 6
    assert one(path, "SELECT count(*) FROM meter.items") == 3
    publish(station.ledger, station.lake, path)
    assert one(path, "SELECT list(price ORDER BY price) FROM results.mine") == ["1", "2", "3", "sold out"]


def test_a_connection_opened_before_a_publication_stays_valid(station: Station, empty_sandbox: Sandbox) -> None:
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)
    with reading(path) as connection:
        for number in range(3):
            empty_sandbox.insert_job("Mine", items=[{"Price": number}])
            station.sync()
            publish(station.ledger, station.lake, path)
            assert connection.execute("SELECT count(*) FROM results.mine").fetchone() == (3,)
    assert one(path, "SELECT count(*) FROM results.mine") == 6


# One of the two tests of readers during publications; the other one has models.
@pytest.mark.slow
def test_readers_see_whole_publications_while_others_take_their_place(station: Station) -> None:
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)
    done = threading.Event()
    seen: list[object] = []

    def read() -> None:
        while not done.is_set():
            seen.append(one(path, "SELECT (SELECT sum(items) FROM meter.jobs) - (SELECT count(*) FROM results.mine)"))
            done.wait(0.05)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        publish(station.ledger, station.lake, path, force=True)
    done.set()
    reader.join()
    assert seen
    assert set(seen) == {0}


# With more of them in the tests of publications.
@pytest.mark.slow
def test_old_publications_go_but_for_the_latest_two(station: Station) -> None:
    path = station.folder / "warehouse.duckdb"
    for _ in range(4):
        publish(station.ledger, station.lake, path, force=True, keep=timedelta(0))
    folders = [entry for entry in (station.folder / "publications").iterdir() if entry.is_dir()]
    assert len(folders) == 2
    assert current(path) is not None
    assert one(path, "SELECT count(*) FROM results.mine") == 3


def test_a_publication_kept_for_a_day_is_still_readable(station: Station) -> None:
    path = station.folder / "warehouse.duckdb"
    first = publish(station.ledger, station.lake, path)
    publish(station.ledger, station.lake, path, force=True)
    old = station.folder / "publications" / first.publication_id / "warehouse.duckdb"
    assert one(old, "SELECT count(*) FROM results.mine") == 3


def test_every_table_and_column_has_a_comment(station: Station) -> None:
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)
    with reading(path) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() "
            "WHERE NOT internal AND schema_name <> 'meter_lake'"
        ).fetchall()
        tables = connection.execute(
            "SELECT table_name, comment FROM duckdb_tables() UNION ALL "
            "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
    assert [name for *name, comment in [*columns, *tables] if not comment] == []
    comments = {name: comment for table, name, comment in columns if table == "mine"}
    assert (comments["price"], comments["month_2"]) == ("field 'Price', integer", "field 'month', text")
    assert dict(tables)["mine"].startswith("Items of accepted jobs: Mine")


def test_rows_that_are_not_what_the_ledger_knows_are_not_published(station: Station) -> None:
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)
    for table, what in (("results", "results.mine has 0 rows, its accepted jobs have 3 items"),
                        ("raw", "meter.items has 0 rows of mine, its loaded jobs have 3 items"),
                        ("changes", "meter.item_changes has 0 rows of mine, its accepted jobs have")):  # fmt: skip
        with station.ledger.writing() as connection:
            hide = text("UPDATE parts SET revision_out = 0 WHERE table_name = :table AND revision_out IS NULL")
            assert connection.execute(hide, {"table": table}).rowcount
        with pytest.raises(RejectedError, match=f"{what}.*: run .*--strategy mine --again"):
            publish(station.ledger, station.lake, path, force=True)
        with station.ledger.writing() as connection:
            connection.execute(text("UPDATE parts SET revision_out = NULL WHERE revision_out = 0"))
    assert one(path, "SELECT count(*) FROM results.mine") == 3
    publish(station.ledger, station.lake, path, force=True)


@pytest.mark.parametrize("damage", ["missing", "cut off", "scribbled over"])
def test_a_damaged_file_of_the_lake_is_named_with_the_way_out(station: Station, damage: str) -> None:
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)
    part = next(part for part in station.ledger.parts_of("mine") if part.table == "results")
    file = station.folder / "lake" / part.name
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] if damage == "cut off" else b"x" * part.bytes)
    with pytest.raises(StoreError, match=f"{file.name} is missing or .*: run .*sync --strategy mine --again"):
        publish(station.ledger, station.lake, path, force=True)


@pytest.mark.parametrize("place", ["file", "publications"])
def test_a_folder_that_cannot_be_written_is_one_line(station: Station, place: str) -> None:
    (station.folder / place).write_text("in the way")
    path = station.folder / ("file/warehouse.duckdb" if place == "file" else "warehouse.duckdb")
    with pytest.raises(WarehouseError) as raised:
        publish(station.ledger, station.lake, path)
    assert "\n" not in str(raised.value)
    assert "could not be written" in str(raised.value)


@pytest.mark.parametrize("content", [None, b"", b"no database" * 1000])
def test_a_missing_or_damaged_warehouse_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "warehouse.duckdb"
    if content is not None:
        path.write_bytes(content)

    def attempt() -> None:
        with reading(path):
            pass

    with pytest.raises(WarehouseError) as raised:
        attempt()
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_the_file_is_readable_by_any_duckdb(station: Station, make_sandbox: Callable[..., Sandbox]) -> None:
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM meter.items").fetchone() == (3,)


def test_what_publishing_reads_of_the_lake_does_not_stay_in_memory(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, kept = item_versions.update, []

    def update_and_look(connection: duckdb.DuckDBPyConnection, *arguments: Any) -> None:
        update(connection, *arguments)
        kept.extend(connection.execute("SELECT path FROM duckdb_external_file_cache()").fetchall())

    monkeypatch.setattr(item_versions, "update", update_and_look)
    publish(station.ledger, station.lake, station.folder / "warehouse.duckdb")
    assert one(station.folder / "warehouse.duckdb", "SELECT count(*) FROM meter.item_versions") == 3
    assert kept == []
