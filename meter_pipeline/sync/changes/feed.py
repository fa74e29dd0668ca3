"""Maintains the lake's `changes`: every accepted job compared with its predecessor on the same target.

A batch affects its own jobs and their successors on the same targets: a job that arrives late, or is no longer
accepted, changes what its successor is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import CHANGES, Lake, in_order
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.sync.changes.diff import Counts, Pair, Seen, Side
from meter_pipeline.sync.changes.in_memory import Comparison
from meter_pipeline.sync.changes.numbers import NumberReader
from meter_pipeline.sync.changes.on_disk import large_rows
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
    )


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
        counts = Counts()
        wanted = pairs(None if first else self._ledger, self._strategy_id, entered, left)
        replaced = [*left, *(pair.job for pair in wanted)]
        self._draft.remove("changes", {job.job_id: job.time for job in replaced if job.changes})
        counts.rows.update({pair.job.job_id: 0 for pair in wanted})
        large = [pair for pair in wanted if pair.previous is not None and pair.bytes >= self._large]
        rest = [pair for pair in wanted if pair not in large]
        self._draft.append("changes", Comparison(self._draft, identity, sides, self._reader).rows(rest, counts).table())
        for previous, job in ((pair.previous, pair.job) for pair in large):
            assert previous is not None
            rows = large_rows(self._lake, self._draft, previous, job, identity, counts, self._reader)
            self._draft.write("changes", rows, CHANGES)
        return counts

    def rebuild(self, identity: Identity, jobs: Iterable[Seen]) -> Counts:
        """Rebuilds all rows from the typed rows of all accepted jobs, given in any order."""
        ordered = sorted(jobs, key=lambda job: job.place)
        counts = Counts(rows={job.job_id: 0 for job in ordered})
        self._draft.replace("changes", self._pieces(identity, ordered, counts), CHANGES)
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
