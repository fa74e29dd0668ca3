"""Tells numbers of the places of a list, which stay where they are while items move, from numbers of its items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.coding import Numbers, walk
from meter_pipeline.sync.items.samples import JobSample, place_of

# Pages that a list is long at most: numbers that begin further on are no places.
_MOST_PAGES = 100
# Items at the top that show whether a field holds numbers at all.
_TOP = 50
# Share of the numbers that follow each other, and of the jobs with the same start.
_NEARLY_ALL = 0.9


def numbers_places(samples: Sequence[JobSample], path: Path, number_of: Callable[[object], float] = place_of) -> bool:
    """Whether a field numbers the places of items: 1, 2, 3 from the top, with the same start in nearly every job.

    Args:
        samples: The samples.
        path: The field.
        number_of: Returns the number of a value, NaN where there is none.
    """
    columns: list[tuple[str, Numbers]] = []
    for sample in samples:
        top = [number_of(walk(item, path)) for item in sample.values[:_TOP]]
        if len(top) < 2 or np.isnan(top).mean() > 0.5:
            return False
        numbers = np.array([*top, *(number_of(walk(item, path)) for item in sample.values[_TOP:])], np.float64)
        if np.nanmin(numbers) > _MOST_PAGES * len(numbers):
            return False
        columns.append((sample.target_id, numbers))
    return any(_are_places([(target, direction * numbers) for target, numbers in columns]) for direction in (1, -1))


def _are_places(columns: Sequence[tuple[str, Numbers]]) -> bool:
    """The same for numbers that ascend, by job: its target, and the numbers in order."""
    in_place = total = 0
    found: dict[str, Counter[float]] = {}
    for target, numbers in columns:
        starts = _find_starts(numbers)
        found.setdefault(target, Counter())[float(np.nanmedian(starts))] += 1
        steps = np.diff(starts[~np.isnan(starts)])
        in_place += int((steps == 0).sum())
        total += len(steps)
    usual = sum(max(counts.values()) for counts in found.values())
    return in_place >= _NEARLY_ALL * total and usual >= _NEARLY_ALL * len(columns)


def _find_starts(numbers: Numbers) -> Numbers:
    """What the first place of a list would have by the number of each, NaN where there is none.

    The copy of an item that is promoted has the number of its own place: the rest is counted without it.
    """
    _, starts, alike = np.unique(numbers - np.arange(len(numbers)), return_inverse=True, return_counts=True)
    _, which = np.unique(numbers, return_inverse=True)
    # Of items with the same number the one in its place is in line with most others.
    in_line = alike[starts]
    most = np.zeros(len(numbers), np.int64)
    np.maximum.at(most, which, in_line)
    numbers = numbers[in_line == most[which]]
    return np.asarray(numbers - np.arange(len(numbers)))
