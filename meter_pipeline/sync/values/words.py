"""Tables of words as text."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a table; an underscore in one is a space."""
    return frozenset(word.replace("_", " ") for word in text.split())
