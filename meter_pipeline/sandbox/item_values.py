"""Values inside items: found by a dotted path through objects and lists, and numbers inside texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")


def find_places(value: Any, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects and keys that a dotted path leads to; lists on the way are entered, element by element."""
    if isinstance(value, list):
        for element in value:
            yield from find_places(element, path)
    elif isinstance(value, dict):
        name, _, rest = path.partition(".")
        if name in value and rest:
            yield from find_places(value[name], rest)
        elif name in value:
            yield value, name


def change_values(items: list[Any], path: str, change: Callable[[Any], Any]) -> list[Any]:
    """The items, with every value at the path replaced by what `change` returns; nulls stay."""
    for place, name in find_places(items, path):
        if place[name] is not None:
            place[name] = change(place[name])
    return items


def read_values(items: list[Any], path: str) -> list[Any]:
    """Every value at the path, nulls included."""
    return [place[name] for place, name in find_places(items, path)]


def scale(value: Any, factor: float) -> Any:
    """A number, or the first number of a text, times `factor`; marks, decimals and all else stay as they are."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return value
    if isinstance(value, int):
        return round(value * factor)
    if isinstance(value, float):
        return round(value * factor, 2)
    return _NUMBER.sub(lambda found: _scale_text(found[0], factor), value, count=1)


def _scale_text(text: str, factor: float) -> str:
    """`1.234,56` times two is `2.469,12`: a mark followed by one or two last digits is the decimal mark."""
    decimals = re.search(r"[.,](\d{1,2})$", text)
    digits = len(decimals[1]) if decimals else 0
    whole = text[: decimals.start()] if decimals else text
    amount = int(re.sub(r"\D", "", text)) / 10**digits * factor
    scaled = f"{amount:,.{digits}f}"
    decimal_mark = decimals[0][0] if decimals else "."
    group_mark = next((mark for mark in ",." if mark in whole), "," if decimal_mark == "." else ".")
    if "," not in whole and "." not in whole and len(whole) > 3:
        group_mark = ""
    return scaled.translate({ord(","): group_mark, ord("."): decimal_mark})


def swap_marks(value: Any) -> Any:
    """A text with its decimal and thousands marks exchanged: `1,234.56` becomes `1.234,56`."""
    return value.translate(str.maketrans(",.", ".,")) if isinstance(value, str) else value
