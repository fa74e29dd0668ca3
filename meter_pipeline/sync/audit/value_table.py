"""Numbers for the distinct values of a strategy's items, and what is known of these as columns.

Comes in: parsed JSON values. Goes out: numbers of distinct values (`ValueTable.take`) and columns about these. Every
fact follows from the value alone, so it does not matter which jobs a table has seen before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from meter_pipeline.store.item_json import spell_json
from meter_pipeline.sync.audit.values import ABSENT, Facts, describe_all

#: Distinct values that are remembered; then the table starts again.
MOST_VALUES = 300_000
_SPELLED = (list, dict)
_KINDS = (str, int, float, bool, type(None), *_SPELLED)
_DTYPES = (np.uint8, np.uint32, np.float64, np.int64, np.uint32, np.uint32, np.uint32)


class ValueTable:
    """Distinct values and facts about each; a value's number is its place. Number 0 stands for an absent value.

    Attributes:
        units: Names of units, by mark.
    """

    def __init__(self) -> None:
        # Looking up a new value gives it the next number. By kind, since 1, 1.0 and true are equal.
        following = count(1).__next__
        self._known: dict[type, defaultdict[Any, int]] = {kind: defaultdict(following) for kind in _KINDS}
        self._facts: list[Facts] = [(ABSENT, 0, float("nan"), 0, 0, 0, 0, None)]
        self._buffers = [np.empty(256, dtype) for dtype in _DTYPES]
        self._columns: tuple[npt.NDArray[Any], ...] = ()
        self.units: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._facts)

    def take(self, values: Sequence[Any], kind: type) -> list[int]:
        """The numbers of values of one kind; arrays and objects are known as spelled."""
        known = self._known[kind]
        keys = list(map(spell_json, values)) if kind in _SPELLED else values
        before = len(known)
        numbers = list(map(known.__getitem__, keys))
        added = len(known) - before
        if added:
            fresh = list(islice(reversed(known), added))[::-1]
            if kind in _SPELLED:
                spelled = dict(zip(keys, values, strict=True))
                fresh = [spelled[key] for key in fresh]
            self._facts += describe_all(fresh, kind)
        return numbers

    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """Form, mark, number, length, flags, pattern and unit of every value."""
        known, count = len(self._columns[0]) if self._columns else 0, len(self._facts)
        if known < count:
            if count > len(self._buffers[0]):
                self._buffers = [np.resize(buffer, 2 * count) for buffer in self._buffers]
            *columns, names = zip(*self._facts[known:], strict=True)
            for buffer, column in zip(self._buffers, columns, strict=True):
                buffer[known:count] = column
            for unit, name in zip(columns[-1], names, strict=True):
                if name is not None:
                    self.units.setdefault(unit, name)
            self._columns = tuple(buffer[:count] for buffer in self._buffers)
        return self._columns
