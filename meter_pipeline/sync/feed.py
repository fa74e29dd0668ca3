"""Keeps the lake's `changes` what it is by definition: every accepted job against the one before it on its target.

A batch touches its own jobs and, on the same targets, the jobs that come after them: one that arrives late, or leaves,
changes what its successor is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from meter_pipeline.api import Job
from meter_pipeline.store import columns
from meter_pipeline.store.lake import Lake
from meter_pipeline.store.ledger import Ledger, job_values
from meter_pipeline.store.rows import JobRow
from meter_pipeline.sync.diff import Delta, Rows, Seen, Side, compare
from meter_pipeline.sync.identity import Identity
from meter_pipeline.sync.land import time_of


@dataclass(frozen=True)
class Pair:
    """A job whose changes are to be told, and the one before it; without one there is nothing to tell."""

    previous: Seen | None
    job: Seen


def seen(job: Job, size: int) -> Seen:
    """A job as the feed names it, from the API's record."""
    values = job_values(job)
    return Seen(
        job.job_id,
        values["schedule_id"],
        values["url"],
        values["parameters"],
        values["target_id"],
        time_of(job),
        size,
    )


def seen_before(row: JobRow) -> Seen:
    """A job as the feed names it, from its row in the ledger."""
    target, time = row.target_id or "", row.completed_at or ""
    return Seen(row.job_id, row.schedule_id, row.url, row.parameters, target, time, row.bytes or 0)


def pairs(ledger: Ledger, strategy_id: str, entered: Sequence[Seen], left: Sequence[Seen]) -> list[Pair]:
    """The jobs that are to be compared anew when jobs enter the accepted ones, or leave them.

    Args:
        ledger: Knows the jobs that were accepted before.
        strategy_id: Whose jobs these are.
        entered: Jobs that are accepted now.
        left: Jobs as they were accepted before, and are no longer, or not so.
    """
    spans = {}
    for target, group in groupby(sorted([*entered, *left], key=_by_target), key=lambda one: one.target_id):
        places = [one.place for one in group]
        spans[target] = (min(places), max(places))
    gone = {one.job_id for one in left} | {one.job_id for one in entered}
    here = {one.job_id for one in entered}
    known = ledger.neighbourhood(strategy_id, spans) if ledger.has_accepted(strategy_id) else {}
    found = []
    for target in spans:
        mine = [one for one in entered if one.target_id == target]
        mine += [seen_before(row) for row in known.get(target, ()) if row.job_id not in gone]
        mine.sort(key=lambda one: one.place)
        holes = [one.place for one in left if one.target_id == target]
        for previous, job in zip([None, *mine], mine, strict=False):
            after = previous.place if previous is not None else ("", "")
            fresh = job.job_id in here or (previous is not None and previous.job_id in here)
            if fresh or any(after < hole < job.place for hole in holes):
                found.append(Pair(previous, job))
    return found


def _by_target(one: Seen) -> tuple[str, tuple[str, str]]:
    return one.target_id, one.place


class Comparison:
    """Compares pairs of jobs that fit into memory, with what is at hand and the rest from the lake."""

    def __init__(self, lake: Lake, slug: str, identity: Identity) -> None:
        self._lake, self._slug, self._identity = lake, slug, identity
        self._sides: dict[str, Side] = {}

    def take(self, job_id: str, side: Side) -> None:
        """Takes a job's items, so that they need not be read."""
        self._sides[job_id] = side

    def rows(self, wanted: Iterable[Pair]) -> Rows:
        """The rows of all pairs."""
        known = [(pair.previous, pair.job) for pair in wanted if pair.previous is not None]
        stored = self._read({one.job_id: one for pair in known for one in pair if one.job_id not in self._sides})
        deltas: list[Delta] = []
        for previous, job in known:
            delta = compare(self._sides[previous.job_id].hash_by_key, self._sides[job.job_id].hash_by_key)
            deltas.append(delta)
            if previous.job_id in stored:
                stored[previous.job_id].want([*delta.removed, *delta.changed])
            if job.job_id in stored:
                stored[job.job_id].want([*delta.added, *delta.changed])
        self._read_items(list(stored.values()))
        rows = Rows()
        for (previous, job), delta in zip(known, deltas, strict=True):
            rows.add(previous, job, self._sides[previous.job_id], self._sides[job.job_id], delta, self._identity)
        return rows

    def _read(self, jobs: dict[str, Seen]) -> dict[str, Stored]:
        """Keys and hashes of jobs that are not at hand."""
        stored = {id_: Stored(one) for id_, one in jobs.items()}
        names = ("_meter_job_id", "_meter_item_key", "_meter_item_hash", "_meter_item_index")
        if jobs:
            times = {id_: one.time for id_, one in jobs.items()}
            for batch in self._lake.job_batches("results", self._slug, names, times):
                for id_, key, hash_, index in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    stored[id_].take(key, hash_, index)
        self._sides |= stored
        return stored

    def _read_items(self, stored: Sequence[Stored]) -> None:
        """The items that differ, of jobs that are not at hand."""
        times = {one.job.job_id: one.job.time for one in stored if one.wanted}
        by_id = {one.job.job_id: one for one in stored}
        if times:
            names = ("job_id", "item_index", "item")
            for batch in self._lake.job_batches("raw", self._slug, names, times):
                indexes = batch["item_index"].to_pylist()
                for place, (id_, index) in enumerate(zip(batch["job_id"].to_pylist(), indexes, strict=True)):
                    if index in by_id[id_].wanted:
                        by_id[id_].texts[index] = batch["item"][place].as_py()


class Stored:
    """The items of a job that is in the lake: keys and hashes at once, texts of those that are wanted."""

    def __init__(self, job: Seen) -> None:
        self.job = job
        self.hash_by_key: dict[str, str] = {}
        self.wanted: set[int] = set()
        self.texts: dict[int, str] = {}
        self._indexes: dict[str, int] = {}

    def take(self, key: str, hash_: str, index: int) -> None:
        """Takes an item."""
        self.hash_by_key[key] = hash_
        self._indexes[key] = index

    def want(self, keys: Iterable[str]) -> None:
        """Asks for the texts of items."""
        self.wanted.update(self._indexes[key] for key in keys)

    def text(self, key: str) -> str:
        """An item as received."""
        return self.texts[self._indexes[key]]

    def value(self, key: str) -> Any:
        """An item, parsed."""
        return columns.parse([self.text(key).encode()])[0]
