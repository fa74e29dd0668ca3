"""Consecutive jobs of a target, side by side: what they share by chance, and which items a candidate pairs.

All steps from a job to the next one are compared at once: their items stand one step after the other, each with the
number of its step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.coding import Coded, CodedItems, Codes, Mask, Numbers
from meter_pipeline.sync.items.samples import JobSample

Fields = tuple[Path, ...]
"""The paths of a candidate."""

# A field with the same value nearly everywhere tells nothing about a pairing.
INFORMATIVE = 0.9


@dataclass(frozen=True)
class Side:
    """Some items of the old samples, or of the new ones, step by step.

    Attributes:
        items: Their places among all items.
        steps: The step of each.
    """

    items: Codes
    steps: Codes

    @classmethod
    def of(cls, items: CodedItems, jobs: Codes) -> Side:
        """All items of one sample for each step."""
        sizes = items.sizes[jobs]
        steps = np.repeat(np.arange(len(jobs)), sizes)
        return cls(np.arange(len(steps)) + (items.starts[jobs] - np.cumsum(sizes) + sizes)[steps], steps)

    def __len__(self) -> int:
        return len(self.items)

    def where(self, chosen: Mask | Codes) -> Side:
        """Those of them that are chosen."""
        return Side(self.items[chosen], self.steps[chosen])

    def at(self, step: int) -> Codes:
        """The items of a step."""
        return self.items[self.steps == step]

    def thin(self, most: int | Codes) -> Side:
        """All items of a step, or `most` of them at even distances."""
        return self if isinstance(most, int) and len(self) <= most else self.where(thin_each(self.steps, most))


class Steps:
    """All pairs of consecutive samples of a target.

    Attributes:
        olds: The old sample of each step, by its place.
        news: The new sample of each step.
        old: The items of the old samples.
        new: The items of the new samples.
        chance: By step and field, how often a value of one sample equals one of the other if both are drawn at random.
        tells: Which fields tell something about a pairing, in each step.
        shared: By step and field, the number of values that both have, repeated ones as often as both.
        smaller: By step and field, the number of items with a value in the smaller sample.
        is_of_job: Fields with one value for all items of a list, which tells when the job ran, and nothing about items.
    """

    def __init__(self, samples: Sequence[JobSample], items: CodedItems) -> None:
        consecutive = list_consecutive(samples)
        self._items = items
        self._pairs: dict[tuple[bytes, bytes], Pairs] = {}
        targets: dict[str, int] = {}
        self._targets = np.array([targets.setdefault(sample.target_id, len(targets)) for sample in samples], np.int64)
        self.olds, self.news = np.array(consecutive, np.int64).reshape(-1, 2).T
        self.old, self.new = Side.of(items, self.olds), Side.of(items, self.news)
        counts, present = items.counts, items.present
        combinations = (items.sizes[self.olds] * items.sizes[self.news])[:, None]
        lacking = items.sizes[:, None] - present
        equal = items.by_field(counts[old] * counts[new] for old, new in consecutive)
        equal += lacking[self.olds] * lacking[self.news]
        # Chance has nothing to draw from where pages have one item; that is another one when its fields all differ.
        self.chance = np.where(combinations > 1, equal / np.maximum(combinations, 1), 0.0)
        self.tells = self.chance < INFORMATIVE
        self.shared = items.by_field(np.minimum(counts[old], counts[new]) for old, new in consecutive)
        self.smaller = np.minimum(present[self.olds], present[self.news])
        is_single = items.distinct <= 1
        self.is_of_job = is_single[self.olds] & is_single[self.news] & (combinations > 1)

    def __len__(self) -> int:
        return len(self.olds)

    @cached_property
    def earlier(self) -> Mask:
        """For each sample, in a column, which ones are earlier samples of the same target."""
        jobs = np.arange(len(self._targets))
        return (self._targets[:, None] == self._targets) & (jobs[:, None] < jobs)

    def compare(self, coded: Coded) -> Comparison:
        """The items of all steps by the values of a candidate."""
        return Comparison(self, coded)

    def pair(self, old: Side, new: Codes) -> Pairs:
        """Pairs of items, the same object for the same pairs: most candidates that are keys pair the same items."""
        key = old.items.tobytes(), new.tobytes()
        found = self._pairs.get(key)
        if found is None:
            found = self._pairs[key] = Pairs(self, self._items.matrix, old, Side(new, old.steps))
        return found

    def count(self, side: Side) -> Codes:
        """Number of items in each step."""
        return np.bincount(side.steps, minlength=len(self))


class Pairs:
    """Old and new items with the same value, which occurs once in both samples.

    Attributes:
        old: The old items.
        new: The new item of each pair.
        matched: Number of pairs in each step.
    """

    def __init__(self, steps: Steps, matrix: Codes, old: Side, new: Side) -> None:
        self._steps, self._matrix = steps, matrix
        self.old, self.new = old, new
        self.matched = steps.count(old)

    def __len__(self) -> int:
        return len(self.old)

    @cached_property
    def equal(self) -> Mask:
        """For each pair and each field, whether the pair agrees."""
        return np.asarray(self._matrix[self.old.items] == self._matrix[self.new.items])

    @cached_property
    def differ(self) -> Mask:
        """For each pair and each field, whether it has two different values: a gap is none."""
        old, new = self._matrix[self.old.items], self._matrix[self.new.items]
        return np.asarray((old != new) & (old > 0) & (new > 0))

    @cached_property
    def same(self) -> Codes:
        """By step and field, the number of pairs that agree."""
        found = np.zeros((len(self._steps), self.equal.shape[1]), np.int64)
        at = np.flatnonzero(self.matched)
        if len(at):
            starts = np.cumsum(self.matched) - self.matched
            found[at] = np.add.reduceat(self.equal, starts[at], axis=0, dtype=np.int64)
        return found

    @cached_property
    def above_chance(self) -> tuple[Numbers, Numbers]:
        """For each field, how much more often the pairs agree than by chance, and how much they could."""
        tells, chance, matched = self._steps.tells, self._steps.chance, self.matched[:, None]
        above = np.where(tells, self.same - chance * matched, 0.0)
        return above.sum(axis=0), np.where(tells, (1 - chance) * matched, 0.0).sum(axis=0)


class Comparison:
    """The items of all steps by the values of a candidate.

    Attributes:
        coded: The values.
        pairs: The items that they pair: the same object for all candidates that pair the same items.
    """

    def __init__(self, steps: Steps, coded: Coded) -> None:
        self.coded, self._steps = coded, steps
        old, jobs = steps.old, steps.news[steps.old.steps]
        codes = coded.codes[old.items]
        after = coded.counts[jobs, codes]
        self._is_gone = (after == 0) & (codes > 0)
        at = np.flatnonzero((coded.own[old.items] == 1) & (after == 1))
        self.pairs = steps.pair(old.where(at), coded.places[jobs[at], codes[at]])

    @cached_property
    def gone(self) -> Side:
        """The old items whose value the new job does not have."""
        return self._steps.old.where(self._is_gone)

    @cached_property
    def come(self) -> Side:
        """The new items whose value the old job does not have."""
        new = self._steps.new
        codes = self.coded.codes[new.items]
        return new.where((self.coded.counts[self._steps.olds[new.steps], codes] == 0) & (codes > 0))

    def count_shared(self, old: Side, new: Side) -> Codes:
        """By step, the number of values that some old and some new items have, repeated ones as often as both."""
        if not len(old) or not len(new):
            return np.zeros(len(self._steps), np.int64)
        size = self.coded.counts.shape[1]
        counts = (
            np.bincount(side.steps * size + self.coded.codes[side.items], minlength=len(self._steps) * size)
            for side in (old, new)
        )
        return np.asarray(np.minimum(*counts).reshape(-1, size).sum(axis=1))


def cross(old: Side, new: Side) -> tuple[Codes, Codes]:
    """The places of every entry of one side with every entry of the other one in the same step."""
    counts = np.bincount(new.steps, minlength=old.steps.max(initial=0) + 1)
    partners = counts[old.steps]
    left = np.repeat(np.arange(len(partners)), partners)
    starts = (np.cumsum(counts) - counts)[old.steps] - np.cumsum(partners) + partners
    return left, np.arange(len(left)) + starts[left]


def thin_each(steps: Codes, most: int | Codes) -> Codes:
    """The places of all entries of each step, or of `most` of them at even distances; steps ascend."""
    counts = np.bincount(steps)
    kept = np.minimum(counts, most if isinstance(most, int) else most[: len(counts)])
    chosen = np.repeat(np.arange(len(counts)), kept)
    numbers = np.arange(len(chosen)) - (np.cumsum(kept) - kept)[chosen]
    return (np.cumsum(counts) - counts)[chosen] + numbers * counts[chosen] // kept[chosen]


def list_consecutive(samples: Sequence[JobSample]) -> list[tuple[int, int]]:
    """The places of samples that follow each other on one target."""
    last: dict[str, int] = {}
    steps = []
    for number, sample in enumerate(samples):
        if sample.target_id in last:
            steps.append((last[sample.target_id], number))
        last[sample.target_id] = number
    return steps
