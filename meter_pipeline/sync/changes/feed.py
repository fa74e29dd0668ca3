"""Maintains the lake's `changes`: every accepted job compared with its predecessor on the same target.

A batch affects its own jobs and their successors on the same targets: a job that arrives late, or is no longer
accepted, changes what its successor is compared with. Near a job that rejected items, jobs are compared with several
before them, as runs are: see `meter_pipeline.sync.changes.runs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from meter_pipeline.config.item_rules import PATIENCE
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import CHANGES, Lake, in_order
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.sync.changes.diff import Counts, Pair, Seen, Side
from meter_pipeline.sync.changes.in_memory import Comparison
from meter_pipeline.sync.changes.numbers import NumberReader
from meter_pipeline.sync.changes.on_disk import large_rows
from meter_pipeline.sync.changes.run_rows import RunComparison, large_run_rows
from meter_pipeline.sync.changes.runs import RunStep, find_changed, plan_page_steps
from meter_pipeline.sync.items.identity import Identity


def seen_before(row: JobRow) -> Seen:
    """The job of a ledger row."""
    target, time = row.target_id or "", row.completed_at or ""
    return Seen(
        row.job_id,
        row.schedule_id,
        row.url,
        row.parameters,
        target,
        time,
        bytes=row.bytes or 0,
        changes=row.changes or 0,
        items=row.items or 0,
        batch_id=row.batch_id,
        rejected=row.rejected or 0,
    )


def find_comparisons(
    ledger: Ledger | None, strategy_id: str, entered: Sequence[Seen], left: Sequence[Seen]
) -> tuple[list[Pair], list[RunStep]]:
    """The pairs to compare again when the set of accepted jobs changes; of targets with rejected items nearby, steps.

    Args:
        ledger: The ledger with the jobs accepted before; None if there are none.
        strategy_id: Id of the jobs' strategy.
        entered: Jobs that are accepted now.
        left: Jobs that were accepted before and no longer are, or have another target or time now; as they were.
    """
    here, gone = by_target(entered), by_target(left)
    spans = {}
    for target in here.keys() | gone.keys():
        places = [job.place for job in (*here.get(target, ()), *gone.get(target, ()))]
        spans[target] = (min(places), max(places))
    known = _read_neighbours(ledger, strategy_id, spans)
    moved = {job.job_id for job in (*entered, *left)}
    pairs: list[Pair] = []
    rejecting = {}
    for target, span in sorted(spans.items()):
        entered_here, left_here, before = here.get(target, []), gone.get(target, []), known.get(target, [])
        if any(job.rejected for job in (*entered_here, *left_here, *before)):
            rejecting[target] = span
            continue
        stayed = [job for job in before if job.job_id not in moved]
        pairs += _pairs(entered_here, [job.place for job in left_here], stayed)
    known = _read_neighbours(ledger, strategy_id, rejecting, PATIENCE)
    steps: list[RunStep] = []
    for target in rejecting:
        before = known.get(target, [])
        now = [*here.get(target, ()), *(job for job in before if job.job_id not in moved)]
        steps += find_changed(plan_page_steps(before), plan_page_steps(now), moved)
    return pairs, steps


def _read_neighbours(
    ledger: Ledger | None,
    strategy_id: str,
    spans: Mapping[str, tuple[tuple[str, str], tuple[str, str]]],
    reach: int = 1,
) -> dict[str, list[Seen]]:
    """The jobs that were accepted before within spans of time and next to these, as they were, by target."""
    if ledger is None or not spans:
        return {}
    known = ledger.neighbourhood(strategy_id, spans, reach)
    return {target: list(map(seen_before, rows)) for target, rows in known.items()}


def _pairs(entered: list[Seen], holes: list[tuple[str, str]], stayed: list[Seen]) -> Iterator[Pair]:
    """Pairs of one target with a job that has entered, or with a job between them that has left."""
    fresh = {job.job_id for job in entered}
    jobs = sorted([*entered, *stayed], key=lambda job: job.place)
    for previous, job in zip([None, *jobs], jobs, strict=False):
        after = ("", "") if previous is None else previous.place
        if {job.job_id, previous and previous.job_id} & fresh or any(after < hole < job.place for hole in holes):
            yield Pair(previous, job)


def by_target(jobs: Iterable[Seen]) -> dict[str, list[Seen]]:
    """Jobs by the id of their target."""
    found: dict[str, list[Seen]] = {}
    for job in jobs:
        found.setdefault(job.target_id, []).append(job)
    return found


class Feed:
    """A strategy's rows of `changes`.

    Args:
        lake: The lake.
        draft: The strategy's rows, which this writes to; its typed rows are those of the jobs that are accepted.
        ledger: The ledger, with the jobs that were accepted before.
        strategy_id: The strategy.
        large: Size in bytes from which a job is compared on disk.
        reader: Reads values as numbers; each by itself when None.
    """

    def __init__(
        self, lake: Lake, draft: Draft, ledger: Ledger, strategy_id: str, large: int, reader: NumberReader | None = None
    ) -> None:
        self._lake, self._draft, self._ledger, self._large = lake, draft, ledger, large
        self._strategy_id = strategy_id
        self._reader = reader or NumberReader()

    def update(
        self,
        identity: Identity,
        entered: Sequence[Seen],
        left: Sequence[Seen],
        sides: Mapping[str, Side],
        *,
        first: bool,
    ) -> Counts:
        """Updates the rows after the set of accepted jobs has changed.

        Args:
            identity: The identity by which the rows of all jobs were keyed and hashed.
            entered: Jobs that are accepted now; their typed rows are in the draft.
            left: Jobs that were accepted before and no longer are, or have another target or time now; as they were.
            sides: Jobs whose items are in memory, by id.
            first: Whether no job was accepted before these.

        Returns:
            What was found, with the number of rows of every job that was compared.
        """
        wanted, steps = self._find_comparisons(None if first else self._ledger, entered, left)
        compared = [*(pair.job for pair in wanted), *(job for step in steps for job in step.run.jobs)]
        # Those that left as they were: a job that has moved may have rows at another time.
        self._draft.remove("changes", {job.job_id: job.time for job in (*compared, *left) if job.changes})
        counts = Counts(rows={job.job_id: 0 for job in compared})
        large = [pair for pair in wanted if pair.previous is not None and pair.bytes >= self._large]
        rest = [pair for pair in wanted if pair not in large]
        self._draft.append("changes", Comparison(self._draft, identity, sides, self._reader).rows(rest, counts).table())
        for previous, job in ((pair.previous, pair.job) for pair in large):
            assert previous is not None
            rows = large_rows(self._lake, self._draft, previous, job, identity, counts, self._reader)
            self._draft.write("changes", rows, CHANGES)
        self.compare_runs(identity, steps, counts, sides)
        return counts

    def _find_comparisons(
        self, ledger: Ledger | None, entered: Sequence[Seen], left: Sequence[Seen]
    ) -> tuple[list[Pair], list[RunStep]]:
        """The pairs and steps to compare again; `ledger` is None if no job was accepted before."""
        return find_comparisons(ledger, self._strategy_id, entered, left)

    def rebuild(self, identity: Identity, jobs: Iterable[Seen]) -> Counts:
        """Rebuilds all rows from the typed rows of all accepted jobs, given in any order."""
        ordered = sorted(jobs, key=lambda job: job.place)
        counts = Counts(rows={job.job_id: 0 for job in ordered})
        rejecting = {job.target_id for job in ordered if job.rejected}
        usual = [job for job in ordered if job.target_id not in rejecting]
        self._draft.replace("changes", self._pieces(identity, usual, counts), CHANGES)
        others = by_target(job for job in ordered if job.target_id in rejecting)
        for target in sorted(others):
            self.compare_runs(identity, plan_page_steps(others[target]), counts, {})
        return counts

    def _pieces(self, identity: Identity, jobs: Sequence[Seen], counts: Counts) -> Iterator[pa.Table]:
        """Rows of all jobs in the order of time; as many small jobs are compared together as fit into memory."""
        last: dict[str, Seen] = {}
        window: list[Pair] = []

        def compared() -> pa.Table:
            return in_order("changes", Comparison(self._draft, identity, {}, self._reader).rows(window, counts).table())

        for job in jobs:
            pair, last[job.target_id] = Pair(last.get(job.target_id), job), job
            large = pair.previous is not None and pair.bytes >= self._large
            full = sum(earlier.job.bytes for earlier in window) >= self._large
            if window and (large or full):
                yield compared()
                window = []
            if large and pair.previous is not None:
                yield from large_rows(self._lake, self._draft, pair.previous, job, identity, counts, self._reader)
            else:
                window.append(pair)
        if window:
            yield compared()

    def compare_runs(
        self, identity: Identity, steps: Iterable[RunStep], counts: Counts, sides: Mapping[str, Side]
    ) -> None:
        """Writes the rows of runs; as many small ones are compared together as fit into memory."""
        window: list[RunStep] = []
        size = 0
        for step in steps:
            if step.before and step.bytes >= self._large:
                rows = large_run_rows(self._lake, self._draft, step, identity, counts, self._reader)
                self._draft.write("changes", rows, CHANGES)
                continue
            window.append(step)
            size += step.run.bytes
            if size >= self._large:
                self._append_runs(identity, window, counts, sides)
                window, size = [], 0
        self._append_runs(identity, window, counts, sides)

    def _append_runs(
        self, identity: Identity, steps: Sequence[RunStep], counts: Counts, sides: Mapping[str, Side]
    ) -> None:
        rows = RunComparison(self._draft, identity, sides, self._reader).run_rows(steps, counts)
        self._draft.append("changes", rows.table())
