"""The raw side of a warehouse: the ledger as tables and the lake as views, before any model is built.

Schema `meter` has the ledger's tables, the items and the change feed; schema `results` has one view for each strategy.
Schema `meter_lake` has the lists of files, each once: a comment on a view copies all of it in memory.
Whoever changes what one of these shows under the same name raises `layout.LAYOUT`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store.lake.lake import SCHEMAS, results_schema
from meter_pipeline.store.lake.tables import SHOWN
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.store.warehouse import contents, ledger_tables, scans, views
from meter_pipeline.store.warehouse.snapshot import Snapshot

_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.binary(): "BLOB",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}


def create_ledger_tables(
    connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, jobs: Iterator[pa.RecordBatch], *, goes_on: bool = False
) -> None:
    """Creates the tables of the schema `meter` that show the ledger.

    Args:
        connection: The candidate's file: empty, or a copy of a publication.
        snapshot: The ledger to show.
        jobs: The rows of `meter.jobs`.
        goes_on: Whether the file is a copy, and these are only the jobs that have changed since.
    """
    if not goes_on:
        connection.execute("CREATE SCHEMA meter; CREATE SCHEMA results; CREATE SCHEMA meter_lake")
    for name, table in ledger_tables.tables_of(snapshot.rows).items():
        replace_table(connection, f"meter.{name}", table)
    incoming = _Batches(jobs)
    try:
        if goes_on:
            _update(connection, "meter.jobs", incoming.reader, keys=["job_id"])
        else:
            replace_table(connection, "meter.jobs", incoming.reader)
    except duckdb.Error:
        # DuckDB tells it in words of its own.
        if incoming.error is not None:
            raise incoming.error from None
        raise


class _Batches:
    """Batches of jobs as DuckDB reads them; an error of the ledger is kept."""

    def __init__(self, jobs: Iterator[pa.RecordBatch]) -> None:
        self.error: Exception | None = None
        self.reader = pa.RecordBatchReader.from_batches(ledger_tables.JOBS, self._watch(jobs))

    def _watch(self, jobs: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from jobs
        except Exception as error:
            self.error = error
            raise


def create_lake_views(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    root: str,
    carried_revision: int | None,
    *,
    goes_on: bool = False,
) -> None:
    """Creates all that shows the lake.

    Args:
        connection: The candidate's file, with the ledger's tables.
        snapshot: The ledger and its manifest.
        root: The folder or URL that the names of parts are below.
        carried_revision: The ledger's revision that incremental tables are carried from; None if there are none.
        goes_on: Whether the file is a copy of a publication, and the partitions are only those that have changed since.
    """
    right = _drop_outdated_results(connection, snapshot, root) if goes_on else set()
    replace_table(connection, "meter.lake_files", _list_files(snapshot, root))
    if goes_on:
        _update(connection, "meter.partitions", snapshot.partitions, keys=["table_name", "strategy", "month"])
    else:
        replace_table(connection, "meter.partitions", snapshot.partitions)
    # From here on there is nothing to optimize, which for thousands of small statements takes half of the time.
    connection.execute("PRAGMA disable_optimizer")
    changed = "true" if carried_revision is None else f"revision > {carried_revision:d}"
    _create_view(
        connection,
        "meter.changed_partitions",
        f"SELECT table_name, strategy, month FROM meter.partitions WHERE {changed}",  # noqa: S608
    )
    for table in SHOWN:
        names = [name for of_strategy in snapshot.names[table].values() for name in of_strategy]
        _create_view(connection, f"meter_lake.{table}", query_table(root, table, names))
        connection.execute(f"COMMENT ON VIEW meter_lake.{table} IS 'What views of `meter` read: the parts of {table}.'")
    if not goes_on:
        _create_view(connection, "meter.items", "FROM meter_lake.raw")
        _create_view(connection, "meter.rejected_items", "FROM meter_lake.rejected")
        _create_view(connection, "meter.item_changes", views.item_changes("FROM meter_lake.changes"))
    for strategy in snapshot.strategies:
        if strategy.slug not in right:
            _create_results(connection, root, strategy, snapshot.names["results"].get(strategy.slug, []))
    connection.execute("PRAGMA enable_optimizer")


def replace_table(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
    """Creates a table from Arrow rows, in the place of one that there may be."""
    with _incoming(connection, rows):
        connection.execute(f"CREATE OR REPLACE TABLE {name} AS FROM incoming")


def _update(
    connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table | pa.RecordBatchReader, keys: Sequence[str]
) -> None:
    """Inserts rows into a table, in the place of those with the same keys."""
    with _incoming(connection, rows):
        connection.execute("CREATE TEMP TABLE changed AS FROM incoming")
    condition = " AND ".join(f"old.{key} = changed.{key}" for key in keys)
    connection.execute(f"DELETE FROM {name} AS old USING changed WHERE {condition}")  # noqa: S608
    connection.execute(f"INSERT INTO {name} FROM changed; DROP TABLE changed")


@contextmanager
def _incoming(connection: duckdb.DuckDBPyConnection, rows: pa.Table | pa.RecordBatchReader) -> Iterator[None]:
    """Gives Arrow rows the name `incoming`."""
    connection.register("incoming", rows)
    try:
        yield
    finally:
        connection.unregister("incoming")


def _create_view(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> None:
    connection.execute(f"CREATE OR REPLACE VIEW {name} AS {select}")


def _drop_outdated_results(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, root: str) -> set[str]:
    """Drops tables and views of strategies' results but for those that show the same files; returns their slugs."""
    shown = dict(
        connection.execute(
            "SELECT strategy, list(file ORDER BY rowid) FROM meter.lake_files WHERE table_name = 'results' GROUP BY ALL"
        ).fetchall()
    )
    wanted = {slug: [f"{root}/{name}" for name in names] for slug, names in snapshot.names["results"].items()}
    results = [entry for entry in contents.list_contents(connection) if entry.schema == "results" and entry.name]
    right = {
        entry.name for entry in results if entry.kind == "VIEW" and shown.get(entry.name) == wanted.get(entry.name, [])
    }
    contents.drop(connection, (entry for entry in results if entry.name not in right))
    return right


def _list_files(snapshot: Snapshot, root: str) -> pa.Table:
    """The rows of `meter.lake_files`."""
    parts = snapshot.parts
    files = pc.binary_join_element_wise(pa.scalar(root), parts["name"], pa.scalar("/"))
    names = ["table_name", "strategy", "file", "rows", "bytes", "first_at", "last_at", "schema_digest"]
    kept = {**{name: parts[name] for name in parts.column_names}, "file": files, "schema_digest": parts["schema"]}
    return pa.table([kept[name] for name in names], names)


def query_table(root: str, table: str, names: Sequence[str]) -> str:
    """A query of the pipeline's own columns of a table of the lake, with `strategy`; valid without any part too.

    Args:
        root: The folder or URL that the names of parts are below.
        table: The table.
        names: Names of parts, of any strategies.
    """
    if names:
        return f"SELECT strategy, {', '.join(SCHEMAS[table].names)} FROM {scans.of_table(root, names)}"  # noqa: S608
    # DuckDB has no Parquet file to read the columns from yet.
    none = ", ".join(f"CAST(NULL AS {_SQL_TYPES[column.type]}) AS {column.name}" for column in SCHEMAS[table])
    return f"SELECT CAST(NULL AS VARCHAR) AS strategy, {none} WHERE false"


def _create_results(connection: duckdb.DuckDBPyConnection, root: str, strategy: StrategyRow, names: list[str]) -> None:
    """Creates the view of a strategy's results; an empty table where there are no files to read the columns from."""
    name = f'results."{strategy.slug}"'
    if names:
        _create_view(connection, name, f"SELECT * FROM {scans.of_strategy(root, names)}")  # noqa: S608
    else:
        replace_table(connection, name, results_schema(strategy.columns).empty_table())
