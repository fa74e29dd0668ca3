"""Pins: files that a publication shows stay until it goes, on every machine; what nobody shows is deleted."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from meter_pipeline.store.cleaning import clean
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger import manifest
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import pins, publications
from meter_pipeline.store.warehouse.build import RejectedError
from meter_pipeline_tests.store.warehouse.desk import ALL, MARCH, Desk, Marts

NOW = timedelta(0)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    made = Desk(ledger, Lake.open(str(tmp_path / "lake")), tmp_path / "warehouse.duckdb")
    made.load("books", "j1", MARCH, "a")
    yield made
    ledger.close()


def other_machine(desk: Desk) -> Desk:
    """Another place that publishes from the same ledger and lake."""
    path = desk.path.parent / "elsewhere" / "warehouse.duckdb"
    path.parent.mkdir()
    return Desk(desk.ledger, desk.lake, path)


def pinned(desk: Desk) -> set[str]:
    """Ids of the pins of a place, those of candidates included."""
    with desk.ledger.reading() as connection:
        return set(manifest.read_renewals(connection, pins.place_of(desk.path)))


def test_parts_stay_as_long_as_a_publication_shows_them(desk: Desk) -> None:
    desk.publish()
    old = desk.parts("books")["raw"]
    # The job's rows are written again: the old parts leave.
    desk.load("books", "j1", MARCH, "a", "b")
    clean(desk.ledger, desk.lake, grace=NOW)
    assert all(file.exists() for file in old)
    assert desk.ask("SELECT count(*) FROM meter.items") == [(1,)]
    for _ in range(2):
        desk.publish(force=True, keep_hours=0)
    clean(desk.ledger, desk.lake, grace=NOW)
    assert not any(file.exists() for file in old)
    assert desk.ask("SELECT count(*) FROM meter.items") == [(2,)]


def test_the_publications_of_two_machines_are_kept_apart(desk: Desk) -> None:
    other = other_machine(desk)
    desk.publish()
    shown = other.publish()
    for keys in ("ab", "abc", "abcd"):
        desk.load("books", "j1", MARCH, *keys)
        desk.publish(keep_hours=0)
    clean(desk.ledger, desk.lake, grace=NOW)
    assert pinned(other) == {shown.publication_id}
    assert pinned(desk) == publications.existing(desk.path)
    assert other.ask("SELECT count(*) FROM meter.items") == [(1,)]
    assert desk.ask("SELECT count(*) FROM meter.items") == [(4,)]


def test_pins_are_those_of_the_folders_that_exist(desk: Desk) -> None:
    first = desk.publish()
    with pytest.raises(RejectedError):
        desk.publish(Marts(broken="no"))
    assert pinned(desk) == publications.existing(desk.path)
    assert len(pinned(desk)) == 2
    shutil.rmtree(publications.folder_of(desk.path) / first.publication_id)
    desk.publish(force=True)
    assert pinned(desk) == publications.existing(desk.path)


def test_a_place_that_has_not_published_for_a_month_keeps_nothing(desk: Desk) -> None:
    other = other_machine(desk)
    other.publish()
    with desk.ledger.writing() as connection:
        connection.execute(text("UPDATE pins SET renewed_at = '2020-01-01T00:00:00.000000Z'"))
    desk.publish()
    assert pinned(other) == set()
    assert len(pinned(desk)) == 1


def test_a_publication_that_is_up_to_date_renews_its_pins(desk: Desk) -> None:
    desk.publish()
    with desk.ledger.writing() as connection:
        connection.execute(text("UPDATE pins SET renewed_at = '2020-01-01T00:00:00.000000Z'"))
    assert desk.publish().unchanged
    clean(desk.ledger, desk.lake)
    assert len(pinned(desk)) == 1


def test_nothing_is_carried_from_a_publication_that_the_ledger_has_not_made(desk: Desk) -> None:
    """As when an older copy of the ledger is put back: it gives the same revisions to other states."""
    copy = desk.path.parent / "copy.sqlite"
    with closing(sqlite3.connect(desk.path.parent / "ledger.sqlite")) as connection:
        connection.execute(f"VACUUM INTO '{copy}'")
    desk.load("books", "j2", MARCH, "wrong")
    desk.publish(Marts())
    ledger = Ledger.open(str(copy))
    restored = Desk(ledger, desk.lake, desk.path)
    restored.load("books", "j3", MARCH, "right")
    for _ in range(5):
        restored.touch()
    models = Marts()
    assert not restored.publish(models).unchanged
    assert restored.ask(ALL) == [("books", "j1", "a"), ("books", "j3", "right")]
    assert restored.ask("SELECT list(job_id ORDER BY job_id) FROM meter.jobs") == [(["j1", "j3"],)]
    ledger.close()
