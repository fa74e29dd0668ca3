"""The steps of a load that write rows of jobs: raw rows, typed rows, and rows of the change feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.lake.lake import RAW
from meter_pipeline.sync.changes.feed import Feed, seen_before
from meter_pipeline.sync.changes.in_memory import AtHand
from meter_pipeline.sync.items.raw import job_columns, raw_rows
from meter_pipeline.sync.items.results import Retyping, alike, results_schema, rewrite, typed, widen
from meter_pipeline.sync.items.texts import Gathered
from meter_pipeline.sync.loading.job import CompletedJob
from meter_pipeline.sync.loading.key_search import choose_key
from meter_pipeline.sync.loading.state import ItemMemory, LoadContext, StrategyState


@dataclass(frozen=True)
class TypedBatch:
    """What typing a batch came to.

    Attributes:
        state: The strategy's state with the fields and the key that the batch brought.
        duplicates: Items whose key an earlier item of the job has, by job id.
        new_columns: Names of columns that the strategy did not have before.
        widened: Names of columns whose type became wider.
        is_rewritten: Whether rows of earlier jobs were written again.
    """

    state: StrategyState
    duplicates: Mapping[str, int]
    new_columns: tuple[str, ...]
    widened: tuple[str, ...]
    is_rewritten: bool


def write_raw(context: LoadContext, memory: ItemMemory, jobs: Sequence[CompletedJob]) -> None:
    """Writes the raw rows of small jobs; a large job's raw rows were written while it was read."""
    small = [(job.job, job.items) for job in jobs if job.items is not None]
    if not small:
        return
    rows = Gathered.of(memory.texts, [items.numbers for _, items in small])
    raw = raw_rows([(job, len(items)) for job, items in small], rows.items())
    ids = {job.job_id for job, _ in small}
    context.lake.replace("raw", context.slug, raw, ids, thorough=context.may_have_rows)


def write_typed(
    context: LoadContext, state: StrategyState, memory: ItemMemory, jobs: Sequence[CompletedJob]
) -> TypedBatch:
    """Writes the typed rows of a batch, and those of all earlier jobs where the batch changes the columns or the key.

    Args:
        context: The load.
        state: The strategy's state before the batch.
        memory: The items of the small jobs; gets to know which are typed.
        jobs: The batch in order of time, held jobs included: any typed rows of theirs go.
    """
    accepted = [job for job in jobs if job.accepted]
    ids = {job.job.job_id for job in jobs}
    keyed = choose_key(context, state, accepted)
    is_rekeyed = keyed.rules.key != state.rules.key and not state.is_first
    if memory.texts.identify(keyed.rules.identity):
        memory.previous = {}
    fields = _widen_fields(keyed, memory, accepted)
    earlier = _find_jobs_to_retype(context, keyed, fields, ids)
    typed_state = replace(keyed, fields=fields)
    duplicates = {job.job.job_id: job.items.repeats for job in accepted if job.items is not None}
    if earlier:
        rewritten = earlier | {job.job.job_id for job in accepted}
        duplicates |= rewrite(context.lake, context.slug, fields, keyed.rules.identity, rewritten)
    else:
        duplicates |= _append_typed(context, typed_state, memory, accepted, ids)
    new_columns, widened = _compare_columns(keyed.fields, fields)
    return TypedBatch(typed_state, duplicates, new_columns, widened, is_rekeyed or bool(earlier))


def write_changes(
    context: LoadContext, state: StrategyState, memory: ItemMemory, jobs: Sequence[CompletedJob]
) -> dict[str, int]:
    """Writes the changes that a batch shows, and those of the jobs that come right after its jobs.

    Returns:
        How many items of the batch were added, removed and changed, by kind.
    """
    entered = [job.in_feed for job in jobs if job.accepted]
    accepted = {entry.job_id: entry for entry in entered}
    left = []
    for job in jobs:
        if job.row.state == "accepted":
            before, after = seen_before(job.row), accepted.get(job.row.job_id)
            if after is None or (before.target_id, before.place) != (after.target_id, after.place):
                left.append(before)
    in_memory = {job.job.job_id: AtHand(job.items) for job in jobs if job.items is not None and job.accepted}
    kinds = Feed(context.lake, context.ledger, context.strategy, context.limits.large_bytes).update(
        state.rules.identity,
        entered,
        left,
        {**memory.previous, **in_memory},
        first=state.is_first,
        thorough=context.may_have_rows,
    )
    # The next batch is compared with the last job of each target.
    last = {entry.target_id: entry.job_id for entry in entered}
    memory.previous = {job_id: in_memory[job_id] for job_id in last.values() if job_id in in_memory}
    return kinds


def remove_raw(context: LoadContext, job_id: str) -> None:
    """Removes the raw rows of a job."""
    context.lake.replace("raw", context.slug, RAW.empty_table(), {job_id}, thorough=True)


def _widen_fields(state: StrategyState, memory: ItemMemory, accepted: Sequence[CompletedJob]) -> tuple[Field, ...]:
    """The strategy's fields, widened to hold every value of the accepted jobs."""
    memory.extend()
    small = [(job.place, job.items) for job in accepted if job.items is not None]
    fields = widen(state.fields, small, memory.is_typed)
    for job in accepted:
        fields = columns.merge_fields(fields, job.fields)
    return state.rules.floor(fields)


def _find_jobs_to_retype(
    context: LoadContext, state: StrategyState, fields: Sequence[Field], ids: set[str]
) -> set[str]:
    """Ids of the accepted jobs outside of the batch, if wider fields change the columns; else none."""
    if alike(results_schema(fields), results_schema(state.fields)):
        return set()
    earlier = set() if state.is_first else context.ledger.accepted(context.strategy_id) - ids
    if not earlier and context.may_have_rows:
        context.lake.drop("results", context.slug)
    return earlier


def _append_typed(
    context: LoadContext, state: StrategyState, memory: ItemMemory, accepted: Sequence[CompletedJob], ids: set[str]
) -> dict[str, int]:
    """Writes the typed rows of accepted jobs in the place of any rows of `ids`; returns duplicates of large jobs."""
    large = [job for job in accepted if job.items is None]
    duplicates: dict[str, int] = {}
    for job in large:
        retyping = Retyping(state.fields, state.rules.identity)
        raw = context.lake.job_batches("raw", context.slug, RAW.names, {job.job.job_id: job.time})
        context.lake.write_job("results", context.slug, job.time, job.job.job_id, retyping.tables(raw))
        duplicates |= retyping.duplicates
    small = [(job.job, job.items) for job in accepted if job.items is not None]
    rows = Gathered.of(memory.texts, [items.numbers for _, items in small])
    if any(items.repeats for _, items in small):
        keys = pa.array([key for _, items in small for key in items.keys], pa.string())
    else:
        keys = rows.keys()
    about = job_columns([(job, len(items)) for job, items in small])
    replaced = ids - {job.job.job_id for job in large}
    results = typed(about, rows, keys, state.fields)
    context.lake.replace("results", context.slug, results, replaced, thorough=context.may_have_rows)
    return duplicates


def _compare_columns(old: Sequence[Field], new: Sequence[Field]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of new columns, and of columns whose type changed."""
    before = {column.name: column.type for column in columns.columns(old)}
    after = {column.name: column.type for column in columns.columns(new)}
    added = tuple(name for name in after if name not in before)
    widened = tuple(name for name, type_ in after.items() if name in before and before[name] != type_)
    return added, widened
