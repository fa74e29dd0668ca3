"""The audit of a candidate: its parts have the rows that its jobs have items, and are where they should be."""

from __future__ import annotations

import os

import duckdb

from meter_pipeline.store.errors import RejectedError
from meter_pipeline.store.warehouse.snapshot import Snapshot

# By strategy: the rows of its parts, and what its jobs count.
_SUMS = """
WITH files AS (
    SELECT
        strategy,
        sum(rows) FILTER (table_name = 'raw') AS raw,
        sum(rows) FILTER (table_name = 'rejected') AS rejected,
        sum(rows) FILTER (table_name = 'results') AS results,
        sum(rows) FILTER (table_name = 'changes') AS changes,
        count(DISTINCT schema_digest) FILTER (table_name = 'results') AS schemas
    FROM meter.lake_files GROUP BY strategy
),
counted AS (
    SELECT
        strategy,
        sum(items) FILTER (state IN ('accepted', 'held')) AS raw,
        sum(rejected) FILTER (state IN ('accepted', 'held')) AS rejected,
        sum(items) FILTER (state = 'accepted') AS results,
        sum(changes) FILTER (state = 'accepted') AS changes
    FROM meter.jobs WHERE strategy IS NOT NULL GROUP BY strategy
),
compared AS (
    SELECT
        strategy,
        coalesce(files.raw, 0) AS raw, coalesce(counted.raw, 0) AS raw_expected,
        coalesce(files.rejected, 0) AS rejected, coalesce(counted.rejected, 0) AS rejected_expected,
        coalesce(files.results, 0) AS results, coalesce(counted.results, 0) AS results_expected,
        coalesce(files.changes, 0) AS changes, coalesce(counted.changes, 0) AS changes_expected,
        coalesce(schemas, 0) AS schemas
    FROM files FULL JOIN counted USING (strategy)
)
FROM compared
WHERE raw <> raw_expected OR rejected <> rejected_expected OR results <> results_expected
    OR changes <> changes_expected OR schemas > 1
ORDER BY strategy
LIMIT 1
"""


def audit_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Compares, in a candidate, the rows of each strategy's parts with the items and changes of its jobs.

    Raises:
        RejectedError: They differ, or a strategy's results are of several schemas.
    """
    found = connection.execute(_SUMS).fetchone()
    if found is None:
        return
    slug, raw, raw_expected, rejected, rejected_expected, results, results_expected, *others = found
    changes, changes_expected, schemas = others
    if raw != raw_expected:
        what = f"meter.items has {raw:,} rows of {slug}, its loaded jobs have {raw_expected:,} items"
    elif rejected != rejected_expected:
        what = (
            f"meter.rejected_items has {rejected:,} rows of {slug}, its loaded jobs have rejected {rejected_expected:,}"
        )
    elif results != results_expected:
        what = f"results.{slug} has {results:,} rows, its accepted jobs have {results_expected:,} items"
    elif changes != changes_expected:
        what = f"meter.item_changes has {changes:,} rows of {slug}, its accepted jobs have {changes_expected:,} changes"
    else:
        what = f"results.{slug} is in {schemas} kinds of files, whose columns differ"
    raise RejectedError(f"{what}: {_load_again(slug)}")


def audit_files(root: str, snapshot: Snapshot) -> None:
    """Checks that all parts are in a folder of this machine, each with the size that the manifest has.

    Raises:
        RejectedError: A file is missing, or has another size.
    """

    def is_whole(name: str, size: int) -> bool:
        try:
            return os.stat(f"{root}/{name}").st_size == size  # noqa: PTH116 - takes a third of the time
        except FileNotFoundError:
            return False

    names, sizes = (snapshot.parts[column].to_pylist() for column in ("name", "bytes"))
    broken = next((name for name, size in zip(names, sizes, strict=True) if not is_whole(name, size)), None)
    if broken is not None:
        slug = broken.split("/")[1].removeprefix("strategy=")
        raise RejectedError(f"{root}/{broken} is missing or was cut off: {_load_again(slug)}")


def _load_again(slug: str) -> str:
    return f"run `meter-pipeline sync --strategy {slug} --again`"
