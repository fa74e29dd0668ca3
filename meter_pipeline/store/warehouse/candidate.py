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
from meter_pipeline.store.lake.tables import ORDER
from meter_pipeline.store.ledger import facts
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import (
    contents,
    dictionary,
    in_place,
    item_versions,
    lake_cache,
    ledger_tables,
    pins,
    publications,
    published_file,
)
from meter_pipeline.store.warehouse.audit import audit_files, audit_rows
from meter_pipeline.store.warehouse.failures import explained
from meter_pipeline.store.warehouse.layout import LAYOUT
from meter_pipeline.store.warehouse.models import Built, Models
from meter_pipeline.store.warehouse.publications import Kept, Publication
from meter_pipeline.store.warehouse.raw_side import create_lake_views, create_ledger_tables, query_table, replace_table
from meter_pipeline.store.warehouse.snapshot import Snapshot, read_snapshot


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
                history = _history_table([*publications.history(self.path), publication])
                replace_table(connection, "meter.publications", history)
                dictionary.comment_on_new_table(connection, "publications", history.column_names)
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
    """Builds and audits the raw side of a warehouse, beside the incremental tables of `models`.

    It goes on from a copy of the current publication, so that it costs what has changed since.

    Args:
        ledger: The ledger to show.
        lake: The rows.
        path: The file that people open, which the candidate is to replace.
        folder: The candidate's empty folder; its parts are pinned under its name.
        models: The models that are going to be built.
        carry: Whether it goes on from the current publication; if not, everything is built in full.
        remote: The files of a lake that the views are to read in place; None: they read files of this machine.

    Raises:
        RejectedError: The lake has not the rows that the ledger counts.
        WarehouseError: It cannot be built or written.
    """
    started = time.monotonic()
    pins.open_pin(ledger, path, folder.name)
    base = _copy_base(ledger, path, folder / publications.FILE) if carry else None
    since = None if base is None else base.publication.ledger_revision
    # Thousands of small statements: handing each to other threads takes longer than the statement.
    with (
        explained(path),
        duckdb.connect(str(folder / publications.FILE), config={"threads": 1, "memory_limit": "300MB"}) as connection,
    ):
        with _transaction(connection):
            carried = _carry_tables(connection, base, models)
            with ledger.reading_state() as state:
                snapshot = read_snapshot(state, since)
                _create_ledger_tables(connection, state, snapshot, since)
            pins.close_pin(ledger, path, folder.name, snapshot.revision)
            if base is None:
                item_versions.create(connection)
        root = _find_root(lake, path, snapshot, remote)
        if remote is not None:
            in_place.connect_lake(connection, remote)
        else:
            # Each file is read once: what is kept of it in memory until the limit is reached is never asked for.
            connection.execute("SET enable_external_file_cache = false")
        with _transaction(connection):
            create_lake_views(connection, snapshot, root, carried, goes_on=base is not None)
        dictionary.comment_on_all(connection, snapshot.strategies)
        audit_rows(connection)
        connection.execute("CHECKPOINT")
        # Statements over the whole history: they use all cores, and spill to disk instead of growing with it.
        connection.execute("RESET threads")
        connection.execute("SET preserve_insertion_order = false")
        item_versions.update(connection, _find_rows(snapshot, root), since)
        connection.execute("CHECKPOINT")
    version = models.version if models is not None else None
    return Candidate(path, folder, snapshot, version, started)


def _copy_base(ledger: Ledger, path: Path, file: Path) -> Kept | None:
    """Copies the file of the current publication, for a candidate that goes on from it.

    Returns:
        The publication; None if there is none of this layout, as it was finished, of an earlier state of this ledger.
    """
    last = publications.find_current(path)
    if last is None or last.layout != LAYOUT or not last.is_intact:
        return None
    with ledger.reading() as connection:
        is_earlier = last.publication.ledger_revision <= facts.read_revision(connection)
        if not is_earlier or not pins.is_pinned(connection, path, last.publication):
            return None
    published_file.copy_content(last.file, file)
    if not last.is_intact:
        file.unlink()
        return None
    return last


def _create_ledger_tables(
    connection: duckdb.DuckDBPyConnection, state: Connection, snapshot: Snapshot, since: int | None
) -> None:
    jobs = ledger_tables.job_batches(state, snapshot.slugs, since)
    create_ledger_tables(connection, snapshot, jobs, goes_on=since is not None)


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


def _find_rows(snapshot: Snapshot, root: str) -> item_versions.FindRows:
    """Queries of the parts that may have the rows, and of no others.

    A query of all parts finds these by comparing each part with each strategy. Rows are compared with the time only
    where a part has earlier ones: for thousands of small parts it takes a sixth of the time.
    """

    def find_rows(table: str, slugs: Sequence[str], since: datetime) -> str:
        names, has_earlier = snapshot.find_names(table, slugs, since)
        # A constant, by which DuckDB skips row groups: it skips none by the values of a join.
        condition = f" WHERE {ORDER[table].time} >= TIMESTAMPTZ '{since}'" if has_earlier else ""
        return query_table(root, table, names) + condition

    return find_rows


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A single transaction, since each commit waits for the disk."""
    connection.begin()
    yield
    connection.commit()


def _carry_tables(connection: duckdb.DuckDBPyConnection, base: Kept | None, models: Models | None) -> int | None:
    """Keeps the incremental tables of a copied publication that was built from the same models, and no other model.

    Returns:
        The ledger's revision that they are of; None if there are none.
    """
    if base is None:
        return None
    existing = contents.list_contents(connection)
    tables = {entry.full_name for entry in existing if entry.kind == "TABLE"}
    carried: set[str] = set()
    # All or none: there is one revision for all of them.
    if models is not None and base.publication.models_version == models.version and tables.issuperset(models.carried):
        carried = {*models.carried}
    kept = carried | {name.split(".")[0] for name in carried}
    contents.drop(
        connection, (entry for entry in existing if not contents.is_own(entry) and entry.full_name not in kept)
    )
    return base.publication.ledger_revision if carried else None


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
