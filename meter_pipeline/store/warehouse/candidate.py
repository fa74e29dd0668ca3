"""Candidates: warehouses that are built in a folder of their own, before anybody can see them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlalchemy import Connection

from meter_pipeline.store.lake.files import LocalFiles, RemoteFiles
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import (
    dictionary,
    in_place,
    item_versions,
    lake_cache,
    ledger_tables,
    pins,
    publications,
)
from meter_pipeline.store.warehouse.audit import audit_files, audit_rows
from meter_pipeline.store.warehouse.failures import explained
from meter_pipeline.store.warehouse.layout import LAYOUT
from meter_pipeline.store.warehouse.models import Built, Models
from meter_pipeline.store.warehouse.publications import Kept, Publication
from meter_pipeline.store.warehouse.raw_side import (
    LAST,
    create_lake_views,
    create_ledger_tables,
    create_table,
)
from meter_pipeline.store.warehouse.snapshot import Snapshot, read_snapshot

_LAKE = ("FROM meter_lake.changes", "FROM meter_lake.results", "FROM meter_lake.raw")


@dataclass(frozen=True)
class Candidate:
    """A warehouse with its raw side, not published yet; models are still to be built in its `file`.

    Attributes:
        path: The file that people open, which this candidate is to replace.
        folder: The candidate's folder.
        snapshot: The ledger that it shows.
        models_version: A digest of the models; None without models.
        started: When its build began, by the monotonic clock (seconds).
    """

    path: Path
    folder: Path
    snapshot: Snapshot
    models_version: str | None
    started: float

    @property
    def file(self) -> Path:
        """The DuckDB file."""
        return self.folder / publications.FILE

    def publish(self, built: Built | None = None) -> Publication:
        """Records what the candidate was made from, and makes it the file that people open."""
        with duckdb.connect(str(self.file)) as connection:
            ((jobs,),) = connection.execute("SELECT count(*) FROM meter.jobs").fetchall()
            publication = Publication(
                publication_id=self.folder.name,
                published_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                ledger_revision=self.snapshot.revision,
                strategies=len(self.snapshot.strategies),
                jobs=jobs,
                files=self.snapshot.parts.num_rows,
                seconds=round(time.monotonic() - self.started, 3),
                models=built.models if built else 0,
                dbt_invocation_id=built.invocation_id if built else None,
                models_version=self.models_version,
            )
            with _transaction(connection):
                history = [*publications.history(self.path), publication]
                create_table(connection, "meter.publications", _history_table(history))
                dictionary.comment_on_table(connection, "publications")
            # No log is left beside the file.
            connection.execute("CHECKPOINT")
        publications.finish(self.folder, publication)
        publications.show(self.path, self.folder)
        return publication


def stage(
    ledger: Ledger,
    lake: Lake,
    path: Path,
    folder: Path,
    *,
    models: Models | None = None,
    carry: bool = True,
    remote: RemoteFiles | None = None,
) -> Candidate:
    """Builds and audits the raw side of a warehouse, and copies the incremental tables of `models` into it.

    Args:
        ledger: The ledger to show.
        lake: The rows.
        path: The file that people open, which the candidate is to replace.
        folder: The candidate's empty folder; its parts are pinned under its name.
        models: The models that are going to be built.
        carry: Whether tables are copied from the current publication; if not, they are built in full.
        remote: The files of a lake that the views are to read in place; None: they read files of this machine.

    Raises:
        RejectedError: The lake has not the rows that the ledger counts.
        WarehouseError: It cannot be built or written.
    """
    started = time.monotonic()
    last = publications.find_current(path) if carry else None
    pins.open_pin(ledger, path, folder.name)
    # Thousands of small statements: handing each to other threads takes longer than the statement.
    with (
        explained(path),
        duckdb.connect(str(folder / publications.FILE), config={"threads": 1, "memory_limit": "400MB"}) as connection,
    ):
        with _attached(connection, last) as base, _transaction(connection):
            with ledger.reading_state() as state:
                snapshot = read_snapshot(state)
                base = _choose_base(state, path, base, snapshot)
                _create_ledger_tables(connection, state, snapshot, base)
            pins.close_pin(ledger, path, folder.name, snapshot.revision)
            item_versions.create(connection, None if base is None else LAST)
            carried = _carry_tables(connection, base, models)
        root = _find_root(lake, path, snapshot, remote)
        if remote is not None:
            in_place.connect_lake(connection, remote)
        with _transaction(connection):
            create_lake_views(connection, snapshot, root, carried)
            audit_rows(connection)
        connection.execute("CHECKPOINT")
        # Statements over the whole history: they use all cores, and spill to disk instead of growing with it.
        connection.execute("RESET threads")
        connection.execute("SET preserve_insertion_order = false")
        versions_of = None if base is None else base.publication.ledger_revision
        item_versions.update(connection, *_LAKE, versions_of)
        connection.execute("CHECKPOINT")
    version = models.version if models is not None else None
    return Candidate(path, folder, snapshot, version, started)


def _choose_base(state: Connection, path: Path, last: Kept | None, snapshot: Snapshot) -> Kept | None:
    """The publication that tables are carried from: one of this layout, of an earlier state of this ledger."""
    if last is None or last.layout != LAYOUT or last.publication.ledger_revision > snapshot.revision:
        return None
    return last if pins.is_pinned(state, path, last.publication) else None


def _create_ledger_tables(
    connection: duckdb.DuckDBPyConnection, state: Connection, snapshot: Snapshot, base: Kept | None
) -> None:
    since = None if base is None else base.publication.ledger_revision
    jobs = ledger_tables.job_batches(state, snapshot.slugs, since)
    create_ledger_tables(connection, snapshot, jobs, carries_jobs=base is not None)


def _find_root(lake: Lake, path: Path, snapshot: Snapshot, remote: RemoteFiles | None) -> str:
    """Where the views find the parts; those of an object store are copied there, unless they are read in place.

    Raises:
        RejectedError: A part is missing.
    """
    if remote is not None:
        in_place.audit_objects(remote, snapshot)
        return in_place.root_of(remote)
    if isinstance(lake.files, RemoteFiles):
        folder = lake_cache.folder_of(path)
        names, sizes = (snapshot.parts[column].to_pylist() for column in ("name", "bytes"))
        lake_cache.fetch_parts(lake.files, folder, zip(names, sizes, strict=True))
        return str(folder)
    assert isinstance(lake.files, LocalFiles)
    audit_files(str(lake.files.root), snapshot)
    return str(lake.files.root)


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A single transaction, since each commit waits for the disk."""
    connection.begin()
    yield
    connection.commit()


@contextmanager
def _attached(connection: duckdb.DuckDBPyConnection, last: Kept | None) -> Iterator[Kept | None]:
    """Attaches a publication as the database `LAST`; yields None if its file is not as it was finished."""
    if last is None or not last.is_intact:
        yield None
        return
    connection.execute(f"ATTACH '{_quoted(last.file)}' AS {LAST} (READ_ONLY)")
    yield last
    connection.execute(f"DETACH {LAST}")


def _carry_tables(connection: duckdb.DuckDBPyConnection, base: Kept | None, models: Models | None) -> int | None:
    """Copies the incremental tables from a publication, if that was built from the same models.

    Returns:
        The ledger's revision that they are of; None if there are none.
    """
    if base is None or models is None or not models.carried or base.publication.models_version != models.version:
        return None
    existing = {
        f"{schema}.{name}"
        for schema, name in connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ?", [LAST]
        ).fetchall()
    }
    # All or none: there is one revision for all of them.
    if not {*models.carried} <= existing:
        return None
    for table in models.carried:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
        connection.execute(f"CREATE TABLE {table} AS FROM {LAST}.{table}")
    return base.publication.ledger_revision


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
