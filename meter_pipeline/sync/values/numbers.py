"""Reads the digits of a number, and says what its marks are evidence of.

`1.234,56` can be read in one way, `1.234` in two. The second kind is read by what other values of the source show.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from meter_pipeline.sync.values.spelling import DECIMAL_ARABIC

NUMBER = rf"\d+(?:[.,'{DECIMAL_ARABIC}]\d+| \d{{3}}(?!\d))*"
"""Pattern of a number in a cleaned text."""
POINT, COMMA = "point", "comma"
"""Conventions: which of the two marks is the decimal one."""
LONG = "long"
"""Evidence of numbers with three decimals and more."""
DECIMAL_OF = {".": POINT, ",": COMMA}
# More digits than any price or count has; longer ones are ids.
_DIGITS = 24
_INDIAN = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}")


class Spelled(NamedTuple):
    """A number as it is spelled.

    Attributes:
        whole: Digits before the decimal mark.
        fraction: Digits after it.
        lone: The only mark, where three digits follow it, so that it may group thousands or begin decimals: then
            `whole` and `fraction` are the digits on both sides of it. Otherwise empty.
        shows: What the spelling proves: `point` or `comma` is the decimal mark.
        grouped: Whether thousands are grouped.
        spaced: Whether spaces group them.
    """

    whole: str
    fraction: str = ""
    lone: str = ""
    shows: str = ""
    grouped: bool = False
    spaced: bool = False

    def value(self, lone_groups: bool = True) -> Decimal:
        """The number; `lone_groups` says how a lone mark is read."""
        if self.lone and lone_groups:
            return Decimal(self.whole + self.fraction)
        return Decimal(f"{self.whole}.{self.fraction}" if self.fraction else self.whole)

    @property
    def long(self) -> bool:
        """Whether it surely has three decimals or more."""
        return len(self.fraction) >= 3 and not self.lone


def _in_threes(groups: list[str]) -> bool:
    return 1 <= len(groups[0]) <= 3 and groups[0][0] != "0" and all(len(group) == 3 for group in groups[1:])


@lru_cache(maxsize=8192)
def spell(text: str, whole_only: bool = False, three_decimals: bool = False) -> Spelled | None:
    """The number in a text that matches `NUMBER`; None where it is none, as `12.5.2024` or `007`.

    Args:
        text: The digits and marks.
        whole_only: Whether it is known that no decimals follow, as in `3.799,-`: then a lone mark groups.
        three_decimals: Whether it is of a currency with three decimals.
    """
    if len(text) > _DIGITS:
        return None
    if text.isdigit():
        return None if text[0] == "0" and len(text) > 1 else Spelled(text)
    if DECIMAL_ARABIC in text:
        return _after_groups(text, DECIMAL_ARABIC, "'")
    for mark in "' ":
        if mark in text:
            decimal = "." if "." in text else ","
            result = _after_groups(text, decimal, mark)
            # `1 234.567`: three decimals, or a second kind of grouping.
            if result is None or (len(result.fraction) == 3 and not three_decimals):
                return None
            shows = DECIMAL_OF[decimal] if result.fraction else ""
            return result._replace(shows=shows, spaced=mark == " ")
    points, commas = text.count("."), text.count(",")
    if points and commas:
        decimal, group = (".", ",") if text.rindex(".") > text.rindex(",") else (",", ".")
        result = _after_groups(text, decimal, group)
        return result._replace(shows=DECIMAL_OF[decimal]) if result is not None else None
    mark = "." if points else ","
    if points + commas > 1:
        return _grouped(text, mark)
    whole, fraction = text.split(mark)
    if whole[0] == "0" and len(whole) > 1:
        return None
    if len(fraction) == 3 and whole != "0" and len(whole) <= 3:
        if whole_only:
            return Spelled(whole + fraction, shows=_other(mark), grouped=True)
        return Spelled(whole, fraction, lone=mark)
    return None if whole_only else Spelled(whole, fraction, shows=DECIMAL_OF[mark])


def _other(mark: str) -> str:
    return COMMA if mark == "." else POINT


def _after_groups(text: str, decimal: str, group: str) -> Spelled | None:
    """A number with at most one `decimal`, before which `group` groups."""
    whole, mark, fraction = text.partition(decimal)
    if mark and not fraction.isdigit():
        return None
    if group not in whole:
        # `0٫5`; two kinds of marks always group before the decimal one.
        return Spelled(whole, fraction) if whole.isdigit() and (whole == "0" or whole[0] != "0") else None
    if not _in_threes(whole.split(group)) and not (group == "," and _INDIAN.fullmatch(whole)):
        return None
    return Spelled(whole.replace(group, ""), fraction, grouped=True) if whole.replace(group, "").isdigit() else None


def _grouped(text: str, mark: str) -> Spelled | None:
    if _in_threes(text.split(mark)) or (mark == "," and _INDIAN.fullmatch(text) and text[0] != "0"):
        return Spelled(text.replace(mark, ""), shows=_other(mark), grouped=True)
    return None
