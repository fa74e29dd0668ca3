"""Keeps the lake's `changes` what it is by definition: every accepted job against the one before it on its target.

A batch touches its own jobs and, on the same targets, the jobs that come after them: one that arrives late, or leaves,
changes what its successor is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import pyarrow as pa

from meter_pipeline.store.lake.lake import CHANGES, PART_BYTES, Lake, in_order
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, StrategyRow
from meter_pipeline.store.times import month_of
from meter_pipeline.sync.changes.diff import Pair, Seen, Side
from meter_pipeline.sync.changes.in_memory import Comparison
from meter_pipeline.sync.changes.on_disk import large_rows
from meter_pipeline.sync.items.identity import Identity


def seen_before(row: JobRow) -> Seen:
    """A job as the feed names it, from its row in the ledger."""
    target, time = row.target_id or "", row.completed_at or ""
    return Seen(row.job_id, row.schedule_id, row.url, row.parameters, target, time, row.bytes or 0)


def pairs(ledger: Ledger | None, strategy_id: str, entered: Sequence[Seen], left: Sequence[Seen]) -> list[Pair]:
    """The jobs that are to be compared anew when jobs enter the accepted ones, or leave them.

    Args:
        ledger: Knows the jobs that were accepted before; `None` when none was.
        strategy_id: Whose jobs these are.
        entered: Jobs that are accepted now.
        left: Jobs as they were accepted before, and are no longer, or not so.
    """
    here, gone = by_target(entered), by_target(left)
    spans = {}
    for target in here.keys() | gone.keys():
        places = [one.place for one in (*here.get(target, ()), *gone.get(target, ()))]
        spans[target] = (min(places), max(places))
    known = ledger.neighbourhood(strategy_id, spans) if ledger is not None else {}
    moved = {one.job_id for one in (*entered, *left)}
    return [
        pair
        for target in sorted(spans)
        for pair in _pairs(
            here.get(target, []),
            [one.place for one in gone.get(target, ())],
            [seen_before(row) for row in known.get(target, ()) if row.job_id not in moved],
        )
    ]


def _pairs(entered: list[Seen], holes: list[tuple[str, str]], stayed: list[Seen]) -> Iterator[Pair]:
    """Of one target: pairs of which one is new, and those between which there was another."""
    fresh = {one.job_id for one in entered}
    jobs = sorted([*entered, *stayed], key=lambda one: one.place)
    for previous, job in zip([None, *jobs], jobs, strict=False):
        after = ("", "") if previous is None else previous.place
        if {job.job_id, previous and previous.job_id} & fresh or any(after < hole < job.place for hole in holes):
            yield Pair(previous, job)


def by_target(jobs: Iterable[Seen]) -> dict[str, list[Seen]]:
    """Jobs by what they looked at."""
    found: dict[str, list[Seen]] = {}
    for one in jobs:
        found.setdefault(one.target_id, []).append(one)
    return found


class Feed:
    """A strategy's rows of `changes`.

    Args:
        lake: Where they are, with the typed rows that they come from.
        ledger: Knows the accepted jobs.
        strategy: Whose they are.
        large: From so many bytes on a job is compared on disk.
    """

    def __init__(self, lake: Lake, ledger: Ledger, strategy: StrategyRow, large: int) -> None:
        self._lake, self._ledger, self._large = lake, ledger, large
        self._strategy_id, self._slug = strategy.strategy_id, strategy.slug

    def update(
        self,
        identity: Identity,
        entered: Sequence[Seen],
        left: Sequence[Seen],
        sides: Mapping[str, Side],
        *,
        first: bool,
        thorough: bool,
    ) -> dict[str, int]:
        """Tells what jobs change that enter the accepted ones, and what is different now that others have left.

        Args:
            identity: What the rows of all jobs were keyed and hashed with.
            entered: Jobs that are accepted now; their typed rows are in the lake.
            left: Jobs as they were accepted before, and are no longer, or not so.
            sides: Jobs that are at hand, by id.
            first: Whether no job was accepted before these.
            thorough: Whether the jobs may have rows already.

        Returns:
            How many items of the jobs that entered were added, removed and changed.
        """
        wanted = pairs(None if first else self._ledger, self._strategy_id, entered, left)
        fresh = {one.job_id for one in entered}
        large = [pair for pair in wanted if pair.previous is not None and pair.bytes >= self._large]
        rest = [pair for pair in wanted if pair not in large]
        rows = Comparison(self._lake, self._slug, identity, sides).rows(rest)
        ids = {pair.job.job_id for pair in rest} | {one.job_id for one in left} - {pair.job.job_id for pair in large}
        thorough = thorough or not ids <= fresh
        self._lake.replace("changes", self._slug, rows.table(), ids, thorough=thorough)
        kinds = rows.kinds
        for previous, job in ((pair.previous, pair.job) for pair in large):
            assert previous is not None
            pieces = large_rows(self._lake, self._slug, previous, job, identity, kinds)
            self._lake.write_job("changes", self._slug, job.time, job.job_id, pieces)
        return kinds

    def rebuild(self, identity: Identity) -> None:
        """Writes all rows anew from the typed rows of the accepted jobs, beside the old ones."""
        jobs = [seen_before(row) for row in self._ledger.jobs(self._strategy_id, ("accepted",))]
        if not jobs:
            self._lake.drop("changes", self._slug)
            return
        self._lake.rewrite("changes", self._slug, self._parts(identity, jobs), CHANGES)

    def _parts(self, identity: Identity, jobs: Sequence[Seen]) -> Iterator[tuple[str, Iterable[pa.Table]]]:
        """Names of parts and their rows: those of a large job alone, others together while they are few."""
        numbers: dict[str, int] = {}
        waiting: list[pa.Table] = []
        month = ""
        for at, rows in chain(self._pieces(identity, jobs), [("", iter(()))]):
            together = isinstance(rows, pa.Table) and at == month and sum(one.nbytes for one in waiting) < PART_BYTES
            if waiting and not together:
                yield self._lake.part("changes", self._slug, month, numbers), waiting
                waiting = []
            month = at
            if isinstance(rows, pa.Table):
                waiting += [in_order("changes", rows)] if rows.num_rows else []
            elif at:
                yield self._lake.part("changes", self._slug, at, numbers), rows

    def _pieces(self, identity: Identity, jobs: Sequence[Seen]) -> Iterator[tuple[str, pa.Table | Iterator[pa.Table]]]:
        """Months and rows, in the order of time, with no job in two of them; those of a large job piece by piece."""
        last: dict[str, Seen] = {}
        window: list[Pair] = []

        def compared() -> tuple[str, pa.Table]:
            rows = Comparison(self._lake, self._slug, identity, {}).rows(window)
            return month_of(window[0].job.time), rows.table()

        for job in jobs:
            pair, last[job.target_id] = Pair(last.get(job.target_id), job), job
            large = pair.previous is not None and pair.bytes >= self._large
            full = sum(one.job.bytes for one in window) >= self._large
            if window and (large or full or month_of(window[0].job.time) != month_of(job.time)):
                yield compared()
                window = []
            if large and pair.previous is not None:
                yield month_of(job.time), large_rows(self._lake, self._slug, pair.previous, job, identity, {})
            else:
                window.append(pair)
        if window:
            yield compared()
