"""Says which name was probably meant by one that nothing has: the way out of a message about a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_CLOSE = 0.6
_MOST = 8


def find_close(name: str, names: Iterable[str]) -> str | None:
    """The name that `name` resembles most, whatever its capitals (the first of equals); None if it resembles none."""
    by_folded: dict[str, str] = {}
    for known in names:
        by_folded.setdefault(known.casefold(), known)
    close = difflib.get_close_matches(name.casefold(), by_folded, 1, _CLOSE)
    return by_folded[close[0]] if close else None


def suggest(name: str, names: Iterable[str], *, most: int | None = None) -> str:
    """The way out for a name that is none of `names`: the one that was meant, else which there are.

    Args:
        name: What was given.
        names: What could be given.
        most: Names that are listed at most; by default all.
    """
    known = list(names)
    close = find_close(name, known)
    return f"did you mean {close}?" if close is not None else f"give one of {list_names(known, most)}"


def list_names(names: Iterable[str], most: int | None = _MOST) -> str:
    """Names in one line, the first `most` of them (all if None)."""
    known = list(names)
    return ", ".join(known[:most]) + (", ..." if most is not None and len(known) > most else "")
