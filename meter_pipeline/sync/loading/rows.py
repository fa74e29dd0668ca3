"""The steps of a load that make rows of jobs: raw rows, typed rows, and rows of the change feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.lake.lake import RAW
from meter_pipeline.store.lake.tables import RECEIVED
from meter_pipeline.store.ledger.rows import times_of
from meter_pipeline.sync.changes.diff import Counts, Seen
from meter_pipeline.sync.changes.feed import Feed, seen_before
from meter_pipeline.sync.changes.in_memory import AtHand
from meter_pipeline.sync.changes.numbers import NumberReader
from meter_pipeline.sync.changes.run_feed import open_feed
from meter_pipeline.sync.items.raw import item_texts, job_columns, raw_rows
from meter_pipeline.sync.items.readings import Readings, columns_of, observe_objects
from meter_pipeline.sync.items.results import Retyping, alike, results_schema, rewrite, typed, widen
from meter_pipeline.sync.items.texts import Gathered
from meter_pipeline.sync.loading.history import profile_rows
from meter_pipeline.sync.loading.job import CompletedJob
from meter_pipeline.sync.loading.key_search import choose_key
from meter_pipeline.sync.loading.page_search import choose_compare
from meter_pipeline.sync.loading.rejects import rejected_rows
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
        is_rekeyed: Whether items are keyed, hashed and compared in another way than before.
        is_reread: Whether numbers of earlier changes are others than before.
    """

    state: StrategyState
    duplicates: Mapping[str, int]
    new_columns: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    is_rewritten: bool = False
    is_rekeyed: bool = False
    is_reread: bool = False


def write_raw(context: LoadContext, memory: ItemMemory, jobs: Sequence[CompletedJob]) -> None:
    """Writes raw rows and rejected items of small jobs; those of a large job were written while it was read."""
    small = [(job.job, job.positions, job.items) for job in jobs if job.items is not None]
    if small:
        rows = Gathered.of(memory.texts, [items.numbers for *_, items in small])
        context.draft.append("raw", raw_rows([(job, positions) for job, positions, _ in small], rows.items()))
    for job in jobs:
        if job.received is not None and job.received.items:
            received = raw_rows([(job.job, job.received.positions)], item_texts(job.received.items))
            context.draft.append("received", received)
        if job.rejects:
            context.draft.append("rejected", rejected_rows(job.job, job.rejects))


def write_profiles(context: LoadContext, jobs: Sequence[CompletedJob]) -> None:
    """Writes the profiles of jobs that have one."""
    profiles = {job.job.job_id: job.profile for job in jobs if job.profile is not None}
    if profiles:
        context.draft.append("profiles", profile_rows(profiles))


def write_typed(
    context: LoadContext, state: StrategyState, memory: ItemMemory, jobs: Sequence[CompletedJob]
) -> TypedBatch:
    """Writes the typed rows of a batch, and those of all earlier jobs where the batch changes the columns or the key.

    Args:
        context: The load; its draft has the raw rows of the batch.
        state: The strategy's state before the batch.
        memory: The items of the small jobs; gets to know which are typed.
        jobs: The batch in order of time, held jobs included: any typed rows of theirs go.
    """
    accepted = [job for job in jobs if job.accepted]
    keyed = choose_key(context, state, accepted, [job.row for job in jobs if job.row.state == "accepted"])
    fields = _widen_fields(keyed, memory, accepted)
    typed_state = replace(keyed, fields=fields, readings=_read_values(keyed, memory, accepted, fields))
    readings = typed_state.readings
    is_rekeyed = not state.is_first and typed_state.identity != state.identity
    if memory.texts.identify(typed_state.identity):
        memory.previous = {}
    is_reread = not (state.is_first or changes_fit(state, typed_state))
    is_rewritten = not (state.is_first or rows_fit(state, typed_state))
    duplicates = {job.job.job_id: job.items.repeats for job in accepted if job.items is not None}
    if is_rewritten:
        times = _times_of_accepted(context, jobs)
        duplicates |= rewrite(context.draft, fields, typed_state.identity, times, readings, context.limits)
    else:
        context.draft.remove("results", times_of(job.row for job in jobs if job.row.state == "accepted"))
        duplicates |= _append_typed(context, typed_state, memory, accepted)
    entered = [job.in_feed for job in accepted]
    typed_state = choose_compare(context, typed_state, entered, _find_left(jobs), is_rekeyed=is_rekeyed)
    if not state.is_first and typed_state.rules.compare != state.rules.compare:
        is_rekeyed = True
        if not is_rewritten:
            # A warehouse makes item versions again of the months whose rows are new: here of all.
            is_rewritten = True
            times = _times_of_accepted(context, jobs)
            duplicates |= rewrite(context.draft, fields, typed_state.identity, times, readings, context.limits)
    new_columns, widened = _compare_columns(state, typed_state)
    return TypedBatch(typed_state, duplicates, new_columns, widened, is_rewritten, is_rekeyed, is_reread)


def write_changes(
    context: LoadContext, typed_batch: TypedBatch, memory: ItemMemory, jobs: Sequence[CompletedJob]
) -> Counts:
    """Writes the changes that a batch shows, and those of the jobs that come right after its jobs."""
    state = typed_batch.state
    entered = [job.in_feed for job in jobs if job.accepted]
    in_memory = {job.job.job_id: AtHand(job.items) for job in jobs if job.items is not None and job.accepted}
    feed = make_feed(context, state)
    own = {job.job.job_id for job in jobs}

    def rebuild() -> Counts:
        earlier = (seen_before(row) for row in context.ledger.jobs(context.strategy_id, ("accepted",)))
        return feed.rebuild(state.identity, [*entered, *(job for job in earlier if job.job_id not in own)])

    if typed_batch.is_rekeyed:
        counts = rebuild()
    else:
        sides = {**memory.previous, **in_memory}
        counts = feed.update(state.identity, entered, _find_left(jobs), sides, first=state.is_first)
        if typed_batch.is_reread:
            # Numbers of earlier changes are others now, but no item has changed because of that.
            counts.rows = rebuild().rows
    # The next batch is compared with the last job of each target.
    last = {entry.target_id: entry.job_id for entry in entered}
    memory.previous = {job_id: in_memory[job_id] for job_id in last.values() if job_id in in_memory}
    return counts


def make_feed(context: LoadContext, state: StrategyState) -> Feed:
    """The strategy's change feed, with numbers as in its typed columns."""
    reader, large = NumberReader(state.readings.chosen), context.limits.large_bytes
    compare = state.rules.compare
    return open_feed(context.lake, context.draft, context.ledger, context.strategy_id, large, compare, reader)


def remove_stored(context: LoadContext, jobs: Mapping[str, str]) -> None:
    """Removes what was stored of the bodies of jobs that are loaded again; `jobs` has their times by id."""
    for table in RECEIVED:
        context.draft.remove(table, jobs)


def _find_left(jobs: Sequence[CompletedJob]) -> list[Seen]:
    """Jobs that were accepted and no longer are, or have another place in the feed now; as they were."""
    entered = {job.job.job_id: job.in_feed for job in jobs if job.accepted}
    left = []
    for job in jobs:
        if job.row.state == "accepted":
            before, after = seen_before(job.row), entered.get(job.row.job_id)
            if after is None or (before.target_id, before.place) != (after.target_id, after.place):
                left.append(before)
    return left


def _times_of_accepted(context: LoadContext, jobs: Sequence[CompletedJob]) -> dict[str, str]:
    """Times of all jobs that will be accepted after the batch, by id."""
    own = {job.job.job_id for job in jobs}
    earlier = context.ledger.jobs(context.strategy_id, ("accepted",))
    times = times_of(row for row in earlier if row.job_id not in own)
    return times | {job.job.job_id: job.time for job in jobs if job.accepted}


def _widen_fields(state: StrategyState, memory: ItemMemory, accepted: Sequence[CompletedJob]) -> tuple[Field, ...]:
    """The strategy's fields, widened to hold every value of the accepted jobs."""
    memory.extend()
    small = [(job.place, job.items) for job in accepted if job.items is not None]
    fields = widen(state.fields, small, memory.is_typed)
    for job in accepted:
        fields = columns.merge_fields(fields, job.fields)
    return state.rules.floor(fields)


def _read_values(
    state: StrategyState, memory: ItemMemory, accepted: Sequence[CompletedJob], fields: Sequence[Field]
) -> Readings:
    """How texts are read after the batch: what its accepted jobs show is added to what is known."""
    readings = state.readings
    small = [job.items.numbers for job in accepted if job.items is not None]
    if small:
        numbers = np.unique(np.concatenate(small))
        fresh = numbers[~memory.is_observed[numbers]]
        memory.is_observed[fresh] = True
        objects = memory.texts.chosen(fresh.tolist())
        readings = readings.with_facts(observe_objects(objects, fields, readings.facts, memory.seen))
    for job in accepted:
        readings = readings.with_facts(job.facts)
    if readings is state.readings and fields == state.fields:
        return readings
    return readings.settle(fields, state.rules)


def rows_fit(state: StrategyState, after: StrategyState) -> bool:
    """Whether rows of `results` that were made in one state are right in another one."""
    is_alike = after.fields == state.fields or alike(results_schema(after.fields), results_schema(state.fields))
    # A warehouse makes item versions again of the months whose rows are new: of all when others are compared.
    is_alike = is_alike and after.rules.compare == state.rules.compare
    return is_alike and after.readings.rows_alike(state.readings) and after.identity == state.identity


def changes_fit(state: StrategyState, after: StrategyState) -> bool:
    """Whether rows of `changes` that were made in one state are right in another one."""
    is_alike = after.identity == state.identity and after.rules.compare == state.rules.compare
    return is_alike and after.readings.numbers_alike(state.readings)


def _append_typed(
    context: LoadContext, state: StrategyState, memory: ItemMemory, accepted: Sequence[CompletedJob]
) -> dict[str, int]:
    """Writes the typed rows of accepted jobs; returns duplicates of large jobs."""
    readings = state.readings
    schema = results_schema(state.fields, readings)
    duplicates: dict[str, int] = {}
    for job in accepted:
        if job.items is None:
            retyping = Retyping(state.fields, state.identity, readings, context.limits)
            raw = context.draft.job_batches("raw", RAW.names, {job.job.job_id: job.time})
            context.draft.write("results", retyping.tables(raw, job.item_count), schema)
            duplicates |= retyping.duplicates
    small = [(job.job, job.positions, job.items) for job in accepted if job.items is not None]
    if not small:
        return duplicates
    rows = Gathered.of(memory.texts, [items.numbers for *_, items in small])
    if any(items.repeats for *_, items in small):
        keys = pa.array([key for *_, items in small for key in items.keys], pa.string())
    else:
        keys = rows.keys()
    about = job_columns([(job, positions) for job, positions, _ in small])
    context.draft.append("results", typed(about, rows, keys, state.fields, readings))
    return duplicates


def _compare_columns(old: StrategyState, new: StrategyState) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of new columns, and of columns whose type changed."""
    before = {column.name: column.type for column in columns_of(old.fields, old.readings)}
    after = {column.name: column.type for column in columns_of(new.fields, new.readings)}
    added = tuple(name for name in after if name not in before)
    widened = tuple(name for name, type_ in after.items() if name in before and before[name] != type_)
    return added, widened
