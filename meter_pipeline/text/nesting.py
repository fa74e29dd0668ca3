"""Bounds how deep JSON may be nested, whatever Python's recursion limit is at that moment.

Parsers and recursive functions fail at a depth that depends on their callers. One bound for all of them, well below,
gives the same record the same outcome everywhere.
"""

from __future__ import annotations

from typing import Any

#: Most levels of objects and arrays within each other. Real pages have at most a few dozen.
MAX_LEVELS = 256
TOO_DEEP = f"nested deeper than {MAX_LEVELS} levels"


def is_too_deep(value: Any, text: bytes) -> bool:
    """Whether a parsed value is nested deeper than `MAX_LEVELS`; `text` is its JSON, counted for brackets first."""
    if len(text) <= 2 * MAX_LEVELS or text.count(b"{") + text.count(b"[") <= MAX_LEVELS:
        return False
    level = [value]
    for _ in range(MAX_LEVELS):
        level = [
            inner
            for outer in level
            if type(outer) is dict or type(outer) is list
            for inner in (outer.values() if type(outer) is dict else outer)
        ]
        if not level:
            return False
    return any(type(inner) is dict or type(inner) is list for inner in level)
