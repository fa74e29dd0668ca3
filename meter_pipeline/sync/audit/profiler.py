"""Makes profiles of jobs, from items in memory or piece by piece.

Comes in: a job's items. Goes out: its `JobProfile`. A profile follows from the set of the job's items, its time and the
profile before it, whose identity is kept while it still tells items apart. The work is bounded: of a large job only
the items with the smallest ids are taken apart, which are the same items in job after job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meter_pipeline.config.field_paths import parse_path
from meter_pipeline.sync.audit.cells import Cells
from meter_pipeline.sync.audit.describing import ChosenItems, Describer, Ids, Numbers
from meter_pipeline.sync.audit.identities import (
    EXAMINED,
    Path,
    are_still_unique,
    choose_identity,
    have_values,
    identify,
    is_still_unique,
    sort_once,
)
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.audit.values import ABSENT
from meter_pipeline.sync.items.texts import Items, Texts

# Cells that are examined of a job, and the rows that this makes.
_CELLS = 5_000
MOST_ROWS, _FEWEST_ROWS = 512, 64


class JobItems(NamedTuple):
    """A job that is to be profiled.

    Attributes:
        target_id: What it scraped.
        items: Its items; those that cannot be parsed count as null.
        time: When it was scraped, ISO 8601.
    """

    target_id: str
    items: Items
    time: str


class Profiler:
    """Makes profiles of the jobs of a strategy; what it knows of repeated items is kept from job to job.

    Args:
        texts: The texts of the items that `profile` gets; another profiler is needed for other texts.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._cells = Cells()
        self._describer = Describer(self._cells, texts.values)
        self._identity: tuple[Path, ...] | None = None
        self._ids: Ids = np.empty(0, np.uint32)
        self._has_value: npt.NDArray[np.bool_] = np.empty((0, 0), np.bool_)

    def profile(self, items: Items, time: str, before: JobProfile | None = None) -> JobProfile:
        """The profile of a job.

        Args:
            items: The job's items; those that cannot be parsed count as null.
            time: When the job was scraped, ISO 8601.
            before: The last accepted job of the target before this one, None for a first job.
        """
        return self.profile_all([JobItems("", items, time)], {} if before is None else {"": before.identity})[0]

    def profile_all(self, jobs: Sequence[JobItems], before: Mapping[str, tuple[str, ...]]) -> list[JobProfile]:
        """The profiles of jobs in order of time, each made as if the job before it on its target were accepted.

        Args:
            jobs: The jobs.
            before: The identity of the last accepted job before these, by target.
        """
        small = [job.items.numbers for job in jobs if len(job.items.numbers) <= _FEWEST_ROWS]
        if small:
            # Of these, all items are described.
            self._cells.learn(self._texts.values, np.concatenate(small))
        identities = self._find_identities(jobs, before)
        distinct_jobs: list[tuple[JobItems, tuple[Path, ...]]] = []
        same: list[int] = []
        previous: tuple[bytes, tuple[Path, ...]] | None = None
        for job, identity in zip(jobs, identities, strict=True):
            content = job.items.numbers.tobytes(), identity
            if content != previous:
                distinct_jobs.append((job, identity))
                previous = content
            same.append(len(distinct_jobs) - 1)
        profiles = self._describer.describe(self._choose(distinct_jobs))
        return [
            profiles[place] if profiles[place].time == job.time else replace(profiles[place], time=job.time, memory={})
            for job, place in zip(jobs, same, strict=True)
        ]

    def _find_identities(
        self, jobs: Sequence[JobItems], before: Mapping[str, tuple[str, ...]]
    ) -> list[tuple[Path, ...]]:
        """The fields that identify the items of each job: those of the job before it, if they still do, or others."""
        found: list[tuple[Path, ...]] = [()] * len(jobs)
        by_target: dict[str, list[int]] = {}
        for place, job in enumerate(jobs):
            by_target.setdefault(job.target_id, []).append(place)
        for target_id, places in by_target.items():
            identity = tuple(map(parse_path, before.get(target_id, ())))
            start, together = 0, len(places)
            while start < len(places):
                some = places[start : start + together]
                kept = self._count_identified([jobs[place].items.numbers for place in some], identity)
                if not kept:
                    examined = np.unique(jobs[some[0]].items.numbers[:EXAMINED])
                    identity = _choose_identity(self._cells, self._texts.values, examined)
                    # Few at first: where every job needs others, no job is examined again and again.
                    kept, together = 1, 1 if start else len(places)
                for place in some[:kept]:
                    found[place] = identity
                start, together = start + kept, 2 * together
        return found

    def _count_identified(self, jobs: Sequence[Numbers], identity: tuple[Path, ...]) -> int:
        """How many of the jobs, from the first on, have items that some fields still identify."""
        if not identity:
            return 0
        examined = [numbers[:EXAMINED] for numbers in jobs]
        job = np.repeat(np.arange(len(jobs)), list(map(len, examined)))
        distinct = sort_once(job << 32 | np.concatenate(examined))
        numbers, lengths = distinct & 0xFFFFFFFF, np.bincount(distinct >> 32, minlength=len(jobs))
        ids = self._identify(identity)[numbers]
        is_unique = are_still_unique(ids, self._has_value[numbers], lengths)
        return len(jobs) if is_unique.all() else int(is_unique.argmin())

    def _choose(self, jobs: Sequence[tuple[JobItems, tuple[Path, ...]]]) -> list[ChosenItems]:
        """What is described of jobs, each given with the fields that identify its items."""
        if not jobs:
            return []
        numbers = [job.items.numbers for job, _ in jobs]
        ids = [self._identify(identity)[own] for own, (_, identity) in zip(numbers, jobs, strict=True)]
        return [
            _choose(
                self._cells, self._texts.values, own, own_ids, identity, len(own), job.time, np.arange(len(own)), first
            )
            for (job, identity), own, own_ids, first in zip(jobs, numbers, ids, _find_firsts(ids), strict=True)
        ]

    def _identify(self, identity: tuple[Path, ...]) -> Ids:
        """The ids of all texts."""
        if identity != self._identity:
            self._identity, self._ids = identity, np.empty(0, np.uint32)
            self._has_value = np.empty((0, len(identity)), np.bool_)
        known, values = len(self._ids), self._texts.values
        if known < len(values):
            self._ids = np.concatenate([self._ids, identify(values[known:], identity)])
            self._has_value = np.concatenate([self._has_value, have_values(values[known:], identity)])
        return self._ids


class PickedItems(NamedTuple):
    """Items of a piece of a job with small ids.

    Attributes:
        identity: The fields that identify items.
        size: How many items the piece has.
        values: The items, parsed.
        ids: Their ids.
        at: Their places in the piece.
    """

    identity: tuple[Path, ...]
    size: int
    values: list[Any]
    ids: Ids
    at: npt.NDArray[np.int64]


class PieceProfiler:
    """Makes the profile of one large job piece by piece; takes the memory of some thousand items.

    Args:
        time: When the job was scraped, ISO 8601.
        before: The last accepted job of the target before this one, None for a first job.
    """

    def __init__(self, time: str, before: JobProfile | None = None) -> None:
        self._time, self._before = time, before
        self._identity: tuple[Path, ...] | None = None
        self._items = 0
        self._kept: list[Any] = []
        self._ids: Ids = np.empty(0, np.uint32)
        self._at: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._limit = 2**32

    def without_items(self) -> PieceProfiler:
        """A profiler of the same job that has no items yet; its `pick` leaves out what this one would."""
        other = PieceProfiler(self._time, self._before)
        other._identity, other._limit = self._identity, self._limit
        return other

    def feed(self, values: Sequence[Any]) -> None:
        """Adds the next items, parsed."""
        if values:
            self.add(self.pick(values))

    def pick(self, values: Sequence[Any]) -> PickedItems:
        """Those of the next items that may count for the profile; the first ones decide what identifies items."""
        if self._identity is None:
            head = list(values[:EXAMINED])
            before = () if self._before is None else tuple(map(parse_path, self._before.identity))
            if before and is_still_unique(identify(head, before), have_values(head, before)):
                self._identity = before
            else:
                self._identity = _choose_identity(Cells(), head, np.arange(len(head)))
        ids = identify(values, self._identity)
        at = np.flatnonzero(ids < self._limit)
        return PickedItems(self._identity, len(values), [values[place] for place in at.tolist()], ids[at], at)

    def add(self, picked: PickedItems) -> None:
        """Adds the next items, as this profiler or one like it has picked them."""
        self._identity = picked.identity
        self._kept += picked.values
        self._ids = np.concatenate([self._ids, picked.ids])
        self._at = np.concatenate([self._at, picked.at + self._items])
        self._items += picked.size
        if len(self._kept) > 4 * MOST_ROWS:
            self._shrink()

    def finish(self) -> JobProfile:
        """The profile of the items so far."""
        cells = Cells()
        numbers = np.arange(len(self._kept))
        chosen = _choose(cells, self._kept, numbers, self._ids, self._identity or (), self._items, self._time, self._at)
        return Describer(cells, self._kept).describe([chosen])[0]

    def _shrink(self) -> None:
        distinct = np.unique(self._ids)
        if len(distinct) <= MOST_ROWS:
            return
        self._limit = int(distinct[MOST_ROWS])
        kept = np.flatnonzero(self._ids < self._limit)
        self._kept = [self._kept[place] for place in kept.tolist()]
        self._ids, self._at = self._ids[kept], self._at[kept]


def _choose_identity(cells: Cells, items: Sequence[Any], numbers: Numbers) -> tuple[Path, ...]:
    rows = cells.rows(items, numbers)
    return choose_identity(rows, cells.paths, cells.values.columns()) if len(rows) else ()


def _find_firsts(jobs: Sequence[Ids]) -> list[tuple[Ids, Numbers]]:
    """The distinct ids of each job in order, and the place of the first item with each, given the ids of its items."""
    lengths = np.array(list(map(len, jobs)))
    keys = np.repeat(np.arange(len(jobs)), lengths) << 32 | np.concatenate(jobs)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    is_new = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
    once = keys[is_new]
    job = once >> 32
    firsts = order[is_new] - (np.cumsum(lengths) - lengths)[job]
    ids = (once & 0xFFFFFFFF).astype(np.uint32)
    bounds = np.searchsorted(job, np.arange(len(jobs) + 1)).tolist()
    return [(ids[begin:end], firsts[begin:end]) for begin, end in pairwise(bounds)]


def _choose(
    cells: Cells,
    items: Sequence[Any],
    numbers: Numbers,
    ids: Ids,
    identity: tuple[Path, ...],
    count: int,
    time: str,
    at: Numbers,
    found: tuple[Ids, Numbers] | None = None,
) -> ChosenItems:
    """What is described of a job of `count` items, given all of them or those with the smallest ids.

    `found` has the distinct ids and the place of the first item with each, where they are known.
    """
    distinct, firsts = found or _find_firsts([ids])[0]
    rows = _most_rows(cells, items, numbers, ids, distinct)
    is_complete = len(numbers) == count and len(distinct) <= rows
    if len(distinct) > rows:
        chosen = np.flatnonzero(ids < distinct[rows])
        numbers, at, ids = numbers[chosen], at[chosen], ids[chosen]
        firsts = _find_firsts([ids])[0][1]
    return ChosenItems(time, count, identity, numbers, ids, at, firsts, is_complete)


def _most_rows(cells: Cells, items: Sequence[Any], numbers: Numbers, ids: Ids, distinct: Ids) -> int:
    """How many items of a job are examined: the more fields, the fewer items."""
    if len(distinct) <= _FEWEST_ROWS:
        return len(distinct)
    few = numbers[ids < distinct[_FEWEST_ROWS]]
    width = int((cells.rows(items, few) != ABSENT).any(axis=0).sum())
    return min(max(_CELLS // max(width, 1), _FEWEST_ROWS), MOST_ROWS, len(distinct))
