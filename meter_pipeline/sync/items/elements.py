"""Matches the elements of two versions of an array, so that a change goes to an element's field and not to the array.

Objects in arrays have a key of their own, found like that of items but from little: a field, or two, in nearly every
element and different in nearly every one, whose values the other version has too. Without one, elements of arrays of
equal length are matched by position, where that leaves most of them alike; all others are compared as sets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from typing import Any, TypeAlias

from meter_pipeline.config.field_paths import Path, spell_path
from meter_pipeline.store.item_json import spell_json
from meter_pipeline.sync.items.identity import canonical
from meter_pipeline.sync.items.samples import Column, columns_of, join_columns
from meter_pipeline.sync.items.shapes import name_rank
from meter_pipeline.sync.items.steps import MEMBER, Element

FIELD, POSITION, SET = "field", "position", "set"
# Elements that are examined, from the first arrays on; more say no more.
_MOST_ELEMENTS = 2_000
_MOST_FIELDS = 12
_NEARLY_ALL = 0.95
_SOME = 0.3
_MOSTLY_ALIKE = 0.5

Arrays: TypeAlias = tuple[Sequence[Any], Sequence[Any]]
"""An array before and after."""


@dataclass(frozen=True)
class ElementKey:
    """What elements of an array are matched by: `field` with its `paths`, `position`, or the whole value in a `set`."""

    kind: str
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ElementPair:
    """Places of an element in the array before and in the array after; None where it is absent."""

    element: Element
    old: int | None
    new: int | None


def choose_element_key(arrays: Iterable[Arrays]) -> ElementKey:
    """What the elements of an array are matched by.

    Args:
        arrays: The array before and after, of one item or of several; their order does not matter.
    """
    some = _bounded(arrays)
    elements = [element for old, new in some for element in (*old, *new)]
    if not elements or any(type(element) is not dict for element in elements):
        return ElementKey(SET)
    columns = columns_of(elements)
    starts = _starts(some)
    singles = [(path,) for path, column in columns.items() if column.fit]
    found = [rating for paths in singles[:50] if (rating := _rate(paths, columns, starts))]
    if not found:
        pairs = combinations([paths[0] for paths in singles[:_MOST_FIELDS]], 2)
        found = [rating for paths in pairs if (rating := _rate(paths, columns, starts))]
    if found:
        order = {path: number for number, path in enumerate(columns)}
        best = min(found, key=lambda rating: (rating[0], sum(name_rank(path[-1]) for path in rating[1]),
                                              [order[path] for path in rating[1]]))  # fmt: skip
        return ElementKey(FIELD, best[1])
    alike = [sum(map(_is_alike, old, new)) / max(len(old), 1) for old, new in some if len(old) == len(new)]
    return ElementKey(POSITION if len(alike) == len(some) and min(alike, default=0) >= _MOSTLY_ALIKE else SET)


def _bounded(arrays: Iterable[Arrays]) -> list[Arrays]:
    """The arrays up to the bound, in an order that depends on their contents alone."""
    known = list(arrays)
    if len(known) > 1:
        known.sort(key=canonical)
    bounded, count = [], 0
    for old, new in known:
        bounded.append((old, new))
        count += len(old) + len(new)
        if count >= _MOST_ELEMENTS:
            break
    return bounded


def _starts(arrays: Sequence[Arrays]) -> list[tuple[int, int, int]]:
    """Where each pair of arrays begins, changes over and ends in the list of all elements."""
    starts, at = [], 0
    for old, new in arrays:
        starts.append((at, at + len(old), at + len(old) + len(new)))
        at += len(old) + len(new)
    return starts


def _rate(
    paths: tuple[Path, ...], columns: dict[Path, Column], starts: Sequence[tuple[int, int, int]]
) -> tuple[tuple[float, ...], tuple[Path, ...]] | None:
    """How good a key is, lower for better; None for what is no key."""
    column = join_columns([columns[path] for path in paths]) if len(paths) > 1 else columns[paths[0]]
    marks = [mark if present else None for mark, present in zip(column.marks.tolist(), column.present, strict=True)]
    others = [other.marks for path, other in columns.items() if path not in paths]
    present = repeated = matched = smaller = 0
    alike = compared = 0
    for start, middle, end in starts:
        sides = []
        for first, last in ((start, middle), (middle, end)):
            places: dict[int, int] = {}
            for place in range(first, last):
                mark = marks[place]
                if mark is not None:
                    present += 1
                    repeated += mark in places
                    places.setdefault(mark, place)
            sides.append(places)
        old, new = sides
        common = old.keys() & new.keys()
        matched += len(common)
        smaller += min(middle - start, end - middle)
        alike += sum(int(other[old[mark]] == other[new[mark]]) for mark in common for other in others)
        compared += len(common) * len(others)
    total = len(marks)
    if present < _NEARLY_ALL * total or repeated > (1 - _NEARLY_ALL) * total or matched < _SOME * smaller:
        return None
    agreement = alike / compared if compared else 1.0
    return (-round(matched / smaller if smaller else 1.0, 2), -round(agreement, 2)), paths


def _is_alike(old: Any, new: Any) -> bool:
    """Whether two elements share half of their fields."""
    if type(old) is not dict or type(new) is not dict:
        return bool(old == new)
    names = old.keys() | new.keys()
    return sum(old.get(name) == new.get(name) for name in names) * 2 >= len(names)


def pair_elements(old: Sequence[Any], new: Sequence[Any], key: ElementKey) -> list[ElementPair]:
    """The elements that differ between two versions of an array; those that only moved do not.

    Args:
        old: The array before, its elements normalized by the identity.
        new: The array after, likewise.
        key: What elements are matched by; arrays of different lengths are never matched by position.

    Returns:
        Pairs in the order of the new array, then the removed ones in the order of the old array.
    """
    forms = [list(map(canonical, elements)) for elements in (old, new)]
    if key.kind == POSITION and len(old) == len(new):
        places = (place for place, both in enumerate(zip(*forms, strict=True)) if both[0] != both[1])
        return [ElementPair(Element((), (str(place),)), place, place) for place in places]
    groups: dict[Any, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, elements in enumerate((old, new)):
        for place, element in enumerate(elements):
            values = _key_values(element, key)
            groups[forms[side][place] if values is None else values][side].append(place)
    found: list[ElementPair] = []
    for values, (before, after) in groups.items():
        is_keyed = isinstance(values, tuple)
        for occurrence, (was, now) in enumerate(_match(before, after, *forms), 1):
            if was is None or now is None or forms[0][was] != forms[1][now]:
                element = Element(tuple(map(spell_path, key.paths)), values, occurrence) if is_keyed else MEMBER
                found.append(ElementPair(element, was, now))
    # An added or changed element is where it is now, a removed one after all of these.
    return sorted(found, key=lambda pair: (pair.new is None, pair.old if pair.new is None else pair.new))


def _key_values(element: Any, key: ElementKey) -> tuple[str, ...] | None:
    """The values of the key as text, so that 2 and "2" are one key; None for an element that lacks it."""
    if key.kind != FIELD:
        return None
    values = [_value(element, path) for path in key.paths]
    if any(value is None or value == "" for value in values):
        return None
    return tuple(value if isinstance(value, str) else spell_json(value) for value in values)


def _value(element: Any, path: Path) -> Any:
    for name in path:
        element = element.get(name) if type(element) is dict else None
    return element


def _match(
    before: Sequence[int], after: Sequence[int], old: Sequence[bytes], new: Sequence[bytes]
) -> list[tuple[int | None, int | None]]:
    """Places of elements with one key: the same ones together, the rest in order."""
    if len(before) <= 1 and len(after) <= 1:
        return [(before[0] if before else None, after[0] if after else None)]
    by_form: dict[bytes, list[int]] = defaultdict(list)
    for place in reversed(before):
        by_form[old[place]].append(place)
    pairs: list[tuple[int | None, int | None]] = []
    rest = []
    for now in after:
        same = by_form.get(new[now])
        if same:
            pairs.append((same.pop(), now))
        else:
            rest.append(now)
    left = sorted(place for places in by_form.values() for place in places)
    return [*pairs, *zip_longest(left, rest)]
