"""Open tables: they show what the publication shows, without a copy, and their snapshots stay true."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from pyiceberg.expressions.visitors import _ManifestEvalVisitor, visit
from pyiceberg.manifest import ManifestFile

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.cleaning import clean
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger import manifest
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse.build import publish, roll_back
from meter_pipeline.store.warehouse.open_tables import commits
from meter_pipeline_tests.behaviour.station import Station, flagging, insert_drifting
from meter_pipeline_tests.store.warehouse.desk import APRIL, MARCH, Desk, FilledDesk
from meter_pipeline_tests.store.warehouse.open_tables.shelf import Shelf

NOW = timedelta(0)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def filled_desk(tmp_path_factory: pytest.TempPathFactory) -> FilledDesk:
    def fill(desk: Desk) -> None:
        desk.load("books", "b1", MARCH, "a")
        desk.load("toys", "t1", APRIL, "x", "y")
        shelf_of(desk).publish()

    return FilledDesk(tmp_path_factory.mktemp("filled"), fill)


@pytest.fixture
def desk(filled_desk: FilledDesk) -> Iterator[Desk]:
    """Two strategies with a job each, exported once."""
    with filled_desk.open() as desk:
        yield desk


@pytest.fixture
def shelf(desk: Desk) -> Shelf:
    """The open tables of the desk."""
    return shelf_of(desk)


def shelf_of(desk: Desk | Station, path: Path | None = None) -> Shelf:
    lake = Path(str(desk.lake.files.url if not hasattr(desk.lake.files, "root") else desk.lake.files.root))
    folder = lake.parent
    return Shelf(
        desk.ledger, desk.lake, path or folder / "warehouse.duckdb", f"sqlite:///{folder}/catalog.sqlite", str(lake)
    )


def snapshots(shelf: Shelf) -> dict[str, int]:
    return {name: len(table.snapshots()) for name, table in shelf.tables().items() if table.snapshots()}


def test_tables_show_the_rows_of_the_warehouse(shelf: Shelf) -> None:
    assert set(shelf.tables()) == {"meter.raw", "meter.rejected", "meter.changes", "results.books", "results.toys"}
    shelf.assert_equal_to_warehouse()
    assert shelf.table("meter.raw").scan(row_filter="strategy == 'toys'").to_arrow().num_rows == 2


def test_no_row_is_copied(shelf: Shelf, desk: Desk) -> None:
    shown = {f"file://{file}" for slug in ("books", "toys") for file in desk.parts(slug)["raw"]}
    assert shelf.files("meter.raw") == shown
    assert not list((desk.path.parent / "lake" / "iceberg").rglob("*.parquet"))


def test_a_snapshot_has_exactly_the_parts_that_came_and_went(shelf: Shelf, desk: Desk) -> None:
    before = shelf.files("meter.raw")
    desk.load("books", "b2", MARCH + DAY, "a", "b")
    done = shelf.publish()
    after = shelf.files("meter.raw")
    snapshot = shelf.table("meter.raw").current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    facts = snapshot.summary.additional_properties
    assert int(facts["added-data-files"]) == len(after - before)
    assert int(facts.get("deleted-data-files", 0)) == len(before - after)
    assert facts["total-records"] == "5"
    assert facts["meter.publication-id"] == done.publication_id
    # Nothing came to the toys.
    assert snapshots(shelf) == {"meter.raw": 2, "meter.changes": 2, "results.books": 2, "results.toys": 1}
    assert done.changed == 3


def test_without_changes_there_is_no_snapshot_and_no_file(shelf: Shelf, desk: Desk) -> None:
    before = sorted((desk.path.parent / "lake").rglob("*"))
    assert shelf.publish().changed == 0
    # The ledger has changed, the lake has not.
    desk.touch()
    assert shelf.publish().changed == 0
    # What the last export remembers is lost: all tables are compared.
    (desk.path.parent / "open_tables.json").unlink()
    assert shelf.export().changed == 0
    assert sorted((desk.path.parent / "lake").rglob("*")) == before


def test_readers_skip_files_by_strategy_and_by_time(shelf: Shelf, desk: Desk) -> None:
    desk.load("toys", "t2", MARCH, "z")
    shelf.publish()

    def files(name: str, condition: str) -> int:
        return len(list(shelf.table(name).scan(row_filter=condition).plan_files()))

    assert len(shelf.files("meter.raw")) > files("meter.raw", "strategy == 'books'") == 1
    assert files("results.books", "_meter_completed_at < '2026-03-01T00:00:00+00:00'") == 0
    assert files("results.books", "_meter_completed_at < '2026-03-31T00:00:00+00:00'") == 1
    assert files("results.toys", "price > 100") == 0
    assert files("meter.raw", "job_id == 'zzz'") == 0


def test_snapshots_go_with_the_publications_and_then_their_files(shelf: Shelf, desk: Desk) -> None:
    old = {Path(address.removeprefix("file://")) for address in shelf.files("results.books")}
    shelf.assert_snapshots_unchanged()
    for keys in ("ab", "abc"):
        desk.load("books", "b1", MARCH, *keys)
        shelf.publish(keep_hours=24)
        clean(desk.ledger, desk.lake, grace=NOW)
        shelf.assert_snapshots_unchanged()
    assert all(file.exists() for file in old)
    own = {*(desk.path.parent / "lake" / "iceberg").rglob("*.avro")}
    shelf.publish(keep_hours=0)
    assert snapshots(shelf) == {"meter.raw": 1, "meter.changes": 1, "results.books": 1, "results.toys": 1}
    for _ in range(2):
        publish(desk.ledger, desk.lake, desk.path, force=True, keep=NOW)
    clean(desk.ledger, desk.lake, grace=NOW)
    assert not any(file.exists() for file in old)
    assert len({*(desk.path.parent / "lake" / "iceberg").rglob("*.avro")}) < len(own)
    shelf.assert_snapshots_unchanged()
    shelf.assert_equal_to_warehouse()


def test_a_table_that_no_export_changed_for_long_keeps_its_files(shelf: Shelf, desk: Desk) -> None:
    for number in range(3):
        desk.load("books", "b1", MARCH, *"abc"[: number + 1])
        shelf.publish(keep_hours=0)
        clean(desk.ledger, desk.lake, grace=NOW)
        shelf.assert_snapshots_unchanged()
    desk.load("toys", "t1", APRIL, "x")
    publish(desk.ledger, desk.lake, desk.path, keep=NOW)
    publish(desk.ledger, desk.lake, desk.path, force=True, keep=NOW)
    publish(desk.ledger, desk.lake, desk.path, force=True, keep=NOW)
    clean(desk.ledger, desk.lake, grace=NOW)
    assert shelf.assert_snapshots_unchanged() >= 4


def test_an_export_that_failed_half_way_is_completed_by_the_next(shelf: Shelf, desk: Desk) -> None:
    catalog = shelf.open()
    theirs = shelf.table("results.toys")
    catalog.rename_table("results.toys", "results.kept_aside")
    catalog.create_table("results.toys", theirs.schema())
    desk.load("books", "b2", MARCH + DAY, "a")
    desk.load("toys", "t2", APRIL + DAY, "x")
    with pytest.raises(WarehouseError, match=r"a table results\.toys of another program or ledger: rename it"):
        shelf.publish()
    clean(desk.ledger, desk.lake, grace=NOW)
    assert shelf.table("results.books").scan().to_arrow().num_rows == 2
    catalog.drop_table("results.toys")
    catalog.rename_table("results.kept_aside", "results.toys")
    shelf.assert_snapshots_unchanged()
    assert shelf.publish().changed == 1
    shelf.assert_equal_to_warehouse()


def test_the_tables_of_another_ledger_stay_as_they_are(shelf: Shelf, desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    ledger = Ledger.open(str(folder / "ledger.sqlite"))
    other = Desk(ledger, Lake.open(str(folder / "lake")), folder / "warehouse.duckdb")
    other.load("cars", "c1", MARCH, "a")
    theirs = Shelf(ledger, other.lake, other.path, shelf.catalog, str(folder / "lake"))
    with pytest.raises(WarehouseError, match=r"meter\.changes of another program or ledger"):
        theirs.publish()
    shelf.assert_equal_to_warehouse()
    ledger.close()


def test_a_table_that_somebody_dropped_is_made_again(shelf: Shelf) -> None:
    shelf.open().drop_table("results.books")
    assert shelf.publish().changed == 1
    shelf.assert_equal_to_warehouse()


def test_a_strategy_without_rows_leaves_an_empty_table(shelf: Shelf, desk: Desk) -> None:
    desk.load("books", "b1", MARCH)
    shelf.publish()
    assert shelf.table("results.books").scan().to_arrow().num_rows == 0
    shelf.assert_equal_to_warehouse()
    desk.load("books", "b1", MARCH, "a")
    shelf.publish()
    shelf.assert_equal_to_warehouse()


def test_a_publication_that_is_put_back_is_shown_by_the_tables(shelf: Shelf, desk: Desk) -> None:
    desk.load("books", "b2", MARCH + DAY, "a", "b")
    shelf.publish()
    roll_back(desk.ledger, desk.path)
    assert shelf.export().changed == 3
    shelf.assert_equal_to_warehouse()
    assert shelf.table("results.books").scan().to_arrow().num_rows == 1


def test_two_machines_that_export_at_once_leave_each_row_once(shelf: Shelf, desk: Desk, tmp_path: Path) -> None:
    places = [tmp_path / name / "warehouse.duckdb" for name in "abc"]
    for path in places:
        path.parent.mkdir()
    desk.load("books", "b2", MARCH + DAY, *"abcd")
    desk.load("toys", "t2", APRIL + DAY, *"abcd")
    for path in places:
        publish(desk.ledger, desk.lake, path)
    with ThreadPoolExecutor() as threads:
        shelves = [Shelf(desk.ledger, desk.lake, path, shelf.catalog, shelf.lake_url) for path in places]
        list(threads.map(Shelf.export, shelves))
    publish(desk.ledger, desk.lake, desk.path)
    shelf.assert_equal_to_warehouse()
    assert snapshots(shelf)["meter.raw"] == 2


def test_the_number_of_manifests_stays_small(shelf: Shelf, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "_MOST_MANIFESTS", 3)
    # Files of other strategies are never merged: each publication adds one to the table.
    for number in range(4):
        desk.load(f"shop{number}", f"n{number}", MARCH, "a")
        shelf.publish()
    table = shelf.table("meter.raw")
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert len(snapshot.manifests(table.io)) <= 3
    shelf.assert_equal_to_warehouse()


def test_files_that_go_are_found_however_the_librarys_threads_take_turns(
    shelf: Shelf, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examine_slowly(visitor: _ManifestEvalVisitor, manifest: ManifestFile) -> bool:
        visitor.partition_fields = manifest.partitions or []
        time.sleep(0.005)
        return bool(visit(visitor.partition_filter, visitor))

    monkeypatch.setattr(_ManifestEvalVisitor, "eval", examine_slowly)
    for number in range(3):
        for slug in ("books", "toys"):
            desk.load(slug, f"{slug}{number}", MARCH + number * timedelta(hours=1), "a")
            shelf.publish()
    shelf.assert_equal_to_warehouse()


@pytest.mark.slow
def test_columns_that_come_and_change_their_type_leave_every_snapshot_true(
    make_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    sandbox = make_sandbox(worlds=())
    with Station(tmp_path, sandbox) as station:
        shelf = shelf_of(station)
        insert_drifting(sandbox, 2)
        for batch in range(5):
            sandbox.advance(hours=1)
            shapes = [
                {"id": batch, "price": 7},
                {"id": batch, "price": 7, "seller": {"name": "s"}},
                {"id": batch, "price": 7, "seller": {"name": "s", "since": 2001}, "tags": ["a"]},
                {"id": batch, "price": 7.5, "seller": None, "tags": []},
                {"id": batch, "price": "sold out", "tags": [{"t": 1}]},
            ]
            sandbox.insert_job(("Alpha", "Beta")[batch % 2], items=[shapes[batch]] * (1 + batch % 3))
            station.sync(config=flagging("Alpha", "Beta"))
            shelf.publish()
            clean(station.ledger, station.lake, grace=NOW)
            shelf.assert_equal_to_warehouse()
            assert shelf.assert_snapshots_unchanged()
        assert any("__until_" in name for name in shelf.tables())
        shelf.publish(keep_hours=0)
        assert not any("__until_" in name for name in shelf.tables())
        clean(station.ledger, station.lake, grace=NOW)
        shelf.assert_snapshots_unchanged()
        shelf.assert_equal_to_warehouse()


def test_pins_are_few(shelf: Shelf, desk: Desk) -> None:
    for number in range(3):
        desk.load("books", "b1", MARCH, *"abcdef"[: number + 2])
        shelf.publish(keep_hours=0)
    with desk.ledger.reading() as connection:
        found = manifest.read_pins_in_order(connection, f"open tables of {shelf.catalog}")
    assert len(found) == 2
    assert not any(pin.is_open for pin in found)
    assert found[-1].pinned_at <= datetime.now(timezone.utc).isoformat()
