"""Maintains the lake's `changes` of a strategy whose pages of one run are compared as one list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from meter_pipeline.config.item_rules import RUN
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync.changes.diff import Counts, Pair, Seen
from meter_pipeline.sync.changes.feed import Feed, seen_before
from meter_pipeline.sync.changes.numbers import NumberReader
from meter_pipeline.sync.changes.runs import RunStep, by_list, find_changed, plan_steps
from meter_pipeline.sync.items.identity import Identity


def open_feed(
    lake: Lake,
    draft: Draft,
    ledger: Ledger,
    strategy_id: str,
    large: int,
    compare: str,
    reader: NumberReader | None = None,
) -> Feed:
    """The feed of a strategy whose pages are compared by `compare`; the other arguments are those of `Feed`."""
    kind = RunFeed if compare == RUN else Feed
    return kind(lake, draft, ledger, strategy_id, large, reader)


class RunFeed(Feed):
    """A strategy's rows of `changes` where a run is compared as one list; arguments and methods as of `Feed`.

    A batch affects the runs that its jobs are in, and the runs that these are part of the list before: see
    `meter_pipeline.sync.changes.runs`.
    """

    def _find_comparisons(
        self, ledger: Ledger | None, entered: Sequence[Seen], left: Sequence[Seen]
    ) -> tuple[list[Pair], list[RunStep]]:
        """As `Feed._find_comparisons`."""
        moved = {job.job_id for job in (*entered, *left)}
        schedule_ids = {job.schedule_id for job in (*entered, *left)}
        rows = [] if ledger is None else ledger.accepted_of(self._strategy_id, schedule_ids)
        before = by_list(map(seen_before, rows))
        stayed = by_list(job for jobs in before.values() for job in jobs if job.job_id not in moved)
        now_in = by_list(entered)
        steps: list[RunStep] = []
        for name in sorted({*now_in, *by_list(left)}):
            now = plan_steps([*stayed.get(name, ()), *now_in.get(name, ())])
            steps += find_changed(plan_steps(before.get(name, ())), now, moved)
        return [], steps

    def rebuild(self, identity: Identity, jobs: Iterable[Seen]) -> Counts:
        """As `Feed.rebuild`."""
        lists = by_list(jobs)
        counts = Counts(rows={job.job_id: 0 for jobs in lists.values() for job in jobs})
        self._draft.drop("changes")
        self.compare_runs(identity, [step for name in sorted(lists) for step in plan_steps(lists[name])], counts, {})
        return counts
