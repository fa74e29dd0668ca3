"""What is published, what is not, what is carried on, and what can be put back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.lake.lake import CHANGES, Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import publications
from meter_pipeline.store.warehouse.build import Built, Publication, RejectedError, publish, roll_back

# How often readers are published over; more with `make slow`.
ROUNDS = int(os.environ.get("PUBLICATIONS", "4"))


@dataclass
class Marts:
    """Models of a test: a table of every change, built partition by partition as a dbt model would."""

    version: str = "one"
    carried: Sequence[str] = ("marts.changes",)
    broken: str | None = None
    rebuilt: list[tuple[str, str]] = field(default_factory=list)

    def build(self, file: Path) -> Built:
        """Builds what has changed."""
        with duckdb.connect(str(file)) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS marts.changes AS SELECT *, '' AS month FROM meter.item_changes LIMIT 0"
            )
            stale = "SELECT strategy, month FROM meter.changed_partitions WHERE table_name = 'changes'"
            self.rebuilt = sorted(connection.execute(stale).fetchall())
            connection.execute(f"DELETE FROM marts.changes WHERE (strategy, month) IN ({stale})")
            connection.execute(
                "INSERT INTO marts.changes SELECT *, strftime(observed_at AT TIME ZONE 'UTC', '%Y-%m') AS month "
                f"FROM meter.item_changes WHERE (strategy, month) IN ({stale})"
            )
        if self.broken:
            raise RejectedError(self.broken)
        return Built("invocation", 1)


@dataclass
class Desk:
    """A ledger, a lake and a warehouse in one folder."""

    ledger: Ledger
    lake: Lake
    path: Path

    def publish(self, models: Marts | None = None, *, force: bool = False, keep_hours: float = 24) -> Publication:
        """Publishes."""
        return publish(self.ledger, self.lake, self.path, models=models, force=force, keep=timedelta(hours=keep_hours))

    def change(self, slug: str, job: str, day: datetime, *keys: str) -> None:
        """Puts a job's changes into the lake, in the place of those that it has, and revises the ledger."""
        rows = [
            {"job_id": job, "item_key": key, "kind": "added", "new_value": "{}", "observed_at": day} for key in keys
        ]
        self.lake.replace("changes", slug, pa.Table.from_pylist(rows, schema=CHANGES), {job}, thorough=True)
        with self.ledger.writing() as connection:
            self.ledger.revise(connection)

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """What the published warehouse answers."""
        with duckdb.connect(str(self.path), read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    yield Desk(ledger, Lake.open(str(tmp_path / "lake")), tmp_path / "warehouse.duckdb")
    ledger.close()


MARCH, APRIL = (datetime(2026, month, 5, tzinfo=timezone.utc) for month in (3, 4))
_BOTH = "SELECT (SELECT min(item_key) FROM marts.changes), (SELECT min(item_key) FROM meter.item_changes)"
_ALL = "SELECT strategy, job_id, item_key FROM marts.changes ORDER BY ALL"


def test_a_rejected_candidate_leaves_readers_on_the_last_good_one(desk: Desk) -> None:
    good = desk.publish(Marts())
    with pytest.raises(RejectedError, match="test unique_books failed"):
        desk.publish(Marts(version="two", broken="test unique_books failed"))
    assert desk.ask("SELECT publication_id FROM meter.publications") == [(good.publication_id,)]
    kept, rejected = publications.listing(desk.path)
    assert (kept.state, rejected.state) == ("current", "rejected")
    assert rejected.reason == "test unique_books failed"
    with duckdb.connect(str(publications.folder_of(desk.path) / rejected.publication_id / "warehouse.duckdb")) as seen:
        assert seen.execute("SELECT count(*) FROM marts.changes").fetchall() == [(0,)]
    desk.publish(Marts(version="three"))
    assert [listed.state for listed in publications.listing(desk.path)] == ["kept", "current"]


def test_only_partitions_that_changed_are_built_anew_and_the_rest_is_carried_on(desk: Desk) -> None:
    desk.change("books", "j1", MARCH, "a", "b")
    desk.change("lamps", "l1", MARCH, "x")
    models = Marts()
    desk.publish(models)
    assert models.rebuilt == [("books", "2026-03"), ("lamps", "2026-03")]
    desk.change("books", "j2", APRIL, "c")
    desk.publish(models)
    assert models.rebuilt == [("books", "2026-04")]
    # A job that comes late, and one whose rows are all gone.
    desk.change("books", "j0", MARCH, "z")
    desk.change("books", "j2", APRIL)
    desk.publish(models)
    assert models.rebuilt == [("books", "2026-03"), ("books", "2026-04")]
    carried = desk.ask(_ALL)
    assert carried == [("books", "j0", "z"), ("books", "j1", "a"), ("books", "j1", "b"), ("lamps", "l1", "x")]
    desk.publish(models, force=True)
    assert len(models.rebuilt) >= 2
    assert desk.ask(_ALL) == carried


def test_other_models_start_from_nothing(desk: Desk) -> None:
    desk.change("books", "j1", MARCH, "a")
    desk.publish(Marts())
    models = Marts(version="two")
    done = desk.publish(models)
    assert not done.unchanged
    assert models.rebuilt == [("books", "2026-03")]
    assert desk.publish(models).unchanged


def test_an_older_publication_can_be_put_back_until_something_new_is_published(desk: Desk) -> None:
    desk.change("books", "j1", MARCH, "a")
    first = desk.publish(Marts())
    desk.change("books", "j1", MARCH, "a", "b")
    second = desk.publish(Marts())
    assert roll_back(desk.ledger, desk.path).publication_id == first.publication_id
    assert desk.ask("SELECT count(*) FROM marts.changes") == [(1,)]
    assert [listed.state for listed in publications.listing(desk.path)] == ["current", "kept"]
    # Nothing is new: the next run does not undo it.
    assert desk.publish(Marts()).unchanged
    desk.change("books", "j2", MARCH, "c")
    models = Marts()
    third = desk.publish(models)
    assert models.rebuilt == [("books", "2026-03")]
    assert desk.ask(_ALL) == [("books", "j1", "a"), ("books", "j1", "b"), ("books", "j2", "c")]
    rows = desk.ask("SELECT publication_id, put_back_at IS NOT NULL, dbt_invocation_id FROM meter.publications")
    ids = [first.publication_id, second.publication_id, first.publication_id, third.publication_id]
    assert rows == [(id_, place == 2, "invocation") for place, id_ in enumerate(ids)]
    named = roll_back(desk.ledger, desk.path, second.publication_id)
    assert named.publication_id == second.publication_id
    with pytest.raises(WarehouseError, match="no publication nothing"):
        roll_back(desk.ledger, desk.path, "nothing")


def test_old_publications_expire_but_for_the_latest_two_and_the_current_one(desk: Desk) -> None:
    made = []
    for number in range(4):
        desk.change("books", "j1", MARCH, str(number))
        made.append(desk.publish(keep_hours=1).publication_id)
    roll_back(desk.ledger, desk.path, made[1])
    for publication_id in made:
        os.utime(publications.folder_of(desk.path) / publication_id, (1, 1))
    publications.expire(desk.path, timedelta(hours=1))
    assert [listed.publication_id for listed in publications.listing(desk.path)] == made[1:]
    made.append(desk.publish(force=True, keep_hours=1).publication_id)
    assert [listed.publication_id for listed in publications.listing(desk.path)] == made[3:]


def test_readers_never_see_an_error_nor_half_a_publication(desk: Desk) -> None:
    desk.change("books", "j1", MARCH, "0")
    desk.publish(Marts())
    stop, errors, answers = threading.Event(), [], set()

    def read() -> None:
        while not stop.is_set():
            try:
                answers.update(desk.ask(_BOTH))
            except duckdb.Error as error:
                errors.append(str(error))
            stop.wait(0.05)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(ROUNDS):
        desk.change("books", "j1", MARCH, str(number + 1))
        desk.publish(Marts(), keep_hours=1)
    stop.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert all(mart == raw for mart, raw in answers)
    assert len(answers) > 1
