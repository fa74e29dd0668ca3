"""How far the other fields of items agree that have the same value, in consecutive jobs or in one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.coding import Coded, CodedItems, Mask, Numbers, walk
from meter_pipeline.sync.items.comparisons import INFORMATIVE, Pairs
from meter_pipeline.sync.items.samples import number_of
from meter_pipeline.sync.values.relative import find_age

_FEW_PAIRS = 4
# Copies of an item agree above chance in this share of its other fields.
_ALIKE = 0.5
# Ages are compared as if all of them counted from this day.
_SOME_DAY = datetime(2000, 1, 1)


def agree_in_order(pairs: Pairs, values: Sequence[object], path: Path) -> list[float]:
    """How alike the order of a field's numbers is in the old and the new items of pairs, step by step.

    `values` are all items, parsed.
    """
    found = []
    for step in np.flatnonzero(pairs.matched >= _FEW_PAIRS).tolist():
        old, new = (
            np.array([_number_of(walk(values[place], path)) for place in side.at(step).tolist()], np.float64)
            for side in (pairs.old, pairs.new)
        )
        both = ~(np.isnan(old) | np.isnan(new))
        old, new = old[both], new[both]
        if len(old) >= _FEW_PAIRS and len(np.unique(old)) > 2 and len(np.unique(new)) > 2:
            found.append(max(float(np.corrcoef(_rank(old), _rank(new))[0, 1]), 0.0))
    return found


def _number_of(value: object) -> float:
    """The number in a value; of an age how long ago that was, whatever its unit."""
    age = find_age(value.strip()) if type(value) is str else None
    return number_of(value) if age is None else (_SOME_DAY - age.before(_SOME_DAY)).total_seconds()


def _rank(numbers: Numbers) -> Numbers:
    """The rank of each number, equal numbers sharing the mean of theirs."""
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle = ends - (counts + 1) / 2
    return np.asarray(middle[inverse.reshape(-1)], np.float64)


def copies_agree(items: CodedItems, coded: Coded, others: Mask) -> bool:
    """Whether items of a job with the same value agree in other fields, too, above chance."""
    repeated = np.flatnonzero((coded.codes > 0) & (coded.last != np.arange(len(coded.last))))
    jobs, sizes = coded.jobs[repeated], items.sizes[:, None]
    chance = (items.alike / np.maximum(sizes * (sizes - 1), 1))[jobs]
    telling = others & (chance < INFORMATIVE)
    equal = items.matrix[repeated] == items.matrix[coded.last[repeated]]
    above = np.where(telling, equal - chance, 0.0).sum()
    weight = np.where(telling, 1 - chance, 0.0).sum()
    return bool(weight > 0 and above >= _ALIKE * weight)
