"""The audit of a candidate: each strategy has as many rows in the views as its jobs have items in the ledger."""

from __future__ import annotations

import duckdb

from meter_pipeline.store.errors import RejectedError
from meter_pipeline.store.ledger.claims import Claims
from meter_pipeline.store.warehouse import scans
from meter_pipeline.store.warehouse.snapshot import LakeSnapshot, LedgerSnapshot

# Rows of each strategy, read from the footers of the files.
_COUNT_ROWS = """
SELECT regexp_extract(file_name, '.*/strategy=([^/]+)/', 1), sum(num_rows)::BIGINT
FROM parquet_file_metadata('{}')
GROUP BY ALL
"""


def audit(
    connection: duckdb.DuckDBPyConnection,
    ledger: LedgerSnapshot,
    lake: LakeSnapshot,
    moving: frozenset[str],
    claims: Claims,
) -> None:
    """Compares the rows of `meter.items` and of each table of `results` with the items that the ledger counts.

    Args:
        connection: The candidate's file.
        ledger: The ledger that the candidate shows.
        lake: The files that its views read.
        moving: Slugs of strategies that are being loaded: their views hide what the ledger does not know.
        claims: Tells whether a load of such a strategy is at work.

    Raises:
        RejectedError: A strategy's rows are not those of its jobs.
    """
    raw, results = (_count_rows(connection, lake, table) for table in ("raw", "results"))
    for strategy in ledger.strategies:
        slug, strategy_id = strategy.slug, strategy.strategy_id
        landed, (_, accepted) = ledger.landed.get(strategy_id, 0), ledger.accepted.get(strategy_id, (0, 0))
        if slug in moving:
            shown = (
                f"SELECT count(*) FROM meter.items WHERE strategy = '{slug}'",  # noqa: S608
                f'SELECT count(*) FROM results."{slug}"',  # noqa: S608
            )
            raw[slug], results[slug] = (connection.execute(query).fetchall()[0][0] for query in shown)
            if (raw[slug], results[slug]) != (landed, accepted) and _is_being_loaded(claims, slug):
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


def _is_being_loaded(claims: Claims, slug: str) -> bool:
    """Whether a process loads the strategy now; if none does, a sync was killed and the next one repairs it."""
    claim = claims.try_claim(slug)
    if claim is not None:
        claim.release()
    return claim is None


def _count_rows(connection: duckdb.DuckDBPyConnection, lake: LakeSnapshot, table: str) -> dict[str, int]:
    """Rows of each strategy in the files of a table, by slug."""
    if not lake.has_files(table):
        return {}
    files = scans.pattern(lake.source, f"{table}/*/*/*.parquet")
    return dict(connection.execute(_COUNT_ROWS.format(files)).fetchall())
