"""Paths into items that also go through arrays: `variants[id=42].price`, as the change feed spells them.

A step is the name of a field, or an element of an array. Names and values in it are of scraped data: whatever could be
mistaken for a mark of the path is quoted as in JSON, so that a path can be parsed again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from meter_pipeline.config.field_paths import spell_path

_MARKS = frozenset('[],="#')
_NAME = re.compile(r'"(?:[^"\\]|\\.)*"|[^."\[\]]+')
_VALUE = r'"(?:[^"\\]|\\.)*"|[^\[\],="#]+'
_KEY_PART = re.compile(rf'((?:"(?:[^"\\]|\\.)*"|[^\[\],="#])+)=({_VALUE})')
_PLACE = re.compile(r"\d+")
_OCCURRENCE = re.compile(r"#(\d+)")


@dataclass(frozen=True)
class Element:
    """A step into an array: the key's fields and values, or the position in the new array.

    Attributes:
        names: Paths of the key's fields; empty for a position or the members of a set.
        values: Their values as text, or the position, from 0; empty for the members of a set.
        occurrence: Which of several elements with these values, from 1.
    """

    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    occurrence: int = 1

    def spell(self) -> str:
        """The step as text: `[id=42]`, `[size=L,colour=red]`, `[3]`, `[id=42#2]`, or `[]` for the members of a set."""
        values = [_spell(value) for value in self.values]
        names = [_spell_name(name) for name in self.names]
        named = [f"{name}={value}" for name, value in zip(names, values, strict=True)] if names else values
        return f"[{','.join(named)}{f'#{self.occurrence}' if self.occurrence > 1 else ''}]"


#: The members that a set gained and lost.
MEMBER = Element()
Step: TypeAlias = "str | Element"


def _spell(value: str) -> str:
    is_plain = value and not set(value) & _MARKS and value == value.strip() and value.isprintable()
    return value if is_plain else json.dumps(value, ensure_ascii=not value.isprintable())


def _spell_name(path: str) -> str:
    """A path of fields within an element; its own quotes stay as they are."""
    return path if not set(path) & set(",=#[]") else json.dumps(path, ensure_ascii=False)


def spell_steps(steps: Iterable[Step]) -> str:
    """A path as text: `variants[id=42].price`."""
    text = ""
    for step in steps:
        if isinstance(step, Element):
            text += step.spell()
        else:
            text += ("." if text else "") + spell_path([step])
    return text


def parse_steps(text: str) -> tuple[Step, ...]:
    """The inverse of `spell_steps`.

    Raises:
        ValueError: The text is not a path.
    """
    steps: list[Step] = []
    position = 0
    while position < len(text):
        if text[position] == "[":
            element, position = _parse_element(text, position + 1)
            steps.append(element)
            continue
        if steps:
            if text[position] != ".":
                raise ValueError(f"{text!r} is not a path: a dot is missing at {position}")
            position += 1
        name = _NAME.match(text, position)
        if name is None:
            raise ValueError(f"{text!r} is not a path: a name is missing at {position}")
        steps.append(_unquote(name[0]))
        position = name.end()
    return tuple(steps)


def _parse_element(text: str, position: int) -> tuple[Element, int]:
    """The element that begins after a bracket, and where the path goes on."""
    names, values, occurrence = [], [], 1
    while part := _KEY_PART.match(text, position):
        names.append(json.loads(part[1]) if _is_quoted_whole(part[1]) else part[1])
        values.append(_unquote(part[2]))
        position = part.end()
        if text[position : position + 1] != ",":
            break
        position += 1
    if not names and (place := _PLACE.match(text, position)):
        values.append(place[0])
        position = place.end()
    if repeat := _OCCURRENCE.match(text, position):
        occurrence, position = int(repeat[1]), repeat.end()
    if text[position : position + 1] != "]":
        raise ValueError(f"{text!r} is not a path: an element does not end at {position}")
    return Element(tuple(names), tuple(values), occurrence), position + 1


def _is_quoted_whole(name: str) -> bool:
    """Whether the quotes are around a path that has marks in it, rather than around a name in a path."""
    match = re.fullmatch(r'"(?:[^"\\]|\\.)*"', name)
    return match is not None and bool(set(name) & set(",=#[]"))


def _unquote(text: str) -> str:
    return json.loads(text) if text.startswith('"') else text  # type: ignore[no-any-return]
