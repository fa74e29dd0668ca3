"""Durations in words: the only place that spells and parses them."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_LETTERS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(rf"\s*([0-9]{{1,9}})\s*([{''.join(_LETTERS)}]?)\s*")


def parse_duration(text: str, *, unit: str | None = None) -> timedelta:
    """A duration as people write it: a number and one of s, m, h, d and w, such as `90s`, `15m`, `24h` or `7d`.

    Args:
        text: The duration.
        unit: The letter that a number without one stands for; None: such a number is refused.

    Raises:
        ValueError: The text is not a duration.
    """
    found = _DURATION.fullmatch(text)
    letter = (found[2] or unit) if found else None
    if found is None or letter is None:
        raise ValueError(f"{text!r} is not a duration: write a number with s, m, h, d or w, such as 15m or 7d")
    try:
        return timedelta(**{_LETTERS[letter]: int(found[1])})
    except OverflowError:
        raise ValueError(f"{text!r} is too long a duration") from None


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
