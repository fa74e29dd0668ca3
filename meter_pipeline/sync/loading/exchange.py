"""Exchanges accepted jobs of a strategy: some leave its results and feed, others enter, all in one draft.

The strategy's columns are made from its accepted jobs alone, so columns and wider types that only a job brought that
leaves go with it. So do a key that the other jobs do not support, and what their texts were read as.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from meter_pipeline.api import Job
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.item_json import as_objects, parse_items
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import RAW
from meter_pipeline.store.lake.tables import find_runs
from meter_pipeline.store.ledger.rows import JobRow, times_of
from meter_pipeline.store.times import moment
from meter_pipeline.sync.audit.findings import HELD
from meter_pipeline.sync.changes.diff import Counts
from meter_pipeline.sync.items.readings import PLAIN, survey
from meter_pipeline.sync.items.results import paused_collection, rewrite
from meter_pipeline.sync.loading.job import CompletedJob
from meter_pipeline.sync.loading.pieces import PIECE_FIELDS
from meter_pipeline.sync.loading.rows import TypedBatch, changes_fit, rows_fit, write_changes, write_typed
from meter_pipeline.sync.loading.state import ItemMemory, LoadContext, StrategyState
from meter_pipeline.sync.loading.updates import KEEP, JobUpdate


@dataclass(frozen=True)
class Exchange:
    """What an exchange of accepted jobs came to; its rows are in the draft.

    Attributes:
        typed: The typed rows that were written, and the strategy's state after them.
        counts: Rows of the change feed.
        is_rewritten: Whether the rows of other jobs were made again.
    """

    typed: TypedBatch
    counts: Counts
    is_rewritten: bool

    def updates_of_others(self) -> dict[str, JobUpdate]:
        """Updates of accepted jobs, by id, whose rows in the change feed are counted again."""
        duplicates = self.typed.duplicates
        return {
            job_id: JobUpdate(
                job_id,
                "accepted",
                changes=count,
                duplicates=duplicates.get(job_id, 0) if self.typed.is_rekeyed else KEEP,
            )
            for job_id, count in self.counts.rows.items()
        }


def exchange_jobs(
    context: LoadContext,
    state: StrategyState,
    left: Sequence[JobRow],
    entered: Sequence[CompletedJob] = (),
    memory: ItemMemory | None = None,
) -> Exchange:
    """Takes accepted jobs out of results and feed, and puts others in.

    Args:
        context: The load; its draft has the raw rows of all these jobs.
        state: The strategy's state.
        left: The accepted jobs that leave, as the ledger has them.
        entered: Jobs that are accepted now.
        memory: The items of those that enter.
    """
    leaving = [_without_items(row) for row in left]
    jobs = sorted([*leaving, *entered], key=lambda job: job.place)
    with paused_collection():
        rest = _times_of_rest(context, left) if left else {}
        before = _state_of(context, state, rest) if left else state
        is_narrower = not rows_fit(state, before)
        duplicates: Mapping[str, int] = {}
        if is_narrower:
            duplicates = rewrite(context.draft, before.fields, before.identity, rest, before.readings, context.limits)
        memory = memory or ItemMemory()
        typed = write_typed(context, before, memory, jobs)
        is_rekeyed = typed.is_rekeyed or not changes_fit(state, before)
        typed = replace(typed, is_rekeyed=is_rekeyed, duplicates={**duplicates, **typed.duplicates})
        counts = write_changes(context, typed, memory, jobs)
    return Exchange(typed, counts, is_narrower or typed.is_rewritten)


def _without_items(row: JobRow) -> CompletedJob:
    """A job that is not accepted any more: none of its items is needed."""
    record = Job(job_id=row.job_id, strategy_id=row.strategy_id, completed_at=moment(row.completed_at))
    return CompletedJob(replace(row, released_at=None), record, row.bytes or 0, row.items or 0, (), HELD, None, [])


def _state_of(context: LoadContext, state: StrategyState, times: Mapping[str, str]) -> StrategyState:
    """The strategy's state with the fields and readings that some jobs make, whose times are given by id."""
    fields = _fields_of(context, state, times)
    seen = survey(context.draft.scan("raw", times, RAW.names), fields, enough=state.readings.facts)
    return replace(state, fields=fields, readings=PLAIN.with_facts(seen).settle(fields, state.rules))


def _fields_of(context: LoadContext, state: StrategyState, times: Mapping[str, str]) -> tuple[Field, ...]:
    """The strategy's fields as some of its jobs make them."""
    found: tuple[Field, ...] = ()
    for fields in read_fields(context.draft, times):
        found = columns.merge_fields(found, fields)
        # Fields only ever grow towards those of all jobs: once they are the same, no further job changes them.
        if state.rules.floor(found) == state.fields:
            return state.fields
    return state.rules.floor(found)


def read_fields(draft: Draft, times: Mapping[str, str]) -> Iterator[tuple[Field, ...]]:
    """The fields of jobs in raw, piece by piece, with the stamps that they had when the jobs were loaded."""
    read: Counter[str] = Counter()
    for batch in draft.scan("raw", times, ["job_id", "item"]):
        items = as_objects(parse_items(batch["item"].cast(pa.binary()).to_pylist()))
        for job_id, start, end in find_runs(batch["job_id"]):
            yield columns.infer_fields(items[start:end], (times[job_id], job_id, read[job_id] * PIECE_FIELDS))
            read[job_id] += end - start


def _times_of_rest(context: LoadContext, jobs: Sequence[JobRow]) -> dict[str, str]:
    """Times of the accepted jobs other than these, by id."""
    own = {row.job_id for row in jobs}
    rest = context.ledger.jobs(context.strategy_id, ("accepted",))
    return times_of(row for row in rest if row.job_id not in own)
