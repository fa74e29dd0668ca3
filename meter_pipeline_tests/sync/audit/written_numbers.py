"""Numbers as pages write them: finds the one of a value, and writes another one in the same way."""

from __future__ import annotations

import re
from typing import Any

_NUMBER = re.compile(r"\d[\d.,'\u202f ]*\d|\d")


def read(value: Any) -> float | None:
    """The number of a value; None where there is none, or more than one."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    found = _NUMBER.findall(value) if isinstance(value, str) else []
    if len(found) != 1:
        return None
    return float(_plain(found[0])[0])


def write(value: Any, number: float) -> Any:
    """The value with another number, in the same way."""
    if isinstance(value, int):
        return round(number)
    if isinstance(value, float):
        return round(number, max(2, len(repr(value).partition(".")[2])))
    written = _NUMBER.findall(value)[0]
    _, group, decimal, decimals = _plain(written)
    text = f"{number:,.{decimals}f}".replace(",", "\0").replace(".", decimal).replace("\0", group)
    return value.replace(written, text)


def scale(value: Any, factor: float) -> Any:
    """The value with its number multiplied; as it is where it has none."""
    number = read(value)
    return value if number is None else write(value, number * factor)


def _plain(written: str) -> tuple[str, str, str, int]:
    """The digits with a dot, the mark of groups, the decimal mark, and the number of decimals."""
    tail = re.search(r"[.,](\d{1,2})$", written)
    decimal = tail[0][0] if tail else "."
    whole = written[: tail.start()] if tail else written
    marks = re.sub(r"\d", "", whole)
    group = marks[0] if marks else ("," if decimal == "." and tail else "." if decimal == "," else "")
    digits = re.sub(r"\D", "", whole)
    return f"{digits}.{tail[1]}" if tail else digits, group, decimal, len(tail[1]) if tail else 0
