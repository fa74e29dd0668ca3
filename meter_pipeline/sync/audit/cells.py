"""Items as rows of values, one column a field: nested objects by their paths, arrays by their length and first element.

Comes in: parsed items. Goes out: a matrix of numbers of values (`Cells.rows`), and the names of its columns. A row
follows from its item alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import compress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.value_table import MOST_VALUES, ValueTable

Codes = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]
# A column, some rows, and the numbers of their values in it.
_Part: TypeAlias = "tuple[int, Rows, list[int]]"

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
        self.learn(items, numbers)
        return self._codes[self._places[numbers], : len(self.paths)]

    def learn(self, items: Sequence[Any], numbers: npt.NDArray[np.int64]) -> None:
        """Takes those of some items apart that are new, all of them at once: that is cheaper."""
        if len(self.values) > MOST_VALUES or self._codes.size > _MOST_CELLS:
            self._forget()
        if len(self._places) < len(items):
            places = np.full(len(items) * 2, -1, np.int64)
            places[: len(self._places)] = self._places
            self._places = places
        places = self._places[numbers]
        if len(places) and places.min() < 0:
            self._learn(items, list(dict.fromkeys(numbers[places < 0].tolist())))

    def order(self) -> tuple[list[int], tuple[tuple[str, ...], ...]]:
        """The columns in the order of their names, and these names: the same objects until there are other columns."""
        if len(self._order[0]) != len(self.paths):
            order = sorted(range(len(self.paths)), key=self.paths.__getitem__)
            self._order = order, tuple(self.paths[column] for column in order)
        return self._order

    def _learn(self, items: Sequence[Any], fresh: list[int]) -> None:
        found = [number for number in fresh if items[number] is not None]
        parts: list[_Part] = []
        self._take_apart([as_object(items[number]) for number in found], np.arange(len(found)), self._root, parts)
        width, end = len(self.paths), self._used + len(fresh)
        if end > self._codes.shape[0] or width > self._codes.shape[1]:
            codes = np.zeros((max(end * 2, 64), max(width + 4, self._codes.shape[1])), np.int32)
            codes[: self._used, : self._codes.shape[1]] = self._codes[: self._used]
            self._codes = codes
        places = np.arange(self._used, end)
        self._places[fresh] = places
        own = self._places[found]
        for column, rows, numbers in parts:
            self._codes[own[rows], column] = numbers
        self._used = end

    def _take_apart(self, objects: Sequence[dict[str, Any]], rows: Rows, branch: _Branch, parts: list[_Part]) -> None:
        """Adds the columns of objects in some rows to a list."""
        names = set(map(tuple, objects))
        if len(names) == 1:
            for name, values in zip(*names, zip(*map(dict.values, objects), strict=True), strict=True):
                self._take_column(values, rows, branch.find(name), parts)
            return
        by_name: dict[str, tuple[list[Any], list[int]]] = defaultdict(lambda: ([], []))
        for place, item in enumerate(objects):
            for name, value in item.items():
                values, places = by_name[name]
                values.append(value)
                places.append(place)
        for name, (values, places) in by_name.items():
            self._take_column(values, rows[places], branch.find(name), parts)

    def _take_column(self, values: Sequence[Any], rows: Rows, branch: _Branch, parts: list[_Part]) -> None:
        """Adds the values of a field in some rows, or the columns within them, to a list."""
        kinds = dict.fromkeys(map(type, values))
        if len(kinds) == 1:
            self._take_kind(next(iter(kinds)), values, rows, branch, parts)
            return
        for kind in kinds:
            own = [place for place, value in enumerate(values) if type(value) is kind]
            self._take_kind(kind, [values[place] for place in own], rows[own], branch, parts)

    def _take_kind(self, kind: type, values: Sequence[Any], rows: Rows, branch: _Branch, parts: list[_Part]) -> None:
        """As `_take_column`, for values of one kind."""
        has_columns = len(branch.path) < _MAX_DEPTH
        if kind is dict and has_columns:
            is_map = np.array([not 0 < len(value) <= _MAP_KEYS for value in values])
            self._take_apart(list(compress(values, ~is_map)), rows[~is_map], branch, parts)
            values, rows = list(compress(values, is_map)), rows[is_map]
            if not values:
                return
        if branch.column is None:
            branch.column = len(self.paths)
            self.paths.append(branch.path)
        parts.append((branch.column, rows, self.values.take(values, kind)))
        if kind is list and has_columns and any(values):
            is_full = list(map(bool, values))
            self._take_column([value[0] for value in values if value], rows[is_full], branch.find("[]"), parts)


class _Branch:
    """A field of items, with its column and the fields below it."""

    __slots__ = ("below", "column", "path")

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.column: int | None = None
        self.below: dict[str, _Branch] = {}

    def find(self, name: str) -> _Branch:
        """The field of a name below this one."""
        inner = self.below.get(name)
        if inner is None:
            inner = self.below[name] = _Branch((*self.path, name))
        return inner
