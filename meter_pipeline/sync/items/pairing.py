"""Pairs items of two samples by the values of their fields, and counts what two samples have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.items.samples import Column, Marks

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Positions of items in an old sample, and of their partners in a new one."""

    old: Marks
    new: Marks


def join_marks(columns: Sequence[Column | None], count: int | None = None) -> Marks:
    """A hash of each item's values in several fields, absent ones included: a sum, so that parts can be taken out.

    Args:
        columns: The fields; None for a field that is left out.
        count: Number of items; that of the first field's without.
    """
    first = columns[0] if columns else None
    joined = np.zeros(len(first.marks) if count is None and first is not None else count or 0, np.int64)
    for number, column in enumerate(columns):
        if column is None:
            continue
        joined += column.mixed * np.int64(2 * number + 1)
    return joined


def absent(count: int) -> Column:
    """The column of a field that no item has."""
    return Column(np.zeros(count, np.int64), np.zeros(count, np.bool_), [None] * count, fit=False)


def pair_values(old: Column, new: Column) -> Pairs:
    """Items whose value occurs once in both samples."""
    (old_marks, old_positions), (new_marks, new_positions) = old.once, new.once
    _, at_old, at_new = np.intersect1d(old_marks, new_marks, assume_unique=True, return_indices=True)
    return Pairs(old_positions[at_old], new_positions[at_new])


def pair_marks(old: Marks, new: Marks) -> Pairs:
    """Items whose mark occurs once in both samples."""
    everywhere = [Column(marks, np.ones(len(marks), np.bool_), (), fit=True) for marks in (old, new)]
    return pair_values(*everywhere)


def chance_of(old: Column, new: Column) -> float:
    """How often a value of one sample equals a value of the other if both are drawn at random."""
    if not len(old.marks) or not len(new.marks):
        return 1.0
    if len(old.marks) == len(new.marks) == 1:
        # Chance has nothing to draw from; the one item of a page is another one when its fields all differ.
        return 0.0
    old_marks, old_counts = np.unique(old.marks, return_counts=True)
    new_marks, new_counts = np.unique(new.marks, return_counts=True)
    _, at_old, at_new = np.intersect1d(old_marks, new_marks, assume_unique=True, return_indices=True)
    return float((old_counts[at_old] / len(old.marks)) @ (new_counts[at_new] / len(new.marks)))


def count_shared(old: Marks, new: Marks) -> int:
    """Number of marks that both have, repeated ones as often as both."""
    old_marks, old_counts = np.unique(old, return_counts=True)
    new_marks, new_counts = np.unique(new, return_counts=True)
    _, at_old, at_new = np.intersect1d(old_marks, new_marks, assume_unique=True, return_indices=True)
    return int(np.minimum(old_counts[at_old], new_counts[at_new]).sum())


def rank_numbers(numbers: Numbers) -> Numbers:
    """The rank of each number, equal numbers sharing the mean of theirs."""
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle = ends - (counts + 1) / 2
    return np.asarray(middle[inverse.reshape(-1)], np.float64)
