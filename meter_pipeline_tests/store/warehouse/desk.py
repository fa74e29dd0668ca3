"""A ledger, a lake and a warehouse in one folder, filled without an API; models of a test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field, Type
from meter_pipeline.store.lake.lake import CHANGES, RAW, Lake, results_schema
from meter_pipeline.store.ledger.ledger import Commit, Ledger
from meter_pipeline.store.times import iso
from meter_pipeline.store.warehouse import publications
from meter_pipeline.store.warehouse.build import Built, Publication, RejectedError, publish
from meter_pipeline_tests.store.records import job, strategy

MARCH, APRIL = (datetime(2026, month, 5, tzinfo=timezone.utc) for month in (3, 4))
FIELDS = [Field("price", Type("integer"), ("", "", 0))]
#: Every change in the models, in order.
ALL = "SELECT strategy, job_id, item_key FROM marts.changes ORDER BY ALL"


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
                "INSERT INTO marts.changes SELECT * FROM ("
                "SELECT *, strftime(observed_at AT TIME ZONE 'UTC', '%Y-%m') AS month FROM meter.item_changes"
                f") WHERE (strategy, month) IN ({stale})"
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

    def load(self, slug: str, job_id: str, day: datetime, *keys: str) -> None:
        """Loads an accepted job with an item and a change of each key, in the place of those that it has."""
        self._know(slug, job_id, day)
        times = {"completed_at": day, "_meter_completed_at": day, "observed_at": day}
        names = {"job_id": job_id, "_meter_job_id": job_id, "kind": "added", "new_value": "{}"}
        rows = [
            {**times, **names, "price": place, "item": "{}", "item_key": key, "_meter_item_key": key}
            | {"item_index": place, "_meter_item_index": place}
            for place, key in enumerate(keys)
        ]
        row, parts = self.ledger.state_of([slug])[slug]
        draft = self.lake.draft(slug, parts, self.ledger.name)
        for table, schema in (("raw", RAW), ("results", results_schema(columns.columns(FIELDS))), ("changes", CHANGES)):
            draft.remove(table, {job_id: str(iso(day))})
            draft.append(table, pa.Table.from_pylist(rows, schema=schema))
        draft.merge()
        values = {"job_id": job_id, "state": "accepted", "items": len(keys), "changes": len(keys)}
        self.ledger.commit(Commit(slug, row.version, [values], draft.change(), FIELDS))
        draft.settle()

    def touch(self) -> None:
        """Changes something in the ledger that a reader of the warehouse sees."""
        with self.ledger.writing() as connection:
            self.ledger.revise(connection)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What the published warehouse answers."""
        with duckdb.connect(str(self.path), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def parts(self, slug: str) -> Mapping[str, list[Path]]:
        """The files of the strategy that count, by table."""
        found: dict[str, list[Path]] = {}
        for part in self.ledger.parts_of(slug):
            found.setdefault(part.table, []).append(Path(self.lake.files.uri(part.name)))
        return found

    def _know(self, slug: str, job_id: str, day: datetime) -> None:
        if not any(row.strategy_id == slug for row in self.ledger.strategies()):
            self.ledger.record_strategies([strategy(slug, slug)], whole=False)
        self.ledger.record_jobs([job(job_id, slug, completed_at=day.isoformat())])


@contextmanager
def open_desk(folder: Path) -> Iterator[Desk]:
    """The desk of a folder; its ledger is closed at the end."""
    ledger = Ledger.open(str(folder / "ledger.sqlite"))
    desk = Desk(ledger, Lake.open(str(folder / "lake")), folder / "warehouse.duckdb")
    yield desk
    desk.ledger.close()


class FilledDesk:
    """A desk that is filled once; each test gets it as it was then, at the same place, which its pins and views name.

    Args:
        folder: An empty folder.
        fill: Loads and publishes.
    """

    def __init__(self, folder: Path, fill: Callable[[Desk], object]) -> None:
        self._folder, self._kept = folder / "desk", folder / "kept"
        self._folder.mkdir()
        with open_desk(self._folder) as desk:
            fill(desk)
        shutil.copytree(self._folder, self._kept, symlinks=True)

    @contextmanager
    def open(self) -> Iterator[Desk]:
        """The desk, as it was filled."""
        shutil.rmtree(self._folder)
        shutil.copytree(self._kept, self._folder, symlinks=True)
        with open_desk(self._folder) as desk:
            # A publication knows its file by the inode.
            for publication in publications.kept(desk.path):
                publications.finish(publication.folder, publication.publication)
            yield desk
