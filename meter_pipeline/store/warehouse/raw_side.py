"""The raw side of a warehouse: the ledger as tables and the lake as views, before any model is built.

Schema `meter` has the ledger's tables, the items and the change feed; schema `results` has one view for each strategy.
Schema `meter_lake` has the lists of files, each once: a comment on a view copies all of it in memory.
Whoever changes what one of these shows under the same name raises `layout.LAYOUT`.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store.lake.lake import SCHEMAS, results_schema
from meter_pipeline.store.lake.tables import SHOWN
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.store.warehouse import dictionary, ledger_tables, scans, views
from meter_pipeline.store.warehouse.snapshot import Snapshot

_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.binary(): "BLOB",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}
#: The database, attached to a candidate, that tables are carried from.
LAST = "last_publication"


def create_ledger_tables(
    connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, jobs: Iterator[pa.RecordBatch], *, carries_jobs: bool
) -> None:
    """Creates the tables of the schema `meter` that show the ledger.

    Args:
        connection: The candidate's empty file.
        snapshot: The ledger to show.
        jobs: The rows of `meter.jobs`.
        carries_jobs: Whether these are only the jobs that differ from those of the database `LAST`.
    """
    connection.execute("CREATE SCHEMA meter; CREATE SCHEMA results")
    for name, table in ledger_tables.tables_of(snapshot.rows).items():
        create_table(connection, f"meter.{name}", table)
    incoming = _Batches(jobs)
    try:
        if not carries_jobs:
            create_table(connection, "meter.jobs", incoming.reader)
            return
        create_table(connection, "changed_jobs", incoming.reader, temporary=True)
    except duckdb.Error:
        # DuckDB tells it in words of its own.
        if incoming.error is not None:
            raise incoming.error from None
        raise
    connection.execute(
        f"CREATE TABLE meter.jobs AS FROM (FROM {LAST}.meter.jobs ANTI JOIN changed_jobs USING (job_id)) "
        "UNION ALL FROM changed_jobs"
    )
    connection.execute("DROP TABLE changed_jobs")


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
    connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, root: str, carried_revision: int | None
) -> None:
    """Creates all that shows the lake, and the comments of all tables and views.

    Args:
        connection: The candidate's file, with the ledger's tables.
        snapshot: The ledger and its manifest.
        root: The folder or URL that the names of parts are below.
        carried_revision: The ledger's revision that incremental tables are carried from; None if there are none.
    """
    # There is nothing to optimize, which for thousands of small statements takes half of the time.
    connection.execute("PRAGMA disable_optimizer")
    create_table(connection, "meter.lake_files", _list_files(snapshot, root))
    create_table(connection, "meter.partitions", snapshot.partitions)
    changed = "true" if carried_revision is None else f"revision > {carried_revision:d}"
    _create_view(
        connection,
        "meter.changed_partitions",
        f"SELECT table_name, strategy, month FROM meter.partitions WHERE {changed}",  # noqa: S608
    )
    connection.execute("CREATE SCHEMA meter_lake")
    for table in SHOWN:
        _create_view(connection, f"meter_lake.{table}", _table_query(snapshot, root, table))
        connection.execute(f"COMMENT ON VIEW meter_lake.{table} IS 'What views of `meter` read: the parts of {table}.'")
    _create_view(connection, "meter.items", "FROM meter_lake.raw")
    _create_view(connection, "meter.rejected_items", "FROM meter_lake.rejected")
    _create_view(connection, "meter.item_changes", views.item_changes("FROM meter_lake.changes"))
    for strategy in snapshot.strategies:
        _create_results(connection, root, strategy, snapshot.names["results"].get(strategy.slug, []))
    dictionary.comment_on_all(connection, snapshot.strategies)
    connection.execute("PRAGMA enable_optimizer")


def create_table(
    connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table | pa.RecordBatchReader, *, temporary: bool = False
) -> None:
    """Creates a table from Arrow rows."""
    connection.register("incoming", rows)
    try:
        connection.execute(f"CREATE {'TEMP ' if temporary else ''}TABLE {name} AS FROM incoming")
    finally:
        connection.unregister("incoming")


def _create_view(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> None:
    connection.execute(f"CREATE VIEW {name} AS {select}")


def _list_files(snapshot: Snapshot, root: str) -> pa.Table:
    """The rows of `meter.lake_files`."""
    parts = snapshot.parts
    files = pc.binary_join_element_wise(pa.scalar(root), parts["name"], pa.scalar("/"))
    names = ["table_name", "strategy", "file", "rows", "bytes", "first_at", "last_at", "schema_digest"]
    kept = {**{name: parts[name] for name in parts.column_names}, "file": files, "schema_digest": parts["schema"]}
    return pa.table([kept[name] for name in names], names)


def _table_query(snapshot: Snapshot, root: str, table: str) -> str:
    """A query of the pipeline's own columns of a table of the lake, of all strategies; valid without any file too."""
    names = [name for of_strategy in snapshot.names[table].values() for name in of_strategy]
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
        create_table(connection, name, results_schema(strategy.columns).empty_table())
