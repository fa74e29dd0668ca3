"""From raw items to typed rows: infer, widen, hash, key, and write `results`.

Raw rows come as Arrow tables of the lake's `raw`, so that a batch that was just fetched and one read back from the lake
take the same way.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.lake import RESULTS, Lake
from meter_pipeline.sync.identity import Identity, Occurrences


@dataclass(frozen=True)
class Parsed:
    """Items of one job, parsed: `values` as received, `objects` as the columns take them."""

    items: list[bytes]
    values: list[Any]
    objects: list[dict[str, Any]]


def parse(items: list[bytes]) -> Parsed:
    """Parses raw items.

    Raises:
        ColumnError: An item cannot be parsed.
    """
    values = columns.parse(items)
    return Parsed(items, values, columns.as_objects(values))


def infer(parsed: Parsed, time: str, job_id: str, start: int = 0) -> tuple[Field, ...]:
    """The fields of a job's items, or of those from item `start` on."""
    return columns.infer_fields(parsed.objects, (time, job_id, start))


def widen(fields: tuple[Field, ...], more: Sequence[tuple[Field, ...]]) -> tuple[Field, ...]:
    """The fields that hold the values of all of them."""
    for other in more:
        fields = columns.merge_fields(fields, other)
    return fields


def results_schema(fields: Sequence[Field]) -> pa.Schema:
    """The schema of a strategy's `results`."""
    return pa.schema([*RESULTS, *(pa.field(column.name, column.type) for column in columns.columns(fields))])


def typed(
    raw: pa.Table, parsed: Sequence[Any], hashes: list[str], keys: list[str], fields: Sequence[Field]
) -> pa.Table:
    """Rows of `results` for rows of `raw`.

    Args:
        raw: Rows of the lake's `raw`.
        parsed: Their items as objects, in the same order.
        hashes: Their items' hashes.
        keys: Their items' keys.
        fields: The strategy's fields, which must hold every value.
    """
    meta = [raw[name] for name in ("job_id", "schedule_id", "url", "item_index", "completed_at")]
    data = [columns.build([item.get(field.name) for item in parsed], field.type) for field in fields]
    return pa.table([*meta, pa.array(keys, pa.string()), pa.array(hashes, pa.string()), *data], results_schema(fields))


class Retyping:
    """`typed` for rows read back from the lake; jobs may begin and end in other batches.

    Attributes:
        duplicates: Items whose key an earlier one has, by job.
    """

    def __init__(self, fields: Sequence[Field], identity: Identity) -> None:
        self._fields, self._identity = fields, identity
        self._occurrences = ("", Occurrences())
        self.duplicates: dict[str, int] = {}

    def tables(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Rows of `results` for rows of `raw`, batch by batch; rows of a job stand together."""
        for batch in batches:
            with paused_collection():
                yield self._table(pa.Table.from_batches([batch]))

    def _table(self, raw: pa.Table) -> pa.Table:
        items: list[bytes] = raw["item"].cast(pa.binary()).to_pylist()
        parsed = parse(items)
        hashes = self._identity.hashes(parsed.values, items)
        unnumbered = self._identity.keys(parsed.values, hashes)
        keys: list[str] = []
        start = 0
        for job_id, count in _runs(raw["job_id"]):
            # Only the last job of a batch can go on in the next.
            if self._occurrences[0] != job_id:
                self._occurrences = (job_id, Occurrences())
            keys += self._occurrences[1].number(unnumbered[start : start + count])
            self.duplicates[job_id] = self._occurrences[1].duplicates
            start += count
        return typed(raw, parsed.objects, hashes, keys, self._fields)


def rewrite(
    lake: Lake, slug: str, fields: Sequence[Field], identity: Identity, accepted: Collection[str]
) -> dict[str, int]:
    """Writes a strategy's `results` anew from `raw`, in parts that hold the jobs of the raw parts.

    Args:
        lake: The lake.
        slug: The strategy.
        fields: Its fields, which must hold every value of every accepted job.
        identity: What its items are told apart by.
        accepted: Ids of the jobs that have rows in `results`.

    Returns:
        How many items of each job have a key that an earlier one has.
    """
    retyping = Retyping(fields, identity)
    parts = ((name, retyping.tables(lake.scan_part("raw", name, accepted))) for name in lake.parts("raw", slug))
    lake.rewrite("results", slug, parts, results_schema(fields))
    return retyping.duplicates


@contextmanager
def paused_collection() -> Iterator[None]:
    """Keeps the garbage collector from walking parsed JSON, which holds no cycles, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _runs(column: pa.ChunkedArray) -> list[tuple[str, int]]:
    ends = pc.run_end_encode(column.combine_chunks())
    bounds = ends.run_ends.to_pylist()
    return [
        (value, end - start) for value, end, start in zip(ends.values.to_pylist(), bounds, [0, *bounds], strict=False)
    ]
