"""How far the other fields of items agree that have the same value, in consecutive jobs or in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.coding import Coded, CodedJob, Mask, Numbers, walk
from meter_pipeline.sync.items.comparisons import INFORMATIVE, Fields, Step
from meter_pipeline.sync.items.pairing import rank_numbers
from meter_pipeline.sync.items.samples import JobSample, number_of

_FEW_PAIRS = 4
# Copies of an item agree above chance in this share of its other fields.
_ALIKE = 0.5


def agree_above_chance(steps: Sequence[Step], fields: Fields, width: int) -> tuple[Numbers, Numbers]:
    """For each field, how much more often pairs of a candidate agree than by chance, and how much they could.

    `width` is the number of fields.
    """
    above, weight = np.zeros(width), np.zeros(width)
    for step in steps:
        count = len(step.pairs[fields].old)
        if count:
            above += np.where(step.tells, step.equal(fields).sum(axis=0) - step.chance * count, 0.0)
            weight += np.where(step.tells, (1 - step.chance) * count, 0.0)
    return above, weight


def agree_in_order(steps: Sequence[Step], samples: Sequence[JobSample], fields: Fields, path: Path) -> list[float]:
    """How alike the order of a field's numbers is in the old and the new items of pairs, job by job."""
    found = []
    for step in steps:
        pairs = step.pairs[fields]
        if len(pairs.old) < _FEW_PAIRS:
            continue
        olds, news = samples[step.old].values, samples[step.new].values
        old = np.array([number_of(walk(olds[place], path)) for place in pairs.old.tolist()], np.float64)
        new = np.array([number_of(walk(news[place], path)) for place in pairs.new.tolist()], np.float64)
        both = ~(np.isnan(old) | np.isnan(new))
        old, new = old[both], new[both]
        if len(old) >= _FEW_PAIRS and len(np.unique(old)) > 2 and len(np.unique(new)) > 2:
            found.append(max(float(np.corrcoef(rank_numbers(old), rank_numbers(new))[0, 1]), 0.0))
    return found


def copies_agree(jobs: Sequence[CodedJob], columns: Sequence[Coded], others: Mask) -> bool:
    """Whether items of a job with the same value agree in other fields, too, above chance."""
    above = weight = 0.0
    for job, column in zip(jobs, columns, strict=True):
        last = column.places[column.codes]
        repeated = np.flatnonzero((column.codes > 0) & (last != np.arange(len(last))))
        if not len(repeated):
            continue
        chance = job.by_field(job.counts * (job.counts - 1.0)) / max(len(job) * (len(job) - 1), 1)
        equal = job.matrix[repeated] == job.matrix[last[repeated]]
        telling = others & (chance < INFORMATIVE)
        above += float((equal[:, telling] - chance[telling]).sum())
        weight += float((1 - chance[telling]).sum()) * len(repeated)
    return weight > 0 and above >= _ALIKE * weight
