"""The raw side of a warehouse: the ledger as tables and the lake as views, before any model is built.

Schema `meter` has the ledger's tables, the items and the change feed; schema `results` has one view for each strategy.
Whoever changes what one of these shows under the same name raises `layout.LAYOUT`.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from meter_pipeline.store.lake.lake import SCHEMAS, results_schema
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.store.warehouse import dictionary, ledger_tables, scans, views
from meter_pipeline.store.warehouse.snapshot import LAKE_FILES, LANDED, LakeSnapshot, LedgerSnapshot

_SQL_TYPES = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ"}

# Months of a strategy with files that only one of two publications has, the last one or this one.
_CHANGED_PARTITIONS = """
SELECT DISTINCT table_name, strategy, month
FROM (FROM meter.lake_files UNION ALL FROM meter.lake_files_before)
GROUP BY table_name, strategy, month, part, fingerprint
HAVING count(*) = 1
"""

# Jobs whose rows the views show of a strategy that is being loaded: those that this publication's ledger counts.
_COUNTED_JOBS = {
    "raw": f"(SELECT job_id FROM meter.jobs WHERE state IN {LANDED})",  # noqa: S608
    "results": "(SELECT job_id FROM meter.jobs WHERE state = 'accepted')",
    "changes": "(SELECT job_id FROM meter.jobs WHERE state = 'accepted')",
}


def build_raw_side(
    connection: duckdb.DuckDBPyConnection,
    ledger: LedgerSnapshot,
    lake: LakeSnapshot,
    moving: frozenset[str],
    publication_id: str,
) -> None:
    """Creates all tables, views and macros of the schemas `meter` and `results` but `meter.publications`.

    Args:
        connection: The candidate's empty file.
        ledger: The ledger to show.
        lake: The files that the views read.
        moving: Slugs of strategies that are being loaded.
        publication_id: Stands for the fingerprint of files that have none.
    """
    connection.execute("CREATE SCHEMA meter; CREATE SCHEMA results")
    for name, table in ledger_tables.tables_of(ledger.rows).items():
        create_table(connection, f"meter.{name}", table)
    for macro in views.MACROS:
        connection.execute(macro)
    rows = {table: _table_query(lake, table, moving) for table in SCHEMAS}
    _create_view(connection, "meter.items", rows["raw"])
    _create_view(connection, "meter.item_changes", views.item_changes(rows["changes"]))
    _create_view(connection, "meter.item_versions", views.item_versions(rows["changes"], rows["results"], rows["raw"]))
    for strategy in ledger.strategies:
        _create_results(connection, lake, strategy, is_moving=strategy.slug in moving)
    create_table(connection, "meter.lake_files", lake.arrow(moving, publication_id))
    create_table(connection, "meter.lake_files_before", LAKE_FILES.empty_table())
    _create_view(connection, "meter.changed_partitions", _CHANGED_PARTITIONS)
    dictionary.comment_on_all(connection, ledger.strategies)


def create_table(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Creates a table from Arrow rows."""
    connection.register("incoming", rows)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608
    connection.unregister("incoming")


def _create_view(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> None:
    connection.execute(f"CREATE VIEW {name} AS {select}")


def _table_query(lake: LakeSnapshot, table: str, moving: frozenset[str]) -> str:
    """A query of the pipeline's own columns of a table of the lake, of all strategies; valid without any file too."""
    names, job = ", ".join(SCHEMAS[table].names), SCHEMAS[table].names[0]
    if lake.has_files(table):
        select = f"SELECT strategy, {names} FROM {scans.of_table(lake.source, table)}"  # noqa: S608
        if not moving:
            return select
        slugs = ", ".join(f"'{slug}'" for slug in sorted(moving))
        return f"{select} WHERE strategy NOT IN ({slugs}) OR {job} IN {_COUNTED_JOBS[table]}"
    # DuckDB has no Parquet file to read the columns from yet.
    none = ", ".join(f"CAST(NULL AS {_SQL_TYPES[column.type]}) AS {column.name}" for column in SCHEMAS[table])
    return f"SELECT CAST(NULL AS VARCHAR) AS strategy, {none} WHERE false"


def _create_results(
    connection: duckdb.DuckDBPyConnection, lake: LakeSnapshot, strategy: StrategyRow, *, is_moving: bool
) -> None:
    """Creates the view of a strategy's results; an empty table where there are no files to read the columns from."""
    name = f'results."{strategy.slug}"'
    if ("results", strategy.slug) not in lake.folders:
        create_table(connection, name, results_schema(strategy.columns).empty_table())
        return
    select = f"SELECT * FROM {scans.of_strategy(lake.source, 'results', strategy.slug)}"  # noqa: S608
    if is_moving:
        select += f" WHERE _meter_job_id IN {_COUNTED_JOBS['results']}"
    _create_view(connection, name, select)
