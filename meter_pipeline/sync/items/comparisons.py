"""Two consecutive jobs of a target, side by side: what they share by chance, and which items a candidate pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.coding import CodedJob, Mask
from meter_pipeline.sync.items.pairing import Pairs
from meter_pipeline.sync.items.samples import JobSample

Fields = tuple[Path, ...]
"""The paths of a candidate."""

# A field with the same value nearly everywhere tells nothing about a pairing.
INFORMATIVE = 0.9


class Step:
    """Two consecutive samples of a target, by their places among all samples.

    Attributes:
        chance: For each field, how often a value of one sample equals one of the other if both are drawn at random.
        tells: Which fields tell something about a pairing.
        shared: For each field, the number of values that both have, repeated ones as often as both.
        smaller: For each field, the number of items with a value in the smaller sample.
    """

    def __init__(self, old: int, new: int, jobs: Sequence[CodedJob]) -> None:
        self.old, self.new = old, new
        self.old_job, self.new_job = jobs[old], jobs[new]
        before, after = self.old_job, self.new_job
        count = len(before) * len(after)
        lacking = (len(before) - before.present) * (len(after) - after.present)
        equal = before.by_field(before.counts * after.counts) + lacking
        # Chance has nothing to draw from where pages have one item; that is another one when its fields all differ.
        self.chance = equal / count if count > 1 else np.zeros(len(equal))
        self.tells = self.chance < INFORMATIVE
        self.shared = before.by_field(np.minimum(before.counts, after.counts))
        self.smaller = np.minimum(before.present, after.present)
        #: Fields with one value for all items of a list, which tells when the job ran, and nothing about items.
        self.is_of_job = (before.distinct <= 1) & (after.distinct <= 1) & (count > 1)
        self.pairs: dict[Fields, Pairs] = {}
        self._equal: dict[Fields, Mask] = {}

    @property
    def places(self) -> tuple[int, int]:
        """The places of the old and of the new sample."""
        return self.old, self.new

    def equal(self, fields: Fields) -> Mask:
        """For each pair of a candidate and each field, whether the pair agrees."""
        found = self._equal.get(fields)
        if found is None:
            pairs = self.pairs[fields]
            found = self._equal[fields] = self.old_job.matrix[pairs.old] == self.new_job.matrix[pairs.new]
        return found


def list_consecutive(samples: Sequence[JobSample]) -> list[tuple[int, int]]:
    """The places of samples that follow each other on one target."""
    last: dict[str, int] = {}
    steps = []
    for number, sample in enumerate(samples):
        if sample.target_id in last:
            steps.append((last[sample.target_id], number))
        last[sample.target_id] = number
    return steps
