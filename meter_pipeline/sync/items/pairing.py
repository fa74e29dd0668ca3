"""Pairs items of two samples by the values of their fields, and counts what two samples have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meter_pipeline.sync.items.coding import Coded, Codes, Numbers


@dataclass(frozen=True)
class Pairs:
    """Positions of items in an old sample, and of their partners in a new one."""

    old: Codes
    new: Codes


@dataclass(frozen=True)
class MarkPairs:
    """Items whose mark occurs once in both samples, and the marks as numbers from 0."""

    pairs: Pairs
    old: Codes
    new: Codes

    def count_shared(self, old: Codes, new: Codes) -> int:
        """Number of marks that some items of both samples have, repeated ones as often as both."""
        if not len(old) or not len(new):
            return 0
        size = max(int(self.old.max()), int(self.new.max())) + 1
        before, after = np.bincount(self.old[old], minlength=size), np.bincount(self.new[new], minlength=size)
        return int(np.minimum(before, after).sum())


def pair_codes(old: Coded, new: Coded) -> Pairs:
    """Items whose value occurs once in both samples."""
    once = old.is_once & new.is_once
    positions = np.flatnonzero(once[old.codes])
    return Pairs(positions, new.places[old.codes[positions]])


def pair_marks(old: Codes, new: Codes) -> MarkPairs:
    """Items whose mark occurs once in both samples."""
    values, numbers = np.unique(np.concatenate([old, new]), return_inverse=True)
    # Number 0 is that of no value.
    before, after = np.split(numbers.reshape(-1) + 1, [len(old)])
    size = len(values) + 1
    return MarkPairs(pair_codes(Coded.of(before, size), Coded.of(after, size)), before, after)


def rank_numbers(numbers: Numbers) -> Numbers:
    """The rank of each number, equal numbers sharing the mean of theirs."""
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle = ends - (counts + 1) / 2
    return np.asarray(middle[inverse.reshape(-1)], np.float64)
