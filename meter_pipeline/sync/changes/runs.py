"""Runs: which jobs of a schedule belong together, and with what each run is compared. Pure functions of accepted jobs.

The pages of a run are one list. An item that no page of a run shows has gone if the run has all its pages; otherwise
it may be on a page that failed, was held or has not been loaded yet, and stays in the list until a later run decides.
So does an item that a job of the run may have rejected: see `meter_pipeline.sync.changes.rejected`.
Where pages are compared one by one, each job of a page is a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

from meter_pipeline.config.item_rules import PATIENCE
from meter_pipeline.store.ledger.tables import target_id
from meter_pipeline.store.times import moment
from meter_pipeline.sync.changes.diff import Seen

# Jobs without a batch of Meter's that lie this far apart are of two runs: a run's jobs take an hour at most.
APART = timedelta(hours=1)


@dataclass(frozen=True)
class Run:
    """Accepted jobs of one firing of a schedule, or of one batch, in order of time; no two are of the same target.

    `is_complete` is whether it has the page of every target that one of the `PATIENCE` runs before it has.
    """

    jobs: tuple[Seen, ...]
    is_complete: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether it shows every item of its list: it has all pages, and all of their items could be loaded."""
        return self.is_complete and not any(job.rejected for job in self.jobs)

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
        before: The runs that make up the list before it: the last whole one and those since, but no more than
            `PATIENCE`. None before a list's first run, which has no changes.
        run: The run.
        early: Groups of earlier jobs by the id of a job of the run: an item that the job shows and the list lacks
            counts as there before if each group may have rejected it. The first job of a target has no groups.
    """

    before: tuple[Run, ...]
    run: Run
    early: Mapping[str, tuple[tuple[Seen, ...], ...]]

    @property
    def is_complete(self) -> bool:
        """Whether the run has all pages."""
        return self.run.is_complete

    @property
    def jobs(self) -> list[Seen]:
        """All jobs that are compared."""
        return [job for run in (*self.before, self.run) for job in run.jobs]

    @property
    def bytes(self) -> int:
        """Size of all bodies that are compared."""
        return self.run.bytes + sum(run.bytes for run in self.before)

    def is_removed(self, last_seen: int, *, is_rejected: bool = False) -> bool:
        """Whether an item that the run does not show has gone.

        Args:
            last_seen: The index in `before` of the last run that showed it.
            is_rejected: Whether the run may have rejected it.
        """
        return (self.is_complete and not is_rejected) or (last_seen == 0 and len(self.before) == PATIENCE)

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
    return _plan(find_runs(jobs))


def plan_page_steps(jobs: Iterable[Seen]) -> list[RunStep]:
    """The comparisons that make up the feed of one target whose page is a list by itself, in order of time.

    Args:
        jobs: Accepted jobs of the target, in any order: all, or all since `PATIENCE` jobs before those that matter.
    """
    return _plan([Run((job,)) for job in sorted(jobs, key=lambda job: job.place)])


def _plan(found: Iterable[Run]) -> list[RunStep]:
    runs: list[Run] = []
    steps: list[RunStep] = []
    starts: dict[str, int] = {}
    last_whole = 0
    for place, pages in enumerate(found):
        run = replace(pages, is_complete=all(earlier.targets <= pages.targets for earlier in runs[-PATIENCE:]))
        for target in run.targets:
            starts.setdefault(target, place)
        before = tuple(runs[max(last_whole, place - PATIENCE) : place])
        steps.append(RunStep(before, run, _find_early(runs, run, starts)))
        runs.append(run)
        if run.is_whole:
            last_whole = place
    return steps


def _find_early(runs: Sequence[Run], run: Run, starts: Mapping[str, int]) -> dict[str, tuple[tuple[Seen, ...], ...]]:
    """`RunStep.early` of a run after others; `starts` are the places of each target's first run."""
    early: dict[str, tuple[tuple[Seen, ...], ...]] = {}
    groups: tuple[tuple[Seen, ...], ...]
    for job in run.jobs:
        start = starts[job.target_id]
        if start <= len(runs) - PATIENCE:
            # Not shown by as many runs, an item has gone, wherever it was before.
            continue
        if start:
            own = [earlier for past in runs[start:] for earlier in past.jobs if earlier.target_id == job.target_id]
            groups = tuple((earlier,) for earlier in own)
        else:
            # What a page of the first run rejected may be on any page now, and on one that a later run lacks.
            groups = tuple(past.jobs for past in runs if past.is_complete)
        if all(any(earlier.rejected for earlier in group) for group in groups):
            early[job.job_id] = groups
    return early


def find_changed(old: Sequence[RunStep], new: Sequence[RunStep], moved: set[str]) -> list[RunStep]:
    """The steps to compare again when a list's accepted jobs change.

    Args:
        old: The list's steps before.
        new: The list's steps now.
        moved: Ids of jobs that have been loaded, or are no longer accepted.
    """
    known = dict(map(_spell, old))
    spelled = [_spell(step) for step in new]
    return [
        step
        for step, (ids, rules) in zip(new, spelled, strict=True)
        if known.get(ids) != rules or not moved.isdisjoint(ids)
    ]


def _spell(step: RunStep) -> tuple[tuple[str, ...], object]:
    """What a step depends on besides the rows of its jobs: ids of its jobs, the sizes of its runs, and its rules."""
    sizes = [(len(run.jobs), run.is_complete) for run in (*step.before, step.run)]
    early = {id_: [[job.job_id for job in group] for group in groups] for id_, groups in step.early.items()}
    return tuple(job.job_id for job in step.jobs), (sizes, early)
