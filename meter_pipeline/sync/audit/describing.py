"""Describes the items of several jobs at once: what each field of each job holds, counted in one pass over all cells.

Comes in: which items of each job are described. Goes out: the jobs' profiles. Most of the work on a small job is per
call rather than per cell, and a load has many small jobs; so the cells of all jobs go through each step together. Each
field of each job has a number of its own there, its slot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from meter_pipeline.config.field_paths import spell_path
from meter_pipeline.store.columns import spell_json
from meter_pipeline.sync.audit.cells import Cells, Codes, find_value
from meter_pipeline.sync.audit.identities import Path
from meter_pipeline.sync.audit.profile import LENGTH_QUANTILES, NUMBER_QUANTILES, JobProfile, Shares, Sketch
from meter_pipeline.sync.audit.values import ABSENT, EMPTY, FLAGS, FORMS, MEASURE, NUMBER, TEXT, URL

Ids = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

# Cells that are described together, and counters for each cell at most.
_MOST_CELLS = 400_000
_MOST_EMPTY = 12
# Numbers in a sketch, and the items that this makes.
_SKETCHED, _MOST_SKETCHED, _FEWEST_SKETCHED = 4_500, 256, 24
MOST_FIELDS = 1_000
# Most frequent values, patterns and units that are kept.
_MOST_SHARES = 8, 12, 8
_SAMPLE, _SHORT_SAMPLE = 60, 24
_WIDE = 40
# Items whose samples are remembered: the same ones are shown in job after job.
_MOST_SAMPLES = 1_000


@dataclass(frozen=True, eq=False)
class ChosenItems:
    """The items of a job that are described: all, or those with the smallest ids.

    Attributes:
        time: When the job was scraped, ISO 8601.
        count: Number of the job's items.
        identity: Paths of the fields that tell items apart.
        numbers: The chosen items, as numbers.
        ids: Their ids.
        at: Where in the job each is.
        firsts: Places of the first item with each id, in the order of the ids.
        is_complete: Whether every item of the job is chosen.
    """

    time: str
    count: int
    identity: tuple[Path, ...]
    numbers: Numbers
    ids: Ids
    at: Numbers
    firsts: Numbers
    is_complete: bool


class Describer:
    """Makes profiles of chosen items.

    Args:
        cells: Takes items apart.
        items: All items by number; it may grow.
    """

    def __init__(self, cells: Cells, items: Sequence[Any]) -> None:
        self._cells, self._items = cells, items
        self._samples: dict[int, tuple[tuple[Path, ...], list[str]]] = {}
        self._layouts: dict[bytes, _Layout] = {}
        self._paths: tuple[Path, ...] = ()

    def describe(self, jobs: Sequence[ChosenItems]) -> list[JobProfile]:
        """The profiles of some jobs."""
        profiles: list[JobProfile] = []
        waiting: list[ChosenItems] = []
        cells = 0
        for job in jobs:
            size = len(job.numbers) * max(len(self._cells.paths), 1)
            if waiting and cells + size > _MOST_CELLS:
                profiles += self._describe(waiting)
                waiting, cells = [], 0
            waiting.append(job)
            cells += size
        return profiles + self._describe(waiting) if waiting else profiles

    def _describe(self, jobs: Sequence[ChosenItems]) -> list[JobProfile]:
        some = [job for job in jobs if len(job.numbers)]
        described = iter(self._describe_some(some) if some else ())
        return [next(described) if len(job.numbers) else _nothing(job) for job in jobs]

    def _describe_some(self, jobs: Sequence[ChosenItems]) -> Iterator[JobProfile]:
        codes = self._cells.rows(self._items, np.concatenate([job.numbers for job in jobs]))
        table = self._cells.values.columns()
        order, paths = self._cells.order()
        # To look up facts by whole numbers of another size takes several times as long.
        codes = codes.take(order, axis=1).astype(np.int64)
        lengths = np.array([len(job.numbers) for job in jobs])
        counted = _Counted(codes, lengths, table, paths)
        values, patterns, units = counted.shares()
        forms, flags, distinct = counted.forms(), counted.flags(), counted.distinct()
        numbers, text_lengths = counted.quantiles(2, NUMBER_QUANTILES), counted.quantiles(3, LENGTH_QUANTILES)
        sketches = _sketches(counted, jobs)
        sparse, emptiest = counted.sparse()
        if paths is not self._paths:
            self._paths, self._layouts = paths, {}
        names = self._cells.values.units
        spelled = {identity: tuple(map(spell_path, identity)) for identity in {job.identity for job in jobs}}
        for place, (job, (begin, end)) in enumerate(zip(jobs, pairwise(counted.offsets.tolist()), strict=True)):
            layout = self._layout(counted.used[place], paths)
            shown = job.firsts[:2].tolist()
            if sparse[place]:
                shown.append(min(emptiest(place), key=job.ids.__getitem__))
            own_units = units[place]
            yield JobProfile(
                time=job.time,
                items=job.count,
                rows=len(job.numbers),
                repeats=1 - len(job.firsts) / len(job.ids),
                sparse=sparse[place],
                identity=spelled[job.identity],
                paths=layout.spelled,
                forms=forms[begin:end],
                flags=flags[begin:end],
                distinct=distinct[begin:end],
                numbers=numbers[begin:end],
                lengths=text_lengths[begin:end],
                values=values[place],
                patterns=patterns[place],
                units=own_units,
                unit_names={unit: names[unit] for unit in sorted(set(own_units.marks.tolist()))},
                sketch=sketches[place],
                samples=self._spell(job.numbers[shown].tolist(), layout),
            )

    def _layout(self, used: npt.NDArray[np.bool_], paths: Sequence[Path]) -> _Layout:
        key = used.tobytes()
        layout = self._layouts.get(key)
        if layout is None:
            own = tuple(paths[column] for column in np.flatnonzero(used).tolist())
            layout = self._layouts[key] = _Layout(own, tuple(map(spell_path, own)))
        return layout

    def _spell(self, numbers: Sequence[int], layout: _Layout) -> tuple[tuple[str, ...], ...]:
        """For each field its values in some items, as JSON, cut."""
        columns = []
        for number in numbers:
            known = self._samples.get(number)
            if known is None or known[0] is not layout.paths:
                length = _SAMPLE if len(layout.paths) <= _WIDE else _SHORT_SAMPLE
                item = self._items[number]
                known = self._samples[number] = (
                    layout.paths,
                    [_spell(find_value(item, path), length) for path in layout.paths],
                )
            columns.append(known[1])
        if len(self._samples) > _MOST_SAMPLES:
            self._samples = {}
        return tuple(zip(*columns, strict=True))


@dataclass(frozen=True)
class _Layout:
    """The fields of a job, in order: paths, and the same as text."""

    paths: tuple[Path, ...]
    spelled: tuple[str, ...]


def _nothing(job: ChosenItems) -> JobProfile:
    """The profile of a job without items."""
    empty, places = np.zeros(0, np.float32), np.zeros(0, np.uint16)
    shares = Shares(places, np.zeros(0, np.uint32), empty)
    return JobProfile(
        time=job.time, items=job.count, rows=0, repeats=0.0, sparse=0.0,
        identity=tuple(map(spell_path, job.identity)), paths=(),
        forms=np.zeros((0, len(FORMS)), np.float32), flags=np.zeros((0, len(FLAGS)), np.float32), distinct=empty,
        numbers=np.zeros((0, len(NUMBER_QUANTILES)), np.float32),
        lengths=np.zeros((0, len(LENGTH_QUANTILES)), np.float32),
        values=shares, patterns=shares, units=shares, unit_names={},
        sketch=Sketch(
            np.zeros(0, np.uint32), empty, np.zeros((0, 0), np.uint16), places, np.zeros((0, 0), np.float32),
            job.is_complete,
        ),
        samples=(),
    )  # fmt: skip


class _Counted:
    """Rows of several jobs with each field's distinct values counted.

    Attributes:
        codes: Numbers of the values, columns in the order of their paths.
        used: Which columns each job has.
        offsets: The slot of the first field of each job, and the number of slots.
    """

    def __init__(
        self, codes: Codes, lengths: Numbers, table: tuple[npt.NDArray[Any], ...], paths: Sequence[Path]
    ) -> None:
        self.codes, self.table, self.lengths = codes, table, lengths
        self.starts = np.cumsum(lengths) - lengths
        self.job = np.repeat(np.arange(len(lengths)), lengths)
        present = np.add.reduceat(codes != ABSENT, self.starts, axis=0, dtype=np.int64)
        self.used = present > 0
        for place in np.flatnonzero(self.used.sum(axis=1) > MOST_FIELDS).tolist():
            most = sorted(np.flatnonzero(self.used[place]).tolist(), key=lambda c: (-present[place, c], paths[c]))
            self.used[place, most[MOST_FIELDS:]] = False
        self.offsets = np.concatenate([[0], np.cumsum(self.used.sum(axis=1))])
        self.slots = int(self.offsets[-1])
        self.is_filled = table[0] > EMPTY
        slot = np.cumsum(self.used.reshape(-1), dtype=np.int64).reshape(self.used.shape) - 1
        mine = slice(None) if self.used.all() else self.used[self.job]
        self._cells = codes[mine].reshape(-1), slot[self.job][mine].reshape(-1)
        # The values of a slot are in the order of their marks.
        by_mark = np.argsort(table[1], kind="stable")
        rank = np.empty(len(by_mark), np.int64)
        rank[by_mark] = np.arange(len(by_mark))
        cells, slots = self._cells
        keys = slots << 32 | rank[cells]
        keys.sort()
        firsts = _find_new(keys)
        once = keys[firsts]
        self._slots, self._values, self._counts = (
            once >> 32,
            by_mark[once & 0xFFFFFFFF],
            np.diff(firsts, append=len(keys)),
        )
        self._forms = table[0][self._values]
        self._filled = self._forms > EMPTY

    def forms(self) -> npt.NDArray[np.float32]:
        """In how many rows each slot has each form."""
        sums = np.bincount(self._slots * len(FORMS) + self._forms, self._counts, self.slots * len(FORMS))
        return sums.reshape(self.slots, len(FORMS)).astype(np.float32)

    def flags(self) -> npt.NDArray[np.float32]:
        """In how many rows each slot has each flag."""
        flags = self.table[4][self._values]
        result = np.zeros((self.slots, len(FLAGS)), np.float32)
        occurring = int(np.bitwise_or.reduce(flags)) if len(flags) else 0
        for bit in range(len(FLAGS)):
            if occurring >> bit & 1:
                result[:, bit] = np.bincount(self._slots, self._counts * (flags >> bit & 1), self.slots)
        return result

    def distinct(self) -> npt.NDArray[np.float32]:
        """Number of distinct values of each slot."""
        return np.bincount(self._slots[self._filled], minlength=self.slots).astype(np.float32)

    def shares(self) -> list[list[Shares]]:
        """The most frequent values, patterns and units of each job."""
        # A value that occurs once or in few items is not among the most frequent.
        enough = np.repeat(np.maximum(1, self.lengths / 50), np.diff(self.offsets))
        chosen = self._filled & (self._counts > enough[self._slots])
        values = self._slots[chosen], self.table[1][self._values[chosen]], self._counts[chosen]
        forms = self._forms
        patterns = self._count_marks(5, (forms == NUMBER) | (forms >= TEXT))
        return self._split_shares([values, patterns, self._count_marks(6, (forms == MEASURE) | (forms == URL))])

    def _count_marks(self, column: int, chosen: Mask) -> tuple[Numbers, npt.NDArray[Any], Numbers]:
        """How often each mark of a column occurs among chosen values: slots, marks and counts in this order."""
        marks, place = np.unique(self.table[column], return_inverse=True)
        keys = self._slots[chosen] * len(marks) + place.reshape(-1)[self._values[chosen]]
        once, counts = _sum_by(keys, self._counts[chosen], self.slots * len(marks))
        slots, places = np.divmod(once, len(marks))
        return slots, marks[places], counts

    def _split_shares(self, found: Sequence[tuple[Numbers, npt.NDArray[Any], Numbers]]) -> list[list[Shares]]:
        """The first of each slot by how often they occur, given in order of slots and marks; by kind and job."""
        kinds = np.repeat(np.arange(len(found)), [len(slots) for slots, _, _ in found])
        slots, marks, counts = map(np.concatenate, zip(*found, strict=True))
        slots = slots + kinds * self.slots
        # Counts are whole numbers below the number of rows.
        order = np.argsort(slots << 32 | (2**31 - counts), kind="stable")
        number = np.bincount(slots, minlength=len(found) * self.slots)
        rank = np.arange(len(slots)) - np.repeat(np.cumsum(number) - number, number)
        top = rank < np.array(_MOST_SHARES)[kinds]
        slots, order = slots[top], order[top]
        marks, shown = marks[order], counts[order].astype(np.float32)
        firsts = np.add.outer(np.arange(len(found)) * self.slots, self.offsets[:-1]).reshape(-1)
        bounds = np.append(np.searchsorted(slots, firsts), len(slots))
        fields = (slots - np.repeat(firsts, np.diff(bounds))).astype(np.uint16)
        shares = [
            Shares(fields[begin:end], marks[begin:end], shown[begin:end]) for begin, end in pairwise(bounds.tolist())
        ]
        jobs = len(self.lengths)
        return [shares[begin : begin + jobs] for begin in range(0, len(shares), jobs)]

    def quantiles(self, column: int, quantiles: Sequence[float]) -> npt.NDArray[np.float32]:
        """Quantiles of each slot's numbers (column 2) or lengths of texts (3); NaN for a slot without."""
        values = self.table[column]
        codes, slots = self._cells
        counts = (~np.isnan(values) if column == 2 else values > 0)[codes]
        keys = slots[counts] << 32 | _order_of(values)[codes[counts]]
        keys.sort()
        result = np.full((self.slots, len(quantiles)), np.nan, np.float32)
        number = np.bincount(keys >> 32, minlength=self.slots)
        some = np.flatnonzero(number)
        begin = (np.cumsum(number) - number)[some]
        places = begin[:, None] + np.floor(np.outer(number[some] - 1, quantiles) + 0.5).astype(np.int64)
        result[some] = _number_at(keys[places])
        return result

    def sparse(self) -> tuple[list[float], Any]:
        """The share of each job's rows with less than half the usual number of values, and its emptiest rows."""
        cells = self.is_filled[self.codes]
        if self.codes.shape[1] > MOST_FIELDS:
            cells &= self.used[self.job]
        filled = cells.sum(axis=1)
        ordered = np.sort(self.job << 32 | filled) & 0xFFFFFFFF
        usual = (ordered[self.starts + (self.lengths - 1) // 2] + ordered[self.starts + self.lengths // 2]) / 2
        few = np.add.reduceat(filled * 2 < usual[self.job], self.starts, dtype=np.int64)

        def emptiest(job: int) -> list[int]:
            own = filled[self.starts[job] : self.starts[job] + self.lengths[job]]
            return np.flatnonzero(own == own.min()).tolist()  # type: ignore[no-any-return]

        return (few / self.lengths).tolist(), emptiest


def _sum_by(keys: Numbers, weights: Numbers, most: int) -> tuple[Numbers, Numbers]:
    """The distinct keys in order, all below `most`, and the sum of the weights of each."""
    if most <= _MOST_EMPTY * len(keys):
        # Nearly as many counters as keys: to count takes less time than to sort.
        sums = np.bincount(keys, weights, most).astype(np.int64)
        once = np.flatnonzero(sums)
        return once, sums[once]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    firsts = _find_new(keys)
    return keys[firsts], np.diff(np.append(0, np.cumsum(weights[order]))[np.append(firsts, len(keys))])


def _find_new(keys: Numbers) -> Numbers:
    """Where each key first occurs, given in order."""
    is_new = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
    return np.flatnonzero(is_new)


def _order_of(values: npt.NDArray[Any]) -> Numbers:
    """Whole numbers of 32 bits in the order of numbers as `np.float32`; minus zero is zero."""
    bits = (values + 0.0).astype(np.float32).view(np.int32)
    return (bits ^ (bits >> 31 & 0x7FFFFFFF)).astype(np.int64) + 2**31


def _number_at(order: Numbers) -> npt.NDArray[np.float32]:
    """The numbers that `_order_of` has put in order, by the lower 32 bits."""
    bits = ((order & 0xFFFFFFFF) - 2**31).astype(np.int32)
    return (bits ^ (bits >> 31 & 0x7FFFFFFF)).view(np.float32)


def _sketches(counted: _Counted, jobs: Sequence[ChosenItems]) -> list[Sketch]:
    widths = np.diff(counted.offsets).tolist()
    mosts = [min(max(_SKETCHED // max(width, 1), _FEWEST_SKETCHED), _MOST_SKETCHED) for width in widths]
    kept = [job.firsts[:most] for job, most in zip(jobs, mosts, strict=True)]
    rows = np.concatenate([start + own for start, own in zip(counted.starts.tolist(), kept, strict=True)])
    codes = counted.codes[rows]
    marks = counted.table[1]
    short = (marks ^ marks >> np.uint32(16)).astype(np.uint16)
    short[short == 0] = 1
    short[~counted.is_filled] = 0
    short_marks, numbers = short[codes], counted.table[2][codes]
    ids = np.concatenate([job.ids[own] for job, own in zip(jobs, kept, strict=True)])
    counts = np.repeat([max(job.count, 1) for job in jobs], list(map(len, kept)))
    places = np.concatenate([job.at[own] for job, own in zip(jobs, kept, strict=True)]) / counts
    places = places.astype(np.float16).astype(np.float32)
    has_number = ~np.isnan(numbers)
    small = numbers.astype(np.float32)
    used = counted.used
    every = bool(used.all())
    lengths = np.array(list(map(len, kept)))
    has_numbers = np.logical_or.reduceat(has_number, np.cumsum(lengths) - lengths) & used
    are_alike = every and bool((has_numbers == has_numbers[0]).all())
    numeric = np.flatnonzero(has_numbers[0]).astype(np.uint16)
    if are_alike:
        small = small[:, numeric]
    sketches, end = [], 0
    for place, (job, own, most) in enumerate(zip(jobs, kept, mosts, strict=True)):
        begin, end = end, end + len(own)
        own_marks, own_numbers = short_marks[begin:end], small[begin:end]
        if not are_alike:
            mine, has = used[place], has_numbers[place]
            own_marks, own_numbers = own_marks[:, mine], own_numbers[:, has]
            numeric = np.flatnonzero(has[mine]).astype(np.uint16)
        is_complete = job.is_complete and len(job.firsts) <= most
        sketches.append(Sketch(ids[begin:end], places[begin:end], own_marks, numeric, own_numbers, is_complete))
    return sketches


def _spell(value: Any, length: int) -> str:
    text = spell_json(value)
    return text if len(text) <= length else text[: length - 1] + "…"
