"""Candidates: warehouses that are built in a folder of their own, before anybody can see them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pyarrow as pa

from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.claims import Claims
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import dictionary, publications
from meter_pipeline.store.warehouse.audit import audit
from meter_pipeline.store.warehouse.failures import explained
from meter_pipeline.store.warehouse.models import Built, Models
from meter_pipeline.store.warehouse.publications import Publication
from meter_pipeline.store.warehouse.raw_side import build_raw_side, create_table
from meter_pipeline.store.warehouse.snapshot import LakeSnapshot, LedgerSnapshot, link_lake, read_ledger


@dataclass(frozen=True)
class Candidate:
    """A warehouse with its raw side, not published yet; models are still to be built in its `file`.

    Attributes:
        path: The file that people open, which this candidate is to replace.
        folder: The candidate's folder.
        ledger: The ledger that it shows.
        lake: The files that its views read.
        moving: Slugs of strategies that were being loaded meanwhile.
        claims: The ledger's claims.
        models_version: A digest of the models; None without models.
        started: When its build began, by the monotonic clock (seconds).
    """

    path: Path
    folder: Path
    ledger: LedgerSnapshot
    lake: LakeSnapshot
    moving: frozenset[str]
    claims: Claims
    models_version: str | None
    started: float

    @property
    def file(self) -> Path:
        """The DuckDB file."""
        return self.folder / publications.FILE

    def publish(self, built: Built | None = None) -> Publication:
        """Audits the candidate, records what it was made from, and makes it the file that people open.

        Raises:
            RejectedError: A strategy's results do not have the rows of its accepted jobs.
        """
        with duckdb.connect(str(self.file)) as connection:
            audit(connection, self.ledger, self.lake, self.moving, self.claims)
            publication = Publication(
                publication_id=self.folder.name,
                published_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                ledger_revision=self.ledger.revision,
                strategies=len(self.ledger.strategies),
                jobs=len(self.ledger.rows["jobs"]),
                files=len(self.lake.parts),
                seconds=round(time.monotonic() - self.started, 3),
                models=built.models if built else 0,
                dbt_invocation_id=built.invocation_id if built else None,
                models_version=self.models_version,
            )
            with _transaction(connection):
                history = [*publications.history(self.path), publication]
                create_table(connection, "meter.publications", _history_table(history))
                dictionary.comment_on_table(connection, "publications")
        publications.settle(self.folder, publication)
        publications.point(self.path, self.folder, publication)
        return publication

    def reject(self, reason: str) -> None:
        """Keeps the candidate unpublished, with the reason, until the next one is published."""
        publications.reject(self.folder, reason)

    def discard(self) -> None:
        """Deletes the candidate."""
        shutil.rmtree(self.folder, ignore_errors=True)


def stage(ledger: Ledger, lake: Lake, path: Path, *, models: Models | None = None, carry: bool = True) -> Candidate:
    """Builds the raw side of a warehouse in a new folder, and copies the incremental tables of `models` into it.

    Args:
        ledger: The ledger to show.
        lake: The rows.
        path: The file that people open, which the candidate is to replace.
        models: The models that are going to be built.
        carry: Whether incremental tables are copied from the last publication; if not, they are built in full.

    Raises:
        WarehouseError: It cannot be built or written.
    """
    started = time.monotonic()
    folder = publications.begin(path)
    try:
        with explained(path):
            candidate = _stage(ledger, lake, path, folder, models, started)
            if carry and models is not None:
                _carry_tables(candidate, models)
            return candidate
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _stage(ledger: Ledger, lake: Lake, path: Path, folder: Path, models: Models | None, started: float) -> Candidate:
    shown = read_ledger(ledger)
    with_results = {row.slug for row in shown.strategies if shown.accepted.get(row.strategy_id, (0, 0))[1]}
    linked = link_lake(lake, folder, frozenset(with_results))
    moving = shown.moving(ledger)
    version = models.version if models is not None else None
    candidate = Candidate(path, folder, shown, linked, moving, ledger.claims, version, started)
    # Thousands of small statements: handing each to other threads takes longer than the statement.
    with duckdb.connect(str(candidate.file), config={"threads": 1}) as connection, _transaction(connection):
        build_raw_side(connection, shown, linked, moving, folder.name)
    return candidate


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A single transaction, since each commit waits for the disk; at its end no log is left beside the file."""
    connection.begin()
    yield
    connection.commit()
    connection.execute("CHECKPOINT")


def _carry_tables(candidate: Candidate, models: Models) -> None:
    """Copies the incremental tables from the current publication, if that was built from the same models."""
    last = publications.current(candidate.path)
    if last is None or not models.carried or last.models_version != models.version:
        return
    file = publications.folder_of(candidate.path) / last.publication_id / publications.FILE
    if not file.exists():
        return
    with duckdb.connect(str(candidate.file)) as connection:
        connection.execute(f"ATTACH '{_quoted(file)}' AS last (READ_ONLY)")
        existing = {
            f"{schema}.{name}"
            for schema, name in connection.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'last'"
            ).fetchall()
        }
        # All or none: there is one list of files for all of them.
        if not {*models.carried, "meter.lake_files"} <= existing:
            return
        for table in models.carried:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
            connection.execute(f"CREATE TABLE {table} AS FROM last.{table}")
        connection.execute("INSERT INTO meter.lake_files_before FROM last.meter.lake_files")
        connection.execute("DETACH last; CHECKPOINT")


def _history_table(history: Sequence[Publication]) -> pa.Table:
    """The rows of `meter.publications`."""
    rows = [
        {name: value for name, value in publication.as_dict().items() if name != "unchanged"} for publication in history
    ]
    table = pa.Table.from_pylist(rows)
    for name in ("published_at", "put_back_at"):
        times = [None if row[name] is None else datetime.fromisoformat(row[name]) for row in rows]
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(times, pa.timestamp("us", tz="UTC")))
    for name in ("dbt_invocation_id", "models_version"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].cast(pa.string()))
    return table


def _quoted(text: object) -> str:
    """Text as it stands between the quotes of an SQL string."""
    return str(text).replace("'", "''")
