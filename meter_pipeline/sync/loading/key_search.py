"""Finds a strategy's key in the jobs of a batch and their neighbours, while the strategy has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from meter_pipeline.store import columns
from meter_pipeline.store.times import now
from meter_pipeline.sync.changes.diff import Seen
from meter_pipeline.sync.changes.feed import by_target, seen_before
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.keys import MAX_ATTEMPTS, MAX_JOBS, Cells, Profile, Suggestion, cells, suggest
from meter_pipeline.sync.items.texts import Items
from meter_pipeline.sync.loading.job import CompletedJob
from meter_pipeline.sync.loading.state import LoadContext, StrategyState


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
    if found is None:
        return replace(state, rules=replace(rules, attempts=rules.attempts + 1))
    rules = replace(rules, key=found.key, source=item_rules.SUGGESTED, chosen_at=now(), evidence=found.evidence())
    return replace(state, rules=rules)


def find_key(context: LoadContext, accepted: Sequence[CompletedJob], *, is_first: bool) -> Suggestion | None:
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
    cells_by_field: dict[str, Cells] = {}
    profiles = []
    for job in sample:
        profile = Profile(job.target_id)
        in_memory = loading.get(job.job_id)
        if in_memory is not None and in_memory.items is not None:
            _profile_items(profile, in_memory.items, cells_by_field)
        else:
            for batch in context.draft.job_batches("raw", ["item"], {job.job_id: job.time}):
                profile.feed(columns.parse(batch["item"].cast(pa.binary()).to_pylist()))
        profiles.append(profile)
    return suggest(profiles)


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


def _profile_items(profile: Profile, items: Items, cells_by_field: dict[str, Cells]) -> None:
    """Adds a job's items in memory to its profile; `cells_by_field` keeps fields' values for the next job."""

    def cells_of(name: str) -> Cells:
        if name not in cells_by_field:
            cells_by_field[name] = cells(items.texts.values, name)
        return cells_by_field[name].at(items.numbers)

    profile.take(items.texts.values[items.numbers[0]], len(items), cells_of)


def _choose_sample(jobs: Sequence[Seen]) -> list[Seen]:
    """Up to `MAX_JOBS` jobs in order of time, of targets that have two or more; the busiest targets first."""
    counts = Counter(job.target_id for job in jobs)
    busiest = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    sample: list[Seen] = []
    for target, count in busiest:
        room = MAX_JOBS - len(sample)
        if count < 2 or room < 2:
            break
        sample += sorted((job for job in jobs if job.target_id == target), key=lambda job: job.place)[:room]
    return sample
