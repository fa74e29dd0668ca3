"""Finds the items that two jobs both have, for many pairs of jobs at once.

Comes in: sketches. Goes out: rows of the same item in both. Only items that both sketches would hold count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.profile import Sketch

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Matches:
    """Items that both jobs of some pairs have in their sketches, pair after pair.

    Attributes:
        pairs: Which pair each of them is of.
        here: Its row in the later sketch.
        there: Its row in the earlier sketch.
        ours: How many items of the later job of each pair could have been found in the earlier one.
        theirs: How many items of the earlier job could have been found in the later one.
    """

    pairs: Numbers
    here: Numbers
    there: Numbers
    ours: Numbers
    theirs: Numbers


def match(pairs: Sequence[tuple[Sketch, Sketch]]) -> Matches:
    """Finds the items that both sketches of each pair have."""
    # An incomplete sketch has the items up to its last id.
    limits = np.array([min(_limit(now), _limit(before)) for now, before in pairs])
    ours, here = _keys([now for now, _ in pairs], limits)
    theirs, there = _keys([before for _, before in pairs], limits)
    at = theirs.searchsorted(ours)
    # What is after the last one is not found.
    at[at == len(theirs)] = -1
    found = np.flatnonzero(theirs[at] == ours) if len(theirs) else np.empty(0, np.int64)
    of_pair = ours[found] >> 32
    count = len(pairs)
    return Matches(
        of_pair,
        here[found],
        there[at[found]],
        np.bincount(ours >> 32, minlength=count),
        np.bincount(theirs >> 32, minlength=count),
    )


def _limit(sketch: Sketch) -> int:
    return 2**32 if sketch.is_complete or not len(sketch.ids) else int(sketch.ids[-1]) + 1


def _keys(sketches: Sequence[Sketch], limits: Numbers) -> tuple[Numbers, Numbers]:
    """The ids in sketches below a limit each, with the number of the sketch above them, and their rows."""
    lengths = np.array([len(sketch.ids) for sketch in sketches])
    number = np.repeat(np.arange(len(sketches)), lengths)
    ids = np.concatenate([sketch.ids for sketch in sketches])
    rows = np.arange(len(ids)) - (np.cumsum(lengths) - lengths)[number]
    keys = number << 32 | ids
    if limits.min() == 2**32:
        return keys, rows
    is_within = ids < limits[number]
    return keys[is_within], rows[is_within]


def stack_rows(matrices: Sequence[npt.NDArray[Any]], numbers: Numbers, rows: Numbers) -> npt.NDArray[Any]:
    """Rows of several matrices with the same columns, given the number of each row's matrix."""
    if len(matrices) == 1:
        return matrices[0][rows]
    lengths = np.array(list(map(len, matrices)))
    return np.concatenate(matrices)[rows + (np.cumsum(lengths) - lengths)[numbers]]
