"""Lets rejected items in by hand: what can be read of them enters results and feed as if it had been from the start."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np
import pyarrow as pa

from meter_pipeline.api import Job
from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.store.item_json import ItemError
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import RAW, REJECTED, Lake
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.times import now
from meter_pipeline.sync.items.inside import take_out
from meter_pipeline.sync.items.mending import mend
from meter_pipeline.sync.items.raw import item_texts, raw_rows
from meter_pipeline.sync.items.results import paused_collection
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.decisions import Decision, DecisionError, decide
from meter_pipeline.sync.loading.job import CompletedJob, read_held_job, record_from_ledger
from meter_pipeline.sync.loading.loader import StrategyLoader
from meter_pipeline.sync.loading.rejects import Reject, number_after
from meter_pipeline.sync.loading.state import LoadContext, read_state

RELEASE_ITEMS = Decision("released with their rejected items", ("accepted", "held"))


@dataclass(frozen=True)
class Readmission:
    """Rejected items of a strategy's jobs that were let in.

    Attributes:
        slug: The strategy.
        jobs: How many jobs.
        items: Rejected items that are now in the results.
        left: Rejected items that cannot be read.
        rejection: Which is the first of these, and why; None without any.
    """

    slug: str
    jobs: int
    items: int
    left: int = 0
    rejection: str | None = None


def release_items(
    ledger: Ledger, lake: Lake, job_ids: Sequence[str], config: Config | None = None, limits: Limits = Limits()
) -> list[Readmission]:
    """Lets the rejected items of jobs in, as far as they can be read; held jobs are released with them.

    Args:
        ledger: The ledger.
        lake: The lake.
        job_ids: The jobs; either items of all jobs of a strategy are let in, or of none.
        config: The contents of `meter.yaml`.
        limits: How much is kept in memory.

    Returns:
        What was let in, strategy by strategy.

    Raises:
        DecisionError: A job has no rejected items, or none that can be read, is neither accepted nor held, or its
            strategy is being loaded by another process.
        StoreError: The ledger or the lake cannot be used.
    """
    return decide(ledger, lake, job_ids, RELEASE_ITEMS, _release_items, config, limits)


def _release_items(context: LoadContext, claim: Claim, rows: Sequence[JobRow]) -> Readmission:
    """Lets rejected items of one strategy's jobs in, in one commit; the strategy's claim is held."""
    path = read_state(context).rules.items
    loader = StrategyLoader(context, claim)
    found, jobs = [], []
    try:
        for row in rows:
            read = _mend_rejects(context, row)
            found.append(read)
            jobs.append(_land(context, loader, row, read, path))
    except BaseException:
        context.draft.discard()
        raise
    loader.accept(sorted(jobs, key=lambda job: job.place))
    left = [(read.row.job_id, reject) for read in found for reject in read.left]
    first = f"job {left[0][0]}, {left[0][1]}" if left else None
    return Readmission(context.slug, len(rows), sum(len(read.mended) for read in found), len(left), first)


@dataclass(frozen=True)
class _Read:
    """The rejected items of a job: those that can be read now, by position, and the others."""

    row: JobRow
    mended: dict[int, bytes]
    left: list[Reject]


def _mend_rejects(context: LoadContext, row: JobRow) -> _Read:
    read = _Read(row, {}, [])
    times = {row.job_id: row.completed_at or ""}
    for batch in context.draft.job_batches("rejected", ["item_index", "reason", "item", "bytes"], times):
        for entry in batch.to_pylist():
            reject = Reject(entry["item_index"], entry["reason"], entry["item"])
            try:
                # Of an item that is too large, only the beginning is kept.
                if len(reject.item) < entry["bytes"]:
                    raise ItemError(reject.reason)
                read.mended[reject.position] = mend(reject.item)
            except ItemError:
                read.left.append(reject)
    if not read.mended:
        if not read.left:
            raise DecisionError(f"job {row.job_id} has no rejected items")
        unread = f"none of its {len(read.left):,} rejected items can be read; the first is {read.left[0]}"
        raise DecisionError(f"job {row.job_id}: {unread}")
    return read


def _land(context: LoadContext, loader: StrategyLoader, row: JobRow, read: _Read, path: str | None) -> CompletedJob:
    """Puts what was read beside the job's other items in the draft; returns the job with all of them."""
    draft, job, times = context.draft, record_from_ledger(row), {row.job_id: row.completed_at or ""}
    mended, positions, left = list(read.mended.values()), list(read.mended), read.left
    if path is not None:
        # Where items are elements of received ones, those of the mended ones follow, and rejected ones come last.
        received = draft.job_batches("received", ["item_index"], times)
        taken = {position for batch in received for position in batch["item_index"].to_pylist()}
        free = islice((position for position in count() if position not in taken), len(mended))
        _add(draft, "received", _rows(job, list(free), mended), times)
        mended, first = take_out(mended, path), row.items or 0
        positions = list(range(first, first + len(mended)))
        left = number_after(first + len(mended), left)
    _add(draft, "raw", _rows(job, positions, mended), times)
    _leave(draft, read.left, left, times)
    # What the job is like is found out when a verdict needs it.
    draft.remove("profiles", times)
    first_left = str(left[0]) if left else None
    after = replace(row, rejected=len(left), rejection=first_left)
    if row.state == "held":
        after = replace(after, released_at=now(), held_at=None)
    with paused_collection():
        completed = read_held_job(after, draft, loader.texts, large_bytes=context.limits.large_bytes)
    if completed.problem is not None:
        raise DecisionError(f"job {row.job_id} cannot be released: {completed.problem}")
    return completed


def _rows(job: Job, positions: Sequence[int], items: Sequence[bytes]) -> pa.Table:
    return raw_rows([(job, np.array(positions, np.int64))], item_texts(items))


def _add(draft: Draft, table: str, rows: pa.Table, times: Mapping[str, str]) -> None:
    """Adds rows to those that a job has in a table; they are in the order of their positions."""
    draft.exchange(table, times, _merge(draft.scan(table, times, RAW.names), rows), RAW)


def _merge(batches: Iterable[pa.RecordBatch], rows: pa.Table) -> Iterator[pa.Table]:
    positions, start = rows["item_index"].to_pylist(), 0
    for batch in batches:
        end = bisect_right(positions, batch["item_index"][-1].as_py(), start) if batch.num_rows else start
        piece = pa.Table.from_batches([batch], RAW)
        yield pa.concat_tables([piece, rows.slice(start, end - start)]).sort_by("item_index") if end > start else piece
        start = end
    if start < rows.num_rows:
        yield rows.slice(start)


def _leave(draft: Draft, before: Sequence[Reject], left: Sequence[Reject], times: Mapping[str, str]) -> None:
    """Leaves a job only those rejected items that cannot be read, at the positions that they have now."""
    places = {old.position: new.position for old, new in zip(before, left, strict=True)}
    kept = []
    for batch in draft.scan("rejected", times, REJECTED.names):
        positions = batch["item_index"].to_pylist()
        stay = pa.array([at in places for at in positions], pa.bool_())
        rows = pa.Table.from_batches([batch], REJECTED).filter(stay)
        moved = pa.array([places[at] for at in positions if at in places], pa.int64())
        kept.append(rows.set_column(REJECTED.get_field_index("item_index"), "item_index", moved))
    draft.exchange("rejected", times, kept, REJECTED)
