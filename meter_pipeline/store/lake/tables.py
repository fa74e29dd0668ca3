"""The lake's tables: their columns, and the order of their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store.columns import Column

_UTC = pa.timestamp("us", tz="UTC")

RAW = pa.schema(
    [
        ("job_id", pa.string()),
        ("schedule_id", pa.string()),
        ("url", pa.string()),
        ("item_index", pa.int64()),
        ("item", pa.string()),
        ("completed_at", _UTC),
    ]
)
# Items that cannot be loaded by themselves, as received: their places in a job are missing in `raw`.
REJECTED = pa.schema(
    [
        ("job_id", pa.string()),
        ("schedule_id", pa.string()),
        ("url", pa.string()),
        ("item_index", pa.int64()),
        ("reason", pa.string()),
        ("bytes", pa.int64()),
        ("item", pa.binary()),
        ("completed_at", _UTC),
    ]
)
RESULTS = pa.schema(
    [
        ("_meter_job_id", pa.string()),
        ("_meter_schedule_id", pa.string()),
        ("_meter_url", pa.string()),
        ("_meter_item_index", pa.int64()),
        ("_meter_completed_at", _UTC),
        ("_meter_item_key", pa.string()),
        ("_meter_item_hash", pa.string()),
    ]
)
CHANGES = pa.schema(
    [
        ("job_id", pa.string()),
        ("previous_job_id", pa.string()),
        ("schedule_id", pa.string()),
        ("url", pa.string()),
        ("parameters", pa.string()),
        ("item_key", pa.string()),
        ("kind", pa.string()),
        ("field", pa.string()),
        ("old_value", pa.string()),
        ("new_value", pa.string()),
        ("old_number", pa.float64()),
        ("new_number", pa.float64()),
        ("old_currency", pa.string()),
        ("new_currency", pa.string()),
        ("observed_at", _UTC),
    ]
)
# What the audit knows of each job; a profile's bytes are written by `meter_pipeline.sync.audit.profile`.
PROFILES = pa.schema([("job_id", pa.string()), ("completed_at", _UTC), ("profile", pa.binary())])
SCHEMAS = {
    "raw": RAW,
    # Where items are elements of received ones: these, which `raw` was made from, and nothing otherwise.
    "received": RAW,
    "rejected": REJECTED,
    "results": RESULTS,
    "changes": CHANGES,
    "profiles": PROFILES,
}
#: The tables that are written from a job's body; the others are derived from `raw`.
RECEIVED = ("raw", "received", "rejected", "profiles")
#: The tables that a warehouse shows.
SHOWN = ("raw", "rejected", "results", "changes")


class Order(NamedTuple):
    """Names of columns: of the job's id, of its time, and those that order the rows of a job."""

    job: str
    time: str
    within_job: tuple[str, ...]


ORDER = {
    "raw": Order("job_id", "completed_at", ("item_index",)),
    "received": Order("job_id", "completed_at", ("item_index",)),
    "rejected": Order("job_id", "completed_at", ("item_index",)),
    "results": Order("_meter_job_id", "_meter_completed_at", ("_meter_item_index",)),
    "changes": Order("job_id", "observed_at", ("item_key", "field")),
    "profiles": Order("job_id", "completed_at", ()),
}


def results_schema(columns: Iterable[Column]) -> pa.Schema:
    """The schema of a strategy's results: the columns that every strategy has, then its own."""
    return pa.schema([*RESULTS, *(pa.field(column.name, column.type) for column in columns)])


def select_schema(table: str, columns: Sequence[str]) -> pa.Schema:
    """The schema of some columns that every strategy's files of a table have."""
    return pa.schema([SCHEMAS[table].field(name) for name in columns])


def find_runs(jobs: pa.Array) -> Iterator[tuple[str, int, int]]:
    """Runs of equal job ids in a column: the id, the first row, and the row after the last."""
    ends = pc.run_end_encode(jobs)
    start = 0
    for job_id, end in zip(ends.values.to_pylist(), ends.run_ends.to_pylist(), strict=True):
        yield job_id, start, end
        start = end


def in_order(table: str, rows: pa.Table) -> pa.Table:
    """Rows of a table in the order of its files: by time, job, and within a job."""
    order = ORDER[table]
    keys = rows.select([order.time, order.job, *order.within_job])
    places = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    if np.array_equal(places.to_numpy(), np.arange(len(places))):
        return rows
    return rows.take(places)
