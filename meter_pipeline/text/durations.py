"""Durations in words: the only place that spells them."""

from __future__ import annotations

from itertools import pairwise

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def spell(seconds: float) -> str:
    """A duration, not negative, in its two largest units: `2 days 3 hours`, `45 minutes`, `less than a second`."""
    for (unit, size), (smaller_unit, smaller) in pairwise(_UNITS):
        # Rounded before it is split: 59 minutes 59.6 seconds are an hour.
        count, rest = divmod(round(seconds / smaller) * smaller, size)
        if count:
            return f"{_count(count, unit)} {_count(rest // smaller, smaller_unit)}" if rest else _count(count, unit)
    return _count(round(seconds), "second") if round(seconds) else "less than a second"


def every(seconds: float) -> str:
    """How often something runs: `every hour`, `every 15 minutes`, `every 2 days`."""
    spelled = spell(seconds)
    return f"every {spelled.removeprefix('1 ') if spelled.count(' ') == 1 else spelled}"


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"
