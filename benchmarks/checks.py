"""Adds up what was loaded, so that a fast load that lost a row does not count as fast."""

from __future__ import annotations

from pathlib import Path

import duckdb

from benchmarks.worlds import Totals

_SUMS = """
    count(*),
    coalesce(sum(regexp_replace(price, '[^0-9]', '', 'g')::BIGINT), 0)::BIGINT,
    coalesce(sum(stock), 0)::BIGINT,
    coalesce(sum(round(rating * 10)), 0)::BIGINT
"""


class LoadDiffers(RuntimeError):
    """What was loaded is not what was served; says where they differ."""


def published(warehouse: Path) -> Totals:
    """What our published warehouse holds, from its typed views; the raw items are counted as well.

    Raises:
        LoadDiffers: When the raw copy and the typed rows differ in number.
    """
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        views = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'results'")
        sums = [0, 0, 0, 0]
        for (name,) in views.fetchall():
            found = _row(connection, f'SELECT {_SUMS} FROM results."{name}"')
            sums = [a + b for a, b in zip(sums, found, strict=True)]
        (raw,) = _row(connection, "SELECT count(*) FROM meter.items")
        (jobs,) = _row(connection, "SELECT count(*) FROM meter.jobs WHERE state = 'accepted'")
        (strategies,) = _row(connection, "SELECT count(*) FROM meter.strategies")
    if raw != sums[0]:
        raise LoadDiffers(f"{warehouse}: {raw:,} raw items but {sums[0]:,} typed ones")
    return _totals(strategies, jobs, sums)


def generic(database: Path, job: str = "_jobs_id") -> Totals:
    """What a database holds whose items are in one table, with the id of their job in the column `job`."""
    with duckdb.connect(str(database), read_only=True) as connection:
        sums = _row(connection, f"SELECT {_SUMS} FROM meter.items")
        (jobs,) = _row(connection, f"SELECT count(DISTINCT {job}) FROM meter.items")
        (strategies,) = _row(connection, "SELECT count(*) FROM meter.strategies")
    return _totals(strategies, jobs, sums)


def compare(who: str, served: Totals, loaded: Totals) -> None:
    """Raises:
    LoadDiffers: When a load does not add up to what was served.
    """
    wrong = [
        f"{name}: {getattr(loaded, name):,} instead of {getattr(served, name):,}"
        for name in ("strategies", "jobs", "items", "cents", "stock", "rating_tenths")
        if getattr(loaded, name) != getattr(served, name)
    ]
    if wrong:
        raise LoadDiffers(f"{who} did not load what was served; {'; '.join(wrong)}")


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> list[int]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return list(row)


def _totals(strategies: int, jobs: int, sums: list[int]) -> Totals:
    items, cents, stock, rating = sums
    return Totals(strategies, jobs, items, cents, stock, rating, body_bytes=0)
