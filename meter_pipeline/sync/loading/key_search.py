"""Keeps the search for a strategy's key up to date with its accepted jobs, whatever order and batches they come in.

The search is kept with the strategy's item rules. It goes on where it was when all jobs that come are later than what
it has examined; a job that comes or goes before that makes it begin again from the first job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from meter_pipeline.store.item_json import parse_items
from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.store.lake.tables import find_runs
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.times import now
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.candidates import TARGET
from meter_pipeline.sync.items.keys import JobRef, KeySearch, find_key, load_search
from meter_pipeline.sync.items.rules import ChosenRules
from meter_pipeline.sync.items.samples import JobSample, sample_positions
from meter_pipeline.sync.loading.job import CompletedJob
from meter_pipeline.sync.loading.state import LoadContext, StrategyState


def choose_key(
    context: LoadContext,
    state: StrategyState,
    entered: Sequence[CompletedJob],
    left: Sequence[JobRow],
    counts: Mapping[str, int] | None = None,
) -> StrategyState:
    """The state with the key that all accepted jobs support; a configured key stays, and is looked after.

    Args:
        context: The load; its draft has the raw rows of all these jobs.
        state: The strategy's state.
        entered: Jobs that are accepted now.
        left: Jobs that were accepted before this load; those that still are, are among `entered`, too.
        counts: Numbers of items by job where they are not those of the ledger, which has no other jobs with items.
    """
    rules = state.rules
    given = rules.key if rules.source == item_rules.CONFIGURED else None
    if given == ():
        return state
    known = load_search(rules.search)
    if not known.survives([*(job.place for job in entered), *((row.completed_at or "", row.job_id) for row in left)]):
        known = KeySearch()
    jobs = _list_jobs(context, state, entered, left, known.next_count(is_given=given is not None), counts)
    read = _Reader(context.draft, {job.job.job_id: job for job in entered}).read
    found = find_key(jobs, read, known, given)
    if given is not None:
        return replace(state, rules=replace(rules, search=_dump(found)))
    return replace(state, rules=_rules_of(rules, found))


def _rules_of(rules: ChosenRules, found: KeySearch) -> ChosenRules:
    """The rules with what a search has found."""
    key, search = found.key, found.search
    if key is None or search is None:
        return replace(
            rules,
            key=(),
            by_page=False,
            source=item_rules.NONE,
            chosen_at=None,
            evidence=None,
            search=_dump(found),
        )
    by_page = key.kind == TARGET
    is_new = rules.source != item_rules.SUGGESTED or (key.fields, by_page) != (rules.key, rules.by_page)
    return replace(
        rules,
        key=key.fields,
        by_page=by_page,
        source=item_rules.SUGGESTED,
        chosen_at=now() if is_new else rules.chosen_at,
        evidence=search.evidence(key),
        search=_dump(found),
    )


def _dump(found: KeySearch) -> dict[str, Any] | None:
    return None if found.until is None else found.dump()


def _list_jobs(
    context: LoadContext,
    state: StrategyState,
    entered: Sequence[CompletedJob],
    left: Sequence[JobRow],
    wanted: int,
    counts: Mapping[str, int] | None,
) -> list[JobRef]:
    """All accepted jobs with items; none if fewer than `wanted` of them can be compared."""
    own = {job.job.job_id for job in entered} | {row.job_id for row in left}
    jobs = [
        JobRef(job.job.job_id, job.in_feed.target_id, job.time, job.item_count, job.job.batch_id)
        for job in entered
        if job.item_count
    ]
    if state.is_first:
        return jobs
    if context.ledger.count_comparable(context.strategy_id) + len(jobs) < wanted:
        return []
    stored = context.ledger.with_items(context.strategy_id)
    if counts is not None:
        stored = [replace(row, items=counts[row.job_id]) for row in stored if counts.get(row.job_id)]
    return jobs + [
        JobRef(row.job_id, row.target_id, row.completed_at, row.items, row.batch_id)
        for row in stored
        if row.job_id not in own
    ]


@dataclass
class _Reader:
    """Reads samples of jobs, from memory or from the lake, each once."""

    stored: PartSet
    loading: Mapping[str, CompletedJob]
    known: dict[str, JobSample] = field(default_factory=dict)

    def read(self, jobs: Sequence[JobRef]) -> list[JobSample]:
        """The samples of jobs, in the same order."""
        missing = {job.job_id: job for job in jobs if job.job_id not in self.known}
        samples = {job_id: self._sample_in_memory(job) for job_id, job in missing.items()}
        in_lake = {job_id: missing[job_id] for job_id, sample in samples.items() if sample is None}
        self.known |= {job_id: sample for job_id, sample in samples.items() if sample is not None}
        if in_lake:
            self.known |= _read_samples(self.stored, in_lake)
        return [self.known[job.job_id] for job in jobs]

    def _sample_in_memory(self, job: JobRef) -> JobSample | None:
        loading = self.loading.get(job.job_id)
        if loading is None or loading.items is None:
            return None
        numbers, texts = loading.items.numbers, loading.items.texts.values
        values = [texts[number] for number in numbers[sample_positions(len(numbers))].tolist()]
        return _sample_of(job, values)


def _sample_of(job: JobRef, values: Sequence[object]) -> JobSample:
    return JobSample(job.job_id, job.target_id, job.time, job.items, values, job.run)


def _read_samples(stored: PartSet, jobs: Mapping[str, JobRef]) -> dict[str, JobSample]:
    """The samples of jobs in the lake; other items are passed over, batch by batch."""
    positions = {job_id: sample_positions(job.items) for job_id, job in jobs.items()}
    passed, items = dict.fromkeys(jobs, 0), {job_id: list[bytes]() for job_id in jobs}
    times = {job_id: job.time for job_id, job in jobs.items()}
    for batch in stored.job_batches("raw", ["job_id", "item"], times):
        for job_id, start, end in find_runs(batch["job_id"]):
            before, wanted = passed[job_id], positions[job_id]
            first, last = np.searchsorted(wanted, [before, before + end - start])
            chosen = batch["item"].take(pa.array(wanted[first:last] - before + start))
            items[job_id] += chosen.cast(pa.binary()).to_pylist()
            passed[job_id] = before + end - start
    # Consecutive jobs repeat most of their items to the byte: each distinct one is parsed once.
    distinct = list(dict.fromkeys(item for found in items.values() for item in found))
    values = dict(zip(distinct, parse_items(distinct), strict=True))
    return {job_id: _sample_of(job, [values[item] for item in items[job_id]]) for job_id, job in jobs.items()}
