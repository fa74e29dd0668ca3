"""Decides whether the names in an object are data, like store ids or dates, so that it is a map and not a record.

A record has the same few names in every object. The names of a map go on growing with the objects, or follow one
pattern, and its values are of one kind. What is counted adds up in any order: the answer depends on the set of objects.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# Number of names from which on they may be data: of any names, and of names that follow one pattern.
_MANY_NAMES, _PATTERNED_NAMES = 24, 16
# Different names per name of a usual object from which on they count as growing.
_GROWING = 2.5
_NEARLY_ALL = 0.95
# Beyond this many different names, an object is a map whatever its values are.
_TOO_MANY = 400
_KINDS = {int: "number", float: "number", bool: "boolean", str: "text", list: "array", dict: "object"}
_DIGITS = re.compile(r"\d+")
_HEX = re.compile(r"[0-9a-f]{8,}(?:-[0-9a-f]{4,})*")
_SHORT_CODE = re.compile(r"[A-Z]{2,5}")


@dataclass
class NameCounts:
    """What is known about the objects at one path.

    Attributes:
        objects: Number of objects with at least one name.
        filled: Number of names in all of them.
        names: In how many objects each name is.
        kinds: Number of values of each kind.
    """

    objects: int = 0
    filled: int = 0
    names: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, values: Iterable[Any]) -> NameCounts:
        """Counts objects; other values are passed over."""
        for value in values:
            if type(value) is dict and value:
                self.objects += 1
                self.filled += len(value)
                self.names.update(value.keys())
                self.kinds.update(_KINDS[type(inner)] for inner in value.values() if inner is not None)
        return self

    def merge(self, other: NameCounts) -> NameCounts:
        """The counts of both."""
        return NameCounts(
            self.objects + other.objects,
            self.filled + other.filled,
            self.names + other.names,
            self.kinds + other.kinds,
        )

    @property
    def is_map(self) -> bool:
        """Whether the names are data."""
        distinct = len(self.names)
        if distinct > _TOO_MANY:
            return True
        total = sum(self.kinds.values())
        if distinct < _PATTERNED_NAMES or max(self.kinds.values(), default=0) < _NEARLY_ALL * total:
            return False
        if distinct >= _MANY_NAMES and distinct >= _GROWING * self.filled / self.objects:
            return True
        patterns = Counter(map(_pattern, self.names))
        pattern, count = patterns.most_common(1)[0]
        return pattern is not None and count >= _NEARLY_ALL * distinct


def _pattern(name: str) -> str | None:
    """The form that a name shares with others of its kind; None for a word."""
    if _HEX.fullmatch(name):
        return "hex"
    if _SHORT_CODE.fullmatch(name):
        return "code"
    return _DIGITS.sub("0", name) if _DIGITS.search(name) else None
