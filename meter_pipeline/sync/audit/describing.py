"""Describes the items of several jobs at once.

Comes in: which items of each job are described. Goes out: the jobs' profiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meter_pipeline.config.field_paths import spell_path
from meter_pipeline.store.item_json import spell_json
from meter_pipeline.sync.audit.cells import Cells, find_value
from meter_pipeline.sync.audit.counting import Counted
from meter_pipeline.sync.audit.identities import Path
from meter_pipeline.sync.audit.profile import LENGTH_QUANTILES, NUMBER_QUANTILES, JobProfile, Shares, Sketch
from meter_pipeline.sync.audit.values import FLAGS, FORMS

Ids = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]

# Cells that are described together.
_MOST_CELLS = 400_000
# Numbers in a sketch, and the items that this makes.
_SKETCHED, _MOST_SKETCHED, _FEWEST_SKETCHED = 4_500, 256, 24
_SAMPLE, _SHORT_SAMPLE = 60, 24
_WIDE = 40
# Items whose samples are remembered: the same ones are shown in job after job.
_MOST_SAMPLES = 1_000


class ChosenItems(NamedTuple):
    """The items of a job that are described: all, or those with the smallest ids.

    Attributes:
        time: When the job was scraped, ISO 8601.
        items: Number of the job's items.
        identity: Paths of the fields that tell items apart.
        numbers: The chosen items, as numbers.
        ids: Their ids.
        at: Where in the job each is.
        firsts: Places of the first item with each id, in the order of the ids.
        is_complete: Whether every item of the job is chosen.
    """

    time: str
    items: int
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
        self._samples: dict[tuple[_Layout, int], list[str]] = {}
        self._shown: dict[tuple[_Layout, tuple[int, ...]], tuple[tuple[str, ...], ...]] = {}
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
        counted = Counted(codes, lengths, table, paths)
        values, patterns, units = counted.shares()
        forms, flags, distinct = counted.forms(), counted.flags(), counted.distinct()
        numbers, text_lengths = counted.quantiles()
        sketches = _sketches(counted, jobs)
        sparse, emptiest = counted.sparse()
        if paths is not self._paths:
            self._paths, self._layouts, self._samples, self._shown = paths, {}, {}, {}
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
                items=job.items,
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
                samples=self._show(tuple(map(job.numbers.item, shown)), layout),
            )

    def _layout(self, used: npt.NDArray[np.bool_], paths: Sequence[Path]) -> _Layout:
        key = used.tobytes()
        layout = self._layouts.get(key)
        if layout is None:
            own = tuple(paths[column] for column in np.flatnonzero(used).tolist())
            layout = self._layouts[key] = _Layout(own, tuple(map(spell_path, own)))
        return layout

    def _show(self, numbers: tuple[int, ...], layout: _Layout) -> tuple[tuple[str, ...], ...]:
        """For each field its values in some items, as JSON, cut."""
        shown = self._shown.get((layout, numbers))
        if shown is None:
            if len(self._samples) > _MOST_SAMPLES:
                self._samples, self._shown = {}, {}
            columns = [self._spell(number, layout) for number in numbers]
            shown = self._shown[layout, numbers] = tuple(zip(*columns, strict=True))
        return shown

    def _spell(self, number: int, layout: _Layout) -> list[str]:
        spelled = self._samples.get((layout, number))
        if spelled is None:
            length = _SAMPLE if len(layout.paths) <= _WIDE else _SHORT_SAMPLE
            item = self._items[number]
            spelled = [_spell(find_value(item, path), length) for path in layout.paths]
            self._samples[layout, number] = spelled
        return spelled


@dataclass(frozen=True, eq=False)
class _Layout:
    """The fields of a job, in order: paths, and the same as text."""

    paths: tuple[Path, ...]
    spelled: tuple[str, ...]


def _nothing(job: ChosenItems) -> JobProfile:
    """The profile of a job without items."""
    empty, places = np.zeros(0, np.float32), np.zeros(0, np.uint16)
    shares = Shares(places, np.zeros(0, np.uint32), empty)
    return JobProfile(
        time=job.time, items=job.items, rows=0, repeats=0.0, sparse=0.0,
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


def _sketches(counted: Counted, jobs: Sequence[ChosenItems]) -> list[Sketch]:
    widths = np.diff(counted.offsets).tolist()
    mosts = [min(max(_SKETCHED // max(width, 1), _FEWEST_SKETCHED), _MOST_SKETCHED) for width in widths]
    kept = [job.firsts[:most] for job, most in zip(jobs, mosts, strict=True)]
    rows = np.concatenate([start + own for start, own in zip(counted.starts.tolist(), kept, strict=True)])
    codes = counted.codes[rows]
    marks = counted.table[1]
    short = (marks ^ marks >> np.uint32(16)).astype(np.uint16)
    short[short == 0] = 1
    short[~counted.is_filled] = 0
    short_marks, small = short[codes], counted.table[2].astype(np.float32)[codes]
    ids = np.concatenate([job.ids[own] for job, own in zip(jobs, kept, strict=True)])
    counts = np.repeat([max(job.items, 1) for job in jobs], list(map(len, kept)))
    places = np.concatenate([job.at[own] for job, own in zip(jobs, kept, strict=True)]) / counts
    places = places.astype(np.float16).astype(np.float32)
    has_number = ~np.isnan(small)
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
