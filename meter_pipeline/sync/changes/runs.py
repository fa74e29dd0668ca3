"""Runs: which jobs of a schedule belong together, and with what each run is compared. Pure functions of accepted jobs.

The pages of a run are one list. An item that no page of a run shows has gone if the run has all its pages; otherwise
it may be on a page that failed, was held or has not been loaded yet, and stays in the list until a later run decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from meter_pipeline.store.ledger.tables import target_id
from meter_pipeline.store.times import moment
from meter_pipeline.sync.changes.diff import Seen

# Jobs without a batch of Meter's that lie this far apart are of two runs: a run's jobs take an hour at most.
APART = timedelta(hours=1)
# A page that was missing in this many consecutive runs is no longer expected, and an item that was on none of their
# pages is gone: otherwise a page that is gone for good would keep every item in the list for ever.
PATIENCE = 5


@dataclass(frozen=True)
class Run:
    """Accepted jobs of one firing of a schedule, or of one batch, in order of time; no two are of the same target."""

    jobs: tuple[Seen, ...]

    @property
    def targets(self) -> frozenset[str]:
        """Ids of the targets whose page the run has."""
        return frozenset(job.target_id for job in self.jobs)

    @property
    def pages(self) -> list[Seen]:
        """The jobs in an order that does not depend on which page was scraped first."""
        return sorted(self.jobs, key=lambda job: (job.url or "", job.target_id))

    @property
    def bytes(self) -> int:
        """Size of all bodies."""
        return sum(job.bytes for job in self.jobs)


@dataclass(frozen=True)
class RunStep:
    """A run and what it is compared with.

    Attributes:
        before: The runs that make up the list before it: the last complete one and those since, but no more than
            `PATIENCE`. None before a list's first run, which has no changes.
        run: The run.
        is_complete: Whether it has the page of every target that one of the last `PATIENCE` runs has.
        first: Ids of its jobs that are the first of their target: what these show counts as there before.
    """

    before: tuple[Run, ...]
    run: Run
    is_complete: bool
    first: frozenset[str]

    @property
    def bytes(self) -> int:
        """Size of all bodies that are compared."""
        return self.run.bytes + sum(run.bytes for run in self.before)

    def is_removed(self, last_seen: int) -> bool:
        """Whether an item that the run does not show has gone; `last_seen` is the index in `before` of the last run
        that showed it."""
        return self.is_complete or (last_seen == 0 and len(self.before) == PATIENCE)

    def find_previous(self, job: Seen) -> Seen:
        """The job that preceded a job of this run: the last one of its target, else the last one of all."""
        for run in reversed(self.before):
            for earlier in run.jobs:
                if earlier.target_id == job.target_id:
                    return earlier
        return self.before[-1].jobs[-1]

    def find_remover(self, last: Seen) -> Seen:
        """The job that shows that an item has gone: the one of the page it was on, else the last of the run."""
        return next((job for job in self.run.jobs if job.target_id == last.target_id), self.run.jobs[-1])


def list_id(job: Seen) -> str:
    """Identifies the list, within a strategy, that the pages of a job's runs make up."""
    return target_id(job.schedule_id, job.parameters)


def by_list(jobs: Iterable[Seen]) -> dict[str, list[Seen]]:
    """Jobs by the id of their list."""
    found: dict[str, list[Seen]] = {}
    for job in jobs:
        found.setdefault(list_id(job), []).append(job)
    return found


def find_runs(jobs: Iterable[Seen]) -> list[Run]:
    """The runs of a list's jobs, in order of time.

    Where Meter names the batch, a run is a batch. Otherwise it ends where the next job comes much later, and before a
    target would repeat: there the longest pause divides the jobs, the last of several.
    """
    ordered = sorted(jobs, key=lambda job: job.place)
    if not ordered:
        return []
    times = [moment(job.time or None) for job in ordered]
    pauses = [timedelta(0)]
    pauses += [(new - old) if old and new else APART for old, new in pairwise(times)]
    starts = {0}
    neighbours = enumerate(pairwise(ordered), start=1)
    starts |= {place for place, (old, new) in neighbours if _is_new_run(old, new, pauses[place])}
    latest: dict[str, int] = {}
    last_start = 0
    for place, job in enumerate(ordered):
        if place in starts:
            last_start = place
        before = latest.get(job.target_id)
        if before is not None and last_start <= before:
            last_start = max(range(before + 1, place + 1), key=lambda start: (pauses[start], start))
            starts.add(last_start)
        latest[job.target_id] = place
    bounds = [*sorted(starts), len(ordered)]
    return [Run(tuple(ordered[start:end])) for start, end in pairwise(bounds)]


def _is_new_run(old: Seen, new: Seen, pause: timedelta) -> bool:
    if old.batch_id is not None and new.batch_id is not None:
        return old.batch_id != new.batch_id
    return pause >= APART


def plan_steps(jobs: Iterable[Seen]) -> list[RunStep]:
    """The comparisons that make up the feed of one list, in order of time.

    Args:
        jobs: All accepted jobs of the list, in any order.
    """
    runs = find_runs(jobs)
    steps: list[RunStep] = []
    known: set[str] = set()
    last_complete = 0
    for place, run in enumerate(runs):
        recent = runs[max(place - PATIENCE, 0) : place]
        is_complete = all(earlier.targets <= run.targets for earlier in recent)
        first = frozenset(job.job_id for job in run.jobs if job.target_id not in known)
        before = tuple(runs[max(last_complete, place - PATIENCE) : place])
        steps.append(RunStep(before, run, is_complete, first))
        known |= run.targets
        if is_complete:
            last_complete = place
    return steps


def find_changed(old: Sequence[RunStep], new: Sequence[RunStep], moved: set[str]) -> list[RunStep]:
    """The steps to compare again when a list's accepted jobs change.

    Args:
        old: The list's steps before.
        new: The list's steps now.
        moved: Ids of jobs that have been loaded, or are no longer accepted.
    """
    known = {_spell(step) for step in old}
    return [step for step in new if (spelled := _spell(step)) not in known or moved & set(spelled[0])]


def _spell(step: RunStep) -> tuple[tuple[str, ...], tuple[int, ...], bool, frozenset[str]]:
    """What a step depends on besides the rows of its jobs: ids of its jobs, the sizes of its runs, and its rules."""
    runs = (*step.before, step.run)
    ids = tuple(job.job_id for run in runs for job in run.jobs)
    return ids, tuple(len(run.jobs) for run in runs), step.is_complete, step.first
