"""Every engine that people bring reads the same history: counts, sums, times, nested values, rows by strategy.

`make engines` runs it, with engines that are too heavy for every developer; Spark needs Java.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline_tests.engines.history import SUMS, Facts, History, read_with_duckdb

pytestmark = pytest.mark.engines


def _read_with_pyiceberg(history: History) -> tuple[Facts, dict[str, int]]:
    rows = history.shelf.table("results.books").scan().to_arrow().to_pylist()
    raw = history.shelf.table("meter.raw")
    times = [int(row["_meter_completed_at"].timestamp() * 1_000_000) for row in rows]
    sellers = [row["seller"] for row in rows if row["seller"] is not None]
    facts = (
        len(rows),
        sum(row["price"] for row in rows),
        min(times),
        max(times),
        sum(len(row["tags"] or ()) for row in rows),
        sum(seller["since"] or 0 for seller in sellers),
        sum(seller == {"name": "B", "since": None} for seller in sellers),
    )
    counts = {slug: raw.scan(row_filter=f"strategy == '{slug}'").to_arrow().num_rows for slug in ("books", "toys")}
    return facts, counts


def _sum_with_polars(frame: Any) -> Facts:
    import polars as pl

    seller = pl.col("seller").struct
    is_nameless = (seller.field("name") == "B") & seller.field("since").is_null()
    row = frame.select(
        pl.len().alias("rows"),
        pl.col("price").sum(),
        pl.col("_meter_completed_at").dt.epoch("us").min().alias("first"),
        pl.col("_meter_completed_at").dt.epoch("us").max().alias("last"),
        pl.col("tags").list.len().sum().alias("tags"),
        seller.field("since").sum().alias("since"),
        is_nameless.sum().alias("nameless"),
    ).collect()
    return row.row(0)


def _read_files_with_polars(history: History) -> tuple[Facts, None]:
    import polars as pl

    return _sum_with_polars(pl.scan_parquet(history.files)), None


def _read_tables_with_polars(history: History) -> tuple[Facts, dict[str, int]]:
    import polars as pl

    raw = pl.scan_iceberg(history.shelf.table("meter.raw")).group_by("strategy").len().collect()
    return _sum_with_polars(pl.scan_iceberg(history.shelf.table("results.books"))), dict(raw.rows())


_CLICKHOUSE = (
    "count(), sum(price), toInt64(min(toUnixTimestamp64Micro(_meter_completed_at))), "
    "toInt64(max(toUnixTimestamp64Micro(_meter_completed_at))), sum(length(tags)), "
    "sum(tupleElement(seller, 'since')), "
    "countIf(tupleElement(seller, 'name') = 'B' AND tupleElement(seller, 'since') IS NULL)"
)


def _ask_clickhouse(sql: str) -> list[list[Any]]:
    import json

    import chdb

    setting = "SETTINGS output_format_json_quote_64bit_integers = 0"
    return [json.loads(line) for line in str(chdb.query(f"{sql} {setting}", "JSONCompactEachRow")).splitlines()]


def _read_files_with_chdb(history: History) -> tuple[Facts, None]:
    files = ",".join(str(Path(file).relative_to(history.folder)) for file in history.files)
    (row,) = _ask_clickhouse(f"SELECT {_CLICKHOUSE} FROM file('{{{files}}}', 'Parquet')")
    return tuple(row), None


def _read_tables_with_chdb(history: History) -> tuple[Facts, dict[str, int]]:
    (row,) = _ask_clickhouse(f"SELECT {_CLICKHOUSE} FROM icebergLocal('{history.location('results.books')}')")
    counts = _ask_clickhouse(
        f"SELECT strategy, count() FROM icebergLocal('{history.location('meter.raw')}') GROUP BY strategy"
    )
    return tuple(row), dict(counts)


def _read_files_with_datafusion(history: History) -> tuple[Facts, None]:
    from datafusion import SessionContext

    context = SessionContext()
    frame = context.read_parquet(history.files[0])
    for file in history.files[1:]:
        frame = frame.union(context.read_parquet(file))
    context.register_view("books", frame)
    sums = SUMS.format(time="CAST(_meter_completed_at AS BIGINT)", tags="cardinality(tags)")
    sums = sums.replace("seller.since", "seller['since']").replace("seller.name", "seller['name']")
    (row,) = context.sql(f"SELECT {sums} FROM books").to_arrow_table().to_pylist()
    return tuple(row.values()), None


def _read_files_with_spark(history: History) -> tuple[Facts, None]:
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "1")
        .getOrCreate()
    )
    try:
        session.read.parquet(*history.files).createOrReplaceTempView("books")
        sums = SUMS.format(
            time="unix_micros(_meter_completed_at)", tags="CASE WHEN tags IS NOT NULL THEN size(tags) END"
        )
        (row,) = session.sql(f"SELECT {sums} FROM books").collect()
    finally:
        session.stop()
    return tuple(row), None


def _read_with_postgresql(history: History) -> tuple[Facts, dict[str, int]]:
    sums = SUMS.format(
        time="(extract(epoch from _meter_completed_at) * 1000000)::bigint", tags="jsonb_array_length(tags)"
    )
    sums = sums.replace("sum(seller.since)", "sum((seller ->> 'since')::bigint)::bigint")
    sums = sums.replace("seller.name", "seller ->> 'name'").replace("seller.since", "seller ->> 'since'")
    (row,) = history.postgres.ask(f"SELECT {sums} FROM SCHEMA.results_books")
    return row, dict(history.postgres.ask("SELECT strategy, count(*) FROM SCHEMA.items GROUP BY strategy"))


READERS: dict[str, Callable[[History], tuple[Facts, dict[str, int] | None]]] = {
    "pyiceberg": _read_with_pyiceberg,
    "Polars, files": _read_files_with_polars,
    "Polars, open tables": _read_tables_with_polars,
    "chDB, files": _read_files_with_chdb,
    "chDB, open tables": _read_tables_with_chdb,
    "DataFusion, files": _read_files_with_datafusion,
    "PostgreSQL, delivered": _read_with_postgresql,
}
if sys.version_info >= (3, 11):
    # PySpark asks for it.
    READERS["Spark, files"] = _read_files_with_spark


@pytest.mark.parametrize("engine", READERS)
def test_an_engine_reads_what_the_warehouse_shows(
    history: History, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # chDB reads only what lies below the working folder.
    monkeypatch.chdir(history.folder)
    facts, rows = read_with_duckdb(history)
    assert facts[0] == sum(20 + number for number in range(8))
    assert all(facts)
    found, counts = READERS[engine](history)
    assert found == facts
    assert counts in (rows, None)
