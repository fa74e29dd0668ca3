"""Decides whether the names in an object are data, like store ids or dates, so that it is a map and not a record.

Names only ever come along, so the answer must not turn back when more of them do: it counts names and no shares. So it
depends on the set of names alone, in whatever order and pieces they came.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

#: Names of one pattern from which on they are data: a record seldom has this many numbered fields of one kind.
PATTERNED_NAMES = 16
#: Names of any kind from which on they are data.
MANY_NAMES = 400
_DIGITS = re.compile(r"\d+")
_HEX = re.compile(r"[0-9a-f]{8,}(?:-[0-9a-f]{4,})*")
_SHORT_CODE = re.compile(r"[A-Z]{2,5}")


def are_data(names: Collection[str]) -> bool:
    """Whether names are data; the same for more names, once it is true."""
    if len(names) < PATTERNED_NAMES:
        return False
    if len(names) >= MANY_NAMES:
        return True
    patterns = Counter(pattern for name in names if (pattern := find_pattern(name)) is not None)
    return max(patterns.values(), default=0) >= PATTERNED_NAMES


def find_pattern(name: str) -> str | None:
    """The form that a name shares with others of its kind: `s0` of `s17`; None for a word."""
    if _DIGITS.search(name):
        return "hex" if _HEX.fullmatch(name) else _DIGITS.sub("0", name)
    return "code" if _SHORT_CODE.fullmatch(name) else None
