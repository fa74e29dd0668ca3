"""The warehouse: one DuckDB file that people open, built beside the old one and put in its place atomically.

A candidate is a folder with that file and hard links to the lake's files as they were, or copies where the lake is on
an object store: its views read these, so a query sees one state of the lake whatever is loaded meanwhile. Models are
built in the candidate's own file, and only when they and the audit pass is it published: readers stay on the last good
one until then. Old publications stay for a while, for readers that still hold them open, and to be put back.

Models that are built piece by piece find the tables of the last publication in the candidate, with the list of the
lake's files that these were made of (`meter.lake_files_before`): a partition whose files differ from those of this
candidate (`meter.lake_files`) is what they have to build anew. The tables are carried only between equal versions of
the models, so that a changed model starts from nothing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa

from meter_pipeline.host.causes import DAMAGED, explain, find_cause
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.lake.lake import SCHEMAS, Lake, results_schema
from meter_pipeline.store.ledger.claims import Claims
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.store.warehouse import dictionary as comments
from meter_pipeline.store.warehouse import ledger_tables as schemas
from meter_pipeline.store.warehouse import publications, scans, views
from meter_pipeline.store.warehouse import snapshot as snapshots
from meter_pipeline.store.warehouse.publications import KEEP, Publication, current
from meter_pipeline.store.warehouse.snapshot import Ledgered, Linked

__all__ = ["KEEP", "Built", "Candidate", "Models", "Publication", "RejectedError", "current", "publish", "reading"]

_SQL_TYPES = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ"}


class RejectedError(WarehouseError):
    """A candidate failed its tests or its audit, and nothing was published; the message names what failed."""


@dataclass(frozen=True)
class Built:
    """What a build of models was: the run of dbt, and how many models it built."""

    invocation_id: str
    models: int


class Models(Protocol):
    """What is built over the raw side of a candidate before it is published."""

    @property
    def version(self) -> str:
        """A digest of the models' definitions."""

    @property
    def carried(self) -> Sequence[str]:
        """Tables, as `schema.name`, that go on from what the last publication holds."""

    def build(self, file: Path) -> Built:
        """Builds and tests the models in a candidate's file.

        Raises:
            RejectedError: One failed; the message names it.
        """


@dataclass(frozen=True)
class Candidate:
    """A warehouse that nobody sees yet: the raw side is there, models are still to be built in its `file`."""

    path: Path
    folder: Path
    ledger: Ledgered
    linked: Linked
    moving: frozenset[str]
    claims: Claims
    models_version: str | None
    started: float

    @property
    def file(self) -> Path:
        """The DuckDB file."""
        return self.folder / publications.FILE

    def publish(self, built: Built | None = None) -> Publication:
        """Audits it, writes down what it was made from, and makes it what people read.

        Raises:
            RejectedError: A strategy's results do not have the rows of its accepted jobs.
        """
        with duckdb.connect(str(self.file)) as connection:
            self._audit(connection)
            publication = Publication(
                publication_id=self.folder.name,
                published_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                ledger_revision=self.ledger.revision,
                strategies=len(self.ledger.strategies),
                jobs=len(self.ledger.rows["jobs"]),
                files=len(self.linked.parts),
                seconds=round(time.monotonic() - self.started, 3),
                models=built.models if built else 0,
                dbt_invocation_id=built.invocation_id if built else None,
                models_version=self.models_version,
            )
            with _transaction(connection):
                _store(connection, "meter.publications", _history([*publications.history(self.path), publication]))
                comments.on_table(connection, "publications")
        publications.settle(self.folder, publication)
        publications.point(self.path, self.folder, publication)
        return publication

    def _audit(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Compares what the views show with what the ledger knows, by what the files say of themselves."""
        raw, results = (self._count(connection, table) for table in ("raw", "results"))
        for strategy in self.ledger.strategies:
            slug, id_ = strategy.slug, strategy.strategy_id
            landed, (_, accepted) = self.ledger.landed.get(id_, 0), self.ledger.accepted.get(id_, (0, 0))
            if slug in self.moving:
                # The views leave out what the ledger does not know.
                shown = (
                    f"SELECT count(*) FROM meter.items WHERE strategy = '{slug}'",  # noqa: S608
                    f'SELECT count(*) FROM results."{slug}"',  # noqa: S608
                )
                raw[slug], results[slug] = (connection.execute(query).fetchall()[0][0] for query in shown)
                if (raw[slug], results[slug]) != (landed, accepted) and self._is_being_loaded(slug):
                    continue
            if raw.get(slug, 0) != landed:
                raise RejectedError(
                    f"meter.items has {raw.get(slug, 0):,} rows of {slug}, its loaded jobs have "
                    f"{landed:,} items: run `meter-pipeline sync --strategy {slug} --again`"
                )
            if results.get(slug, 0) != accepted:
                raise RejectedError(
                    f"results.{slug} has {results.get(slug, 0):,} rows, its accepted jobs have {accepted:,} items: run "
                    f"`meter-pipeline sync --strategy {slug} --again`"
                )

    def _is_being_loaded(self, slug: str) -> bool:
        """Whether somebody works on a strategy; where nobody does, a sync was killed that the next one puts right."""
        claim = self.claims.try_claim(slug)
        if claim is not None:
            claim.release()
        return claim is None

    def _count(self, connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
        """Rows of each strategy in the files of a table."""
        if not any(one == table for one, _ in self.linked.folders):
            return {}
        files = scans.pattern(self.linked.source, f"{table}/*/*/*.parquet")
        return dict(connection.execute(_FOOTERS.format(files)).fetchall())

    def reject(self, reason: str) -> None:
        """Keeps it out of sight, with the reason, until the next one is published."""
        publications.reject(self.folder, reason)

    def discard(self) -> None:
        """Removes it."""
        shutil.rmtree(self.folder, ignore_errors=True)


# Months of a strategy with files that the last publication did not have, or had and that are gone.
_CHANGED_PARTITIONS = """
SELECT DISTINCT table_name, strategy, month
FROM (FROM meter.lake_files UNION ALL FROM meter.lake_files_before)
GROUP BY table_name, strategy, month, part, fingerprint
HAVING count(*) = 1
"""
# Rows of each strategy, read off the ends of the files.
_FOOTERS = """
SELECT regexp_extract(file_name, '.*/strategy=([^/]+)/', 1), sum(num_rows)::BIGINT
FROM parquet_file_metadata('{}')
GROUP BY ALL
"""


def publish(
    ledger: Ledger, lake: Lake, path: Path, *, models: Models | None = None, force: bool = False, keep: timedelta = KEEP
) -> Publication:
    """Builds the warehouse from ledger and lake and puts it in the place of the file at `path`.

    Args:
        ledger: What there is.
        lake: The rows.
        path: The file that people open.
        models: What is built over the raw side first.
        force: Build it even when nothing has changed since the last one, and every model from nothing.
        keep: How long older publications stay.

    Raises:
        RejectedError: A test of the models or the audit failed; the old file stays as it is.
        WarehouseError: It cannot be built or written; the old file stays as it is.
    """
    with ledger.claims.waiting("publish"), _damage_named(ledger, lake), _one_line(path):
        fresh = force or not _opens(path)
        if not fresh and (last := _up_to_date(ledger, path, models)) is not None:
            return last
        candidate = stage(ledger, lake, path, models=models, carry=not fresh)
        try:
            built = models.build(candidate.file) if models is not None else None
            publication = candidate.publish(built)
        except RejectedError as error:
            candidate.reject(str(error))
            raise
        except BaseException:
            candidate.discard()
            raise
        publications.expire(path, keep)
        return publication


def _up_to_date(ledger: Ledger, path: Path, models: Models | None) -> Publication | None:
    """The last publication, when it is of the ledger and the models as they are now."""
    last = publications.latest(path)
    if last is None or last.ledger_revision != ledger.revision():
        return None
    if last.models_version != (models.version if models is not None else None):
        return None
    return Publication(**{**last.as_dict(), "unchanged": True})


def roll_back(ledger: Ledger, path: Path, publication_id: str | None = None) -> Publication:
    """Puts an older publication back, until something new is published.

    Raises:
        WarehouseError: There is none, or no such one.
    """
    with ledger.claims.waiting("publish"), _one_line(path):
        return publications.put_back(path, publication_id)


@contextmanager
def reading(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the published warehouse.

    Raises:
        WarehouseError: There is none, or it is damaged.
    """
    if not path.exists():
        raise WarehouseError(f"there is no warehouse at {path}: run `meter-pipeline sync` and `meter-pipeline publish`")
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        cause = find_cause(error)
        way_out = "publish it again" if cause is None or cause == DAMAGED else cause.way_out
        raise WarehouseError(f"{path} cannot be opened: {_line(error)}; {way_out}") from None
    with connection:
        yield connection


# -- building ----------------------------------------------------------------------------------------------------------


def stage(ledger: Ledger, lake: Lake, path: Path, *, models: Models | None = None, carry: bool = True) -> Candidate:
    """Builds the raw side of a warehouse in a folder of its own, and brings along what `models` go on from.

    Raises:
        WarehouseError: It cannot be built or written.
    """
    started = time.monotonic()
    folder = publications.begin(path)
    try:
        with _one_line(path):
            candidate = _stage(ledger, lake, path, folder, models, started)
            if carry and models is not None:
                _carry(candidate, models)
            return candidate
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _stage(ledger: Ledger, lake: Lake, path: Path, folder: Path, models: Models | None, started: float) -> Candidate:
    seen = snapshots.look(ledger)
    expected = {row.slug for row in seen.strategies if seen.accepted.get(row.strategy_id, (0, 0))[1]}
    linked = snapshots.take(lake, folder, frozenset(expected))
    moving = seen.moving(ledger)
    version = models.version if models is not None else None
    candidate = Candidate(path, folder, seen, linked, moving, ledger.claims, version, started)
    # Thousands of small statements: handing each to other threads takes longer than the statement.
    with duckdb.connect(str(candidate.file), config={"threads": 1}) as connection, _transaction(connection):
        connection.execute("CREATE SCHEMA meter; CREATE SCHEMA results")
        for name, table in schemas.tables_of(seen.rows).items():
            _store(connection, f"meter.{name}", table)
        _view_items(connection, linked, moving)
        for strategy in seen.strategies:
            _view_results(connection, linked, strategy, moving=strategy.slug in moving)
        _store(connection, "meter.lake_files", linked.arrow(moving, folder.name))
        _store(connection, "meter.lake_files_before", snapshots.LAKE_FILES.empty_table())
        _view(connection, "meter.changed_partitions", _CHANGED_PARTITIONS)
        comments.on_all(connection, seen.strategies)
    return candidate


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """One transaction, since each waits for the disk; then all of it is in the file itself, with no log beside it."""
    connection.begin()
    yield
    connection.commit()
    connection.execute("CHECKPOINT")


def _carry(candidate: Candidate, models: Models) -> None:
    """Copies the tables that are built piece by piece from the publication that people read, of equal models only."""
    last = current(candidate.path)
    if last is None or not models.carried or last.models_version != models.version:
        return
    file = publications.folder_of(candidate.path) / last.publication_id / publications.FILE
    if not file.exists():
        return
    with duckdb.connect(str(candidate.file)) as connection:
        connection.execute(f"ATTACH '{_quoted(file)}' AS last (READ_ONLY)")
        there = {
            f"{schema}.{name}"
            for schema, name in connection.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'last'"
            ).fetchall()
        }
        # All or none: the list of files speaks for all of them.
        if not {*models.carried, "meter.lake_files"} <= there:
            return
        for table in models.carried:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
            connection.execute(f"CREATE TABLE {table} AS FROM last.{table}")
        connection.execute("INSERT INTO meter.lake_files_before FROM last.meter.lake_files")
        connection.execute("DETACH last; CHECKPOINT")


def _history(done: Sequence[Publication]) -> pa.Table:
    rows = [{name: value for name, value in one.as_dict().items() if name != "unchanged"} for one in done]
    table = pa.Table.from_pylist(rows)
    for name in ("published_at", "put_back_at"):
        times = [None if row[name] is None else datetime.fromisoformat(row[name]) for row in rows]
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(times, pa.timestamp("us", tz="UTC")))
    for name in ("dbt_invocation_id", "models_version"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].cast(pa.string()))
    return table


def _store(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    connection.register("incoming", table)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608
    connection.unregister("incoming")


def _view_items(connection: duckdb.DuckDBPyConnection, linked: Linked, moving: frozenset[str]) -> None:
    """`meter.items`, and what is told of the change feed: `meter.item_changes`, `meter.item_versions`."""
    rows = {table: _table_rows(linked, table, moving) for table in SCHEMAS}
    for macro in views.MACROS:
        connection.execute(macro)
    _view(connection, "meter.items", rows["raw"])
    _view(connection, "meter.item_changes", views.item_changes(rows["changes"]))
    _view(connection, "meter.item_versions", views.item_versions(rows["changes"], rows["results"], rows["raw"]))


# What the ledger of this publication does not know yet stays out of sight.
_KNOWN = {
    "raw": f"(SELECT job_id FROM meter.jobs WHERE state IN {snapshots.LANDED})",  # noqa: S608
    "results": "(SELECT job_id FROM meter.jobs WHERE state = 'accepted')",
    "changes": "(SELECT job_id FROM meter.jobs WHERE state = 'accepted')",
}


def _table_rows(linked: Linked, table: str, moving: frozenset[str]) -> str:
    """A query of our own columns of a table of the lake, of all strategies, also while there is no file of it."""
    names, job = ", ".join(SCHEMAS[table].names), SCHEMAS[table].names[0]
    if any(one == table for one, _ in linked.folders):
        select = f"SELECT strategy, {names} FROM {scans.of_table(linked.source, table)}"  # noqa: S608
        if not moving:
            return select
        written = ", ".join(f"'{slug}'" for slug in sorted(moving))
        return f"{select} WHERE strategy NOT IN ({written}) OR {job} IN {_KNOWN[table]}"
    # DuckDB has no Parquet file to learn the columns from yet.
    none = ", ".join(f"CAST(NULL AS {_SQL_TYPES[column.type]}) AS {column.name}" for column in SCHEMAS[table])
    return f"SELECT CAST(NULL AS VARCHAR) AS strategy, {none} WHERE false"


def _view_results(
    connection: duckdb.DuckDBPyConnection, linked: Linked, strategy: StrategyRow, *, moving: bool
) -> None:
    name = f'results."{strategy.slug}"'
    if ("results", strategy.slug) not in linked.folders:
        _store(connection, name, results_schema(strategy.columns).empty_table())
        return
    select = f"SELECT * FROM {scans.of_strategy(linked.source, 'results', strategy.slug)}"  # noqa: S608
    if moving:
        select += f" WHERE _meter_job_id IN {_KNOWN['results']}"
    _view(connection, name, select)


def _view(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> None:
    connection.execute(f"CREATE VIEW {name} AS {select}")


def _opens(path: Path) -> bool:
    """Whether there is a warehouse that people can read."""
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error:
        return False
    return True


@contextmanager
def _damage_named(ledger: Ledger, lake: Lake) -> Iterator[None]:
    """Names the file of the lake that is damaged, where that is why nothing could be built of it."""
    try:
        yield
    except RejectedError:
        raise
    except WarehouseError:
        for strategy in ledger.strategies():
            for table in SCHEMAS:
                for _ in lake.schemas(table, strategy.slug):
                    pass
        raise


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        cause = find_cause(error)
        reason = f"{cause} ({_line(error)})" if cause else _line(error)
        raise WarehouseError(f"the warehouse {path} could not be built: {reason}") from error
    except OSError as error:
        raise WarehouseError(f"the warehouse {path} could not be written: {explain(error)}") from error


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _quoted(text: object) -> str:
    """The inside of an SQL text."""
    return str(text).replace("'", "''")
