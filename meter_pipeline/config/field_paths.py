"""Paths of nested fields as people write them: `specs.weight`, or `"odd.name"` for a name that contains a dot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

Path = tuple[str, ...]

# A bracket begins an element of an array in the paths of the change feed.
_MARKS = frozenset('."[]')
_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[^."]+')


def spell_path(path: Iterable[str]) -> str:
    """A path as text; a name that is empty or contains a dot, a quote or a bracket is quoted as in JSON."""
    return ".".join(_spell(name) for name in path)


def _spell(name: str) -> str:
    return json.dumps(name, ensure_ascii=False) if not name or _MARKS & set(name) else name


def parse_path(text: str) -> Path:
    """The inverse of `spell_path`.

    Raises:
        ValueError: The text is not a valid path.
    """
    names, position = [], 0
    while True:
        part = _PART.match(text, position)
        if part is None:
            raise ValueError(
                f"{text!r} is not a valid field path: write a name, a.b for a nested one, or a name with dots in quotes"
            )
        names.append(json.loads(part[0]) if part[0].startswith('"') else part[0])
        position = part.end()
        if position == len(text):
            return tuple(names)
        if text[position] != ".":
            raise ValueError(f"{text!r} is not a valid field path: a dot is missing after {part[0]}")
        position += 1
