"""Values of objects by field: each object is taken apart once, instead of once for each of its fields."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Any

# Objects with more values than this together, absent ones included, are not held by field: objects keyed by data would
# take memory for each name in each of them.
_MOST_CELLS = 2_000_000


class FieldValues:
    """The values of objects by field.

    Args:
        objects: The objects; they must not change meanwhile.
    """

    def __init__(self, objects: Sequence[dict[str, Any]]) -> None:
        self._objects = objects

    def __getitem__(self, name: str) -> Sequence[Any]:
        """The value of each object; None where it does not have the field."""
        held = self._held
        if held is not None:
            return held.get(name) or [None] * len(self._objects)
        return [values.get(name) for values in self._objects]

    def present(self, name: str) -> tuple[Sequence[int], Sequence[Any]]:
        """Places and values of the objects that have a field; there may be others with None among them.

        To ask this for every name takes as long as there are values, and not for each name as there are objects.
        """
        held = self._held
        if held is not None:
            column = held.get(name, ())
            return range(len(column)), column
        return self._entries.get(name, ((), ()))

    @cached_property
    def _entries(self) -> dict[str, tuple[list[int], list[Any]]]:
        found: dict[str, tuple[list[int], list[Any]]] = {name: ([], []) for name in self.names}
        for place, values in enumerate(self._objects):
            for name, value in values.items():
                places, column = found[name]
                places.append(place)
                column.append(value)
        return found

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The fields, in the order in which they first appear."""
        return next(iter(self._layouts)) if len(self._layouts) == 1 else tuple(self._absent)

    @cached_property
    def _layouts(self) -> set[tuple[str, ...]]:
        return set(map(tuple, self._objects))

    @cached_property
    def _absent(self) -> dict[str, None]:
        return dict.fromkeys(chain.from_iterable(self._objects))

    @cached_property
    def _held(self) -> dict[str, Sequence[Any]] | None:
        names, objects = self.names, self._objects
        if len(names) * len(objects) > _MOST_CELLS:
            return None
        if len(self._layouts) != 1:
            # All have the same fields in the same order then.
            objects = [self._absent | values for values in objects]
        return dict(zip(names, zip(*map(dict.values, objects), strict=True), strict=True))
