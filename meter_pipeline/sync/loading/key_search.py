"""Finds a strategy's key in the jobs of a batch and their neighbours, while the strategy has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from meter_pipeline.store import columns
from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.store.times import now
from meter_pipeline.sync.changes.diff import Seen
from meter_pipeline.sync.changes.feed import by_target, seen_before
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.candidates import FIELDS, Search
from meter_pipeline.sync.items.keys import SAMPLE_JOBS, search_key
from meter_pipeline.sync.items.samples import JobSample, sample_positions
from meter_pipeline.sync.loading.job import CompletedJob
from meter_pipeline.sync.loading.state import LoadContext, StrategyState

# Searches that may fail before no more are made.
MAX_ATTEMPTS = 8


class NothingToCompare(Exception):
    """No two jobs are of the same target."""


def choose_key(context: LoadContext, state: StrategyState, accepted: Sequence[CompletedJob]) -> StrategyState:
    """Looks for a key if the strategy needs one; when one is found, rows of earlier jobs are to be made again with it.

    Args:
        context: The load.
        state: The strategy's state.
        accepted: The accepted jobs of the batch.

    Returns:
        The state with the key, or with one more failed attempt.
    """
    rules = state.rules
    is_configured = context.config is not None and context.config.key is not None
    if is_configured or rules.source != item_rules.NONE or rules.attempts >= MAX_ATTEMPTS:
        return state
    try:
        found = find_key(context, accepted, is_first=state.is_first)
    except NothingToCompare:
        return state
    if found is None or found.key is None:
        return replace(state, rules=replace(rules, attempts=rules.attempts + 1))
    evidence = found.evidence(found.key)
    rules = replace(rules, key=found.key.fields, source=item_rules.SUGGESTED, chosen_at=now(), evidence=evidence)
    return replace(state, rules=rules)


def find_key(context: LoadContext, accepted: Sequence[CompletedJob], *, is_first: bool) -> Search | None:
    """The key that these jobs and their neighbours support, or None if no candidate qualifies.

    Args:
        context: The load.
        accepted: Jobs whose raw rows are in the lake.
        is_first: Whether no job was accepted before, so that there are no neighbours.

    Raises:
        NothingToCompare: No two jobs are of the same target, so no candidate was tried.
    """
    loading = {job.job.job_id: job for job in accepted}
    jobs = [job.in_feed for job in accepted if job.item_count > 1]
    if not is_first:
        jobs += _find_neighbours(context, jobs, loading)
    sample = _choose_sample(jobs)
    if not sample:
        raise NothingToCompare
    found = search_key([_read_sample(context, job, loading.get(job.job_id)) for job in sample])
    return found if found.key is not None and found.key.kind == FIELDS else None


def _read_sample(context: LoadContext, job: Seen, loading: CompletedJob | None) -> JobSample:
    """The sample of a job in memory or in the lake."""
    if loading is not None and loading.items is not None:
        numbers = loading.items.numbers
        texts = loading.items.texts.values
        values = [texts[number] for number in numbers[sample_positions(len(numbers))].tolist()]
        return JobSample(job.job_id, job.target_id, job.time, len(numbers), values)
    chosen = list(_read_items(context.draft, job))
    return JobSample(job.job_id, job.target_id, job.time, job.items, columns.parse(chosen))


def _read_items(stored: PartSet, job: Seen) -> Iterator[bytes]:
    """The sampled items of a job in the lake; the others are passed over, batch by batch."""
    positions = sample_positions(job.items)
    start = 0
    for batch in stored.job_batches("raw", ["item"], {job.job_id: job.time}):
        first, last = np.searchsorted(positions, [start, start + batch.num_rows])
        yield from batch["item"].take(pa.array(positions[first:last] - start)).cast(pa.binary()).to_pylist()
        start += batch.num_rows


def _find_neighbours(context: LoadContext, jobs: Sequence[Seen], loading: dict[str, CompletedJob]) -> list[Seen]:
    """Accepted jobs of the same targets, around and between these jobs, that have more than one item."""
    spans = {
        target: (min(job.place for job in group), max(job.place for job in group))
        for target, group in by_target(jobs).items()
    }
    accepted = context.ledger.neighbourhood(context.strategy_id, spans)
    return [
        seen_before(row)
        for rows in accepted.values()
        for row in rows
        if row.job_id not in loading and (row.items or 0) > 1
    ]


def _choose_sample(jobs: Sequence[Seen]) -> list[Seen]:
    """Up to `SAMPLE_JOBS` jobs in order of time, of targets that have two or more; the busiest targets first."""
    counts = Counter(job.target_id for job in jobs)
    busiest = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    sample: list[Seen] = []
    for target, count in busiest:
        room = SAMPLE_JOBS - len(sample)
        if count < 2 or room < 2:
            break
        sample += sorted((job for job in jobs if job.target_id == target), key=lambda job: job.place)[:room]
    return sample
