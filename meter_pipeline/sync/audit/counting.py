"""Counts what the fields of several jobs hold, in one pass over all cells.

Comes in: rows of values by number, and columns about the values. Goes out: figures of each field of each job. Most of
the work on a small job is per call rather than per cell, and a load has many small jobs; so the cells of all jobs go
through each step together. Each field of each job has a number of its own, its slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.cells import Codes
from meter_pipeline.sync.audit.identities import Path
from meter_pipeline.sync.audit.profile import LENGTH_QUANTILES, NUMBER_QUANTILES, Shares
from meter_pipeline.sync.audit.values import ABSENT, EMPTY, FLAGS, FORMS, MEASURE, NUMBER, TEXT, URL

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]
Quantiles = npt.NDArray[np.float32]

#: Fields of a job that are described at most.
MOST_FIELDS = 1_000
# Most frequent values, patterns and units that are kept.
_MOST_SHARES = 8, 12, 8
# Counters for each key at most.
_MOST_EMPTY = 12


class Counted:
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
        by_mark, rank = _rank(table[1])
        cells, slots = self._cells
        keys = _sort_pairs(slots, rank[cells], self.slots, len(rank))
        firsts = _find_new(keys)
        self._slots, ranks = _split_pairs(keys[firsts], len(rank))
        self._values, self._counts = by_mark[ranks], np.diff(firsts, append=len(keys))
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
        # With its place in it, each number is another one. To sort these takes a fraction of the time that it takes to
        # find their order; they are far below 2**63, since there are a million cells at most.
        most, place = int(counts.max(initial=0)), np.arange(len(slots))
        order = np.sort((slots * (most + 1) + most - counts) * len(slots) + place) % max(len(slots), 1)
        number = np.bincount(slots, minlength=len(found) * self.slots)
        rank = place - np.repeat(np.cumsum(number) - number, number)
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

    def quantiles(self) -> tuple[Quantiles, Quantiles]:
        """Quantiles of each slot's numbers and of the lengths of its texts; NaN for a slot without."""
        numbers, lengths = self.table[2], self.table[3]
        return (
            self._quantiles(numbers, ~np.isnan(numbers), NUMBER_QUANTILES),
            self._quantiles(lengths, lengths > 0, LENGTH_QUANTILES),
        )

    def _quantiles(self, values: npt.NDArray[Any], counts: Mask, quantiles: Sequence[float]) -> Quantiles:
        """Quantiles of each slot's values that count."""
        codes, slots = self._cells
        at = np.flatnonzero(counts[codes])
        # Minus zero is zero.
        values = (values + 0.0).astype(np.float32)
        order, rank = _rank(values)
        ordered = _sort_pairs(slots[at], rank[codes[at]], self.slots, len(rank))
        count = np.bincount(slots[at], minlength=self.slots)
        some = np.flatnonzero(count)
        places = np.floor(np.outer(count[some] - 1, quantiles) + 0.5).astype(np.int64)
        places += (np.cumsum(count) - count)[some, None]
        result = np.full((self.slots, len(quantiles)), np.nan, np.float32)
        result[some] = values[order][_split_pairs(ordered[places], len(rank))[1]]
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


def _rank(values: npt.NDArray[Any]) -> tuple[Numbers, Numbers]:
    """The places of values in the order of these, and the rank of each."""
    order = np.argsort(values, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return order, rank


def _sort_pairs(slots: Numbers, ranks: Numbers, most_slots: int, most_ranks: int) -> npt.NDArray[Any]:
    """Pairs of a slot and a rank, each below some number, in order; a pair is one number."""
    bits = most_ranks.bit_length()
    pairs = slots << bits | ranks
    if most_slots << bits < 2**31:
        # Numbers of half the length are sorted in a third of the time.
        pairs = pairs.astype(np.int32)
    pairs.sort()
    return pairs


def _split_pairs(pairs: npt.NDArray[Any], most_ranks: int) -> tuple[Numbers, Numbers]:
    """The slots and ranks of pairs."""
    bits = most_ranks.bit_length()
    pairs = pairs.astype(np.int64)
    return pairs >> bits, pairs & (1 << bits) - 1
