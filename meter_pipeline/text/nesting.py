"""How deep JSON may be nested: beyond that no value is parsed, whatever Python's recursion limit leaves at that moment.

Parsers and everything that walks a value recursively give up at some depth that depends on who called them. One bound
for all of them, well below, makes the same record fare the same way everywhere.
"""

from __future__ import annotations

from typing import Any

#: Levels of objects and arrays within each other. Real pages stay below some dozens.
MAX_LEVELS = 256
TOO_DEEP = f"nested deeper than {MAX_LEVELS} levels"


def is_too_deep(value: Any, text: bytes) -> bool:
    """Whether a parsed value is nested deeper than `MAX_LEVELS`; `text` is its JSON, which nearly always says no."""
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
