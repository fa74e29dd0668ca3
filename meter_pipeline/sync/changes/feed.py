"""Maintains the lake's `changes`: every accepted job compared with its predecessor on the same target.

A batch affects its own jobs and their successors on the same targets: a job that arrives late, or is no longer
accepted, changes what its successor is compared with.
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
    """The job of a ledger row."""
    target, time = row.target_id or "", row.completed_at or ""
    return Seen(row.job_id, row.schedule_id, row.url, row.parameters, target, time, row.bytes or 0)


def pairs(ledger: Ledger | None, strategy_id: str, entered: Sequence[Seen], left: Sequence[Seen]) -> list[Pair]:
    """The pairs to compare again when the set of accepted jobs changes.

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
    known = ledger.neighbourhood(strategy_id, spans) if ledger is not None else {}
    moved = {job.job_id for job in (*entered, *left)}
    return [
        pair
        for target in sorted(spans)
        for pair in _pairs(
            here.get(target, []),
            [job.place for job in gone.get(target, ())],
            [seen_before(row) for row in known.get(target, ()) if row.job_id not in moved],
        )
    ]


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
        lake: The lake, with `changes` and the typed rows they come from.
        ledger: The ledger, with the accepted jobs.
        strategy: The strategy.
        large: Size in bytes from which a job is compared on disk.
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
        """Updates the rows after the set of accepted jobs has changed.

        Args:
            identity: The identity by which the rows of all jobs were keyed and hashed.
            entered: Jobs that are accepted now; their typed rows are in the lake.
            left: Jobs that were accepted before and no longer are, or have another target or time now; as they were.
            sides: Jobs whose items are in memory, by id.
            first: Whether no job was accepted before these.
            thorough: Whether the jobs may have rows already.

        Returns:
            Numbers of items that were added, removed and changed, by kind.
        """
        wanted = pairs(None if first else self._ledger, self._strategy_id, entered, left)
        fresh = {job.job_id for job in entered}
        large = [pair for pair in wanted if pair.previous is not None and pair.bytes >= self._large]
        rest = [pair for pair in wanted if pair not in large]
        rows = Comparison(self._lake, self._slug, identity, sides).rows(rest)
        ids = {pair.job.job_id for pair in rest} | {job.job_id for job in left} - {pair.job.job_id for pair in large}
        thorough = thorough or not ids <= fresh
        self._lake.replace("changes", self._slug, rows.table(), ids, thorough=thorough)
        kinds = rows.kinds
        for previous, job in ((pair.previous, pair.job) for pair in large):
            assert previous is not None
            pieces = large_rows(self._lake, self._slug, previous, job, identity, kinds)
            self._lake.write_job("changes", self._slug, job.time, job.job_id, pieces)
        return kinds

    def rebuild(self, identity: Identity) -> None:
        """Rebuilds all rows from the typed rows of the accepted jobs, and replaces the old ones when it is done."""
        jobs = [seen_before(row) for row in self._ledger.jobs(self._strategy_id, ("accepted",))]
        if not jobs:
            self._lake.drop("changes", self._slug)
            return
        self._lake.rewrite("changes", self._slug, self._parts(identity, jobs), CHANGES)

    def _parts(self, identity: Identity, jobs: Sequence[Seen]) -> Iterator[tuple[str, Iterable[pa.Table]]]:
        """Names of parts and their rows: a large job has a part of its own, small jobs of a month share parts."""
        numbers: dict[str, int] = {}
        waiting: list[pa.Table] = []
        month = ""
        for at, rows in chain(self._pieces(identity, jobs), [("", iter(()))]):
            together = isinstance(rows, pa.Table) and at == month and sum(part.nbytes for part in waiting) < PART_BYTES
            if waiting and not together:
                yield self._lake.part("changes", self._slug, month, numbers), waiting
                waiting = []
            month = at
            if isinstance(rows, pa.Table):
                waiting += [in_order("changes", rows)] if rows.num_rows else []
            elif at:
                yield self._lake.part("changes", self._slug, at, numbers), rows

    def _pieces(self, identity: Identity, jobs: Sequence[Seen]) -> Iterator[tuple[str, pa.Table | Iterator[pa.Table]]]:
        """Months and rows in the order of time, each job in one of them; the rows of a large job in several tables."""
        last: dict[str, Seen] = {}
        window: list[Pair] = []

        def compared() -> tuple[str, pa.Table]:
            rows = Comparison(self._lake, self._slug, identity, {}).rows(window)
            return month_of(window[0].job.time), rows.table()

        for job in jobs:
            pair, last[job.target_id] = Pair(last.get(job.target_id), job), job
            large = pair.previous is not None and pair.bytes >= self._large
            full = sum(earlier.job.bytes for earlier in window) >= self._large
            if window and (large or full or month_of(window[0].job.time) != month_of(job.time)):
                yield compared()
                window = []
            if large and pair.previous is not None:
                yield month_of(job.time), large_rows(self._lake, self._slug, pair.previous, job, identity, {})
            else:
                window.append(pair)
        if window:
            yield compared()
