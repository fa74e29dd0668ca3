"""Items as rows of values, one column a field: nested objects by their paths, arrays by their length and first element.

Comes in: parsed items. Goes out: a matrix of numbers of values (`Cells.rows`), and the names of its columns. A row
follows from its item alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.values import MOST_VALUES, ValueTable

Codes = npt.NDArray[np.int32]

# An object with more keys is a map with data for keys, and one value.
_MAP_KEYS = 48
_MAX_DEPTH = 6
_MOST_CELLS = 6_000_000


def as_object(item: Any) -> dict[str, Any]:
    """An item as an object: a row of a table, which is an array, by its columns, and anything else as a value."""
    if type(item) is dict:
        return item
    is_row = type(item) is list and 0 < len(item) <= _MAP_KEYS and not any(type(cell) in (dict, list) for cell in item)
    return {"value": {str(place): cell for place, cell in enumerate(item)} if is_row else item}


def find_value(item: Any, path: tuple[str, ...]) -> Any:
    """The value of an item in a column; None where it has none."""
    value: Any = as_object(item)
    for name in path:
        if type(value) is dict:
            value = value.get(name)
        elif name == "[]" and type(value) is list:
            value = value[0] if value else None
        else:
            return None
    return value


def find_values(items: Sequence[Any], path: tuple[str, ...]) -> list[Any]:
    """`find_value` of many items."""
    if len(path) == 1 and set(map(type, items)) == {dict}:
        return [item.get(path[0]) for item in items]
    return [find_value(item, path) for item in items]


class Cells:
    """Rows of items, each kept by the number of its item's text, so that repeated items are taken apart once.

    Attributes:
        values: The distinct values of all rows.
    """

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.values = ValueTable()
        self._root = _Branch(())
        self.paths: list[tuple[str, ...]] = []
        self._order: tuple[list[int], tuple[tuple[str, ...], ...]] = [], ()
        self._places = np.empty(0, np.int64)
        self._codes: Codes = np.empty((0, 0), np.int32)
        self._used = 0

    def rows(self, items: Sequence[Any], numbers: npt.NDArray[np.int64]) -> Codes:
        """The rows of some items.

        Args:
            items: All items by number.
            numbers: The numbers of the items whose rows are wanted.
        """
        if len(self.values) > MOST_VALUES or self._codes.size > _MOST_CELLS:
            self._forget()
        if len(self._places) < len(items):
            places = np.full(len(items) * 2, -1, np.int64)
            places[: len(self._places)] = self._places
            self._places = places
        places = self._places[numbers]
        if len(places) and places.min() < 0:
            self._learn(items, dict.fromkeys(numbers[places < 0].tolist()))
            places = self._places[numbers]
        return self._codes[places, : len(self.paths)]

    def order(self) -> tuple[list[int], tuple[tuple[str, ...], ...]]:
        """The columns in the order of their names, and these names: the same objects until there are other columns."""
        if len(self._order[0]) != len(self.paths):
            order = sorted(range(len(self.paths)), key=self.paths.__getitem__)
            self._order = order, tuple(self.paths[column] for column in order)
        return self._order

    def _learn(self, items: Sequence[Any], fresh: dict[int, None]) -> None:
        columns: list[int] = []
        numbers: list[int] = []
        ends: list[int] = []
        for number in fresh:
            item = items[number]
            if item is not None:
                self._add(as_object(item), self._root, columns, numbers)
            ends.append(len(columns))
        width, end = len(self.paths), self._used + len(ends)
        if end > self._codes.shape[0] or width > self._codes.shape[1]:
            codes = np.zeros((max(end * 2, 64), max(width + 4, self._codes.shape[1])), np.int32)
            codes[: self._used, : self._codes.shape[1]] = self._codes[: self._used]
            self._codes = codes
        places = np.arange(self._used, end)
        self._codes[np.repeat(places, np.diff(ends, prepend=0)), columns] = numbers
        self._places[list(fresh)] = places
        self._used = end

    def _add(self, item: dict[str, Any], branch: _Branch, columns: list[int], numbers: list[int]) -> None:
        """Adds the columns of an object and the numbers of its values to two lists."""
        known, take, below = self.values.known, self.values.take, branch.below
        for name, value in item.items():
            inner = below.get(name)
            if inner is None:
                inner = below[name] = _Branch((*branch.path, name))
            kind = type(value)
            if kind is dict and value and len(value) <= _MAP_KEYS and len(inner.path) < _MAX_DEPTH:
                self._add(value, inner, columns, numbers)
                continue
            if inner.column is None:
                inner.column = len(self.paths)
                self.paths.append(inner.path)
            number = known[kind].get(value) if kind in known else None
            columns.append(inner.column)
            numbers.append(take(value) if number is None else number)
            if kind is list and value and len(inner.path) < _MAX_DEPTH:
                self._add({"[]": value[0]}, inner, columns, numbers)


class _Branch:
    """A field of items, with its column and the fields below it."""

    __slots__ = ("below", "column", "path")

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.column: int | None = None
        self.below: dict[str, _Branch] = {}
