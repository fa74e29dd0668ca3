"""Every engine that people bring reads the same history: counts, sums, times, nested values, rows by strategy.

`make engines` runs it, with engines that are too heavy for every developer; Spark needs Java.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import reading
from meter_pipeline_tests.behaviour.station import Station, flagging
from meter_pipeline_tests.store.warehouse.delivery.targets import Target
from meter_pipeline_tests.store.warehouse.open_tables.shelf import Shelf

pytestmark = pytest.mark.engines

#: Rows, the sum of prices, the first and the last time (microseconds since 1970), the number of tags, the sum of
#: `seller.since`, and the rows of sellers without one.
Facts = tuple[int, float, int, int, int, int, int]


@dataclass
class History:
    """A published history with its open tables.

    Attributes:
        folder: The data folder.
        shelf: The open tables.
        files: The parts of the strategy's results.
        postgres: Where the publication was delivered.
    """

    folder: Path
    shelf: Shelf
    files: list[str]
    postgres: Target

    def location(self, name: str) -> Path:
        """The folder of an open table."""
        return Path(self.shelf.table(name).location().removeprefix("file://"))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[History]:
    """Two strategies over forty days, in several loads, with columns that come later and a type that changes."""
    folder = tmp_path_factory.mktemp("engines")
    with Sandbox(worlds=()) as sandbox, Station(folder, sandbox) as station:
        for name in ("Books", "Toys"):
            sandbox.add_strategy(name, items=[])
        shelf = Shelf(
            station.ledger,
            station.lake,
            folder / "warehouse.duckdb",
            f"sqlite:///{folder}/catalog.sqlite",
            str(folder / "lake"),
        )
        for number in range(8):
            sandbox.advance(hours=120)
            for name in ("Books", "Toys")[: 1 + number % 2]:
                sandbox.insert_job(name, items=[_item(number, place) for place in range(20 + number)])
            station.sync(config=flagging("Books", "Toys"))
            shelf.publish()
        files = [station.lake.files.uri(part.name) for part in station.parts("books", "results")]
        target = Target("postgresql", postgres, "engines", ("results.*", "meter.items"))
        target.deliver(station.ledger, shelf.path)
        yield History(folder, shelf, files, target)
        target.ask("DROP SCHEMA engines CASCADE")


def _item(number: int, place: int) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": place,
        "price": place if number < 3 else place + 0.25,
        "title": f"Tom’s no. {place} ✓",
    }
    if number >= 2:
        item["tags"] = ["new", "näh", ""][: place % 4]
        item["seller"] = {"name": "A", "since": 2000 + place} if place % 3 else {"name": "B", "since": None}
    return item


_SUMS = (
    "count(*), sum(price), min({time}), max({time}), sum({tags}), sum(seller.since), "
    "count(*) FILTER (WHERE seller.name = 'B' AND seller.since IS NULL)"
)


def _read_with_duckdb(history: History) -> tuple[Facts, dict[str, int]]:
    sums = _SUMS.format(time="epoch_us(_meter_completed_at)", tags="len(tags)")
    with reading(history.shelf.path) as connection:
        (facts,) = connection.execute(f"SELECT {sums} FROM results.books").fetchall()
        rows = connection.execute("SELECT strategy, count(*) FROM meter.items GROUP BY ALL").fetchall()
    return facts, dict(rows)


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
    sums = _SUMS.format(time="CAST(_meter_completed_at AS BIGINT)", tags="cardinality(tags)")
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
        sums = _SUMS.format(
            time="unix_micros(_meter_completed_at)", tags="CASE WHEN tags IS NOT NULL THEN size(tags) END"
        )
        (row,) = session.sql(f"SELECT {sums} FROM books").collect()
    finally:
        session.stop()
    return tuple(row), None


def _read_with_postgresql(history: History) -> tuple[Facts, dict[str, int]]:
    sums = _SUMS.format(
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
    facts, rows = _read_with_duckdb(history)
    assert facts[0] == sum(20 + number for number in range(8))
    assert all(facts)
    found, counts = READERS[engine](history)
    assert found == facts
    assert counts in (rows, None)
