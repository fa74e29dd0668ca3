"""Numbers of things in words."""

from __future__ import annotations


def count_of(number: int, noun: str) -> str:
    """A number with its noun, as in `1 job` or `2,000 jobs`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
