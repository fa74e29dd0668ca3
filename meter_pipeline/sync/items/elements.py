"""Matches the elements of two versions of an array, so that a change goes to an element's field and not to the array.

Objects in arrays have a key of their own, found like that of items but from little: a field, or two, in nearly every
element and different in nearly every one, whose values the other version has too. Without one, elements of arrays of
equal length are matched by position, where that leaves most of them alike; all others are compared as sets.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from typing import Any, TypeAlias

from meter_pipeline.config.field_paths import Path, spell_path
from meter_pipeline.store.columns import spell_json
from meter_pipeline.sync.items.candidates import name_rank
from meter_pipeline.sync.items.identity import canonical
from meter_pipeline.sync.items.samples import Column, columns_of, join_columns

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
class Element:
    """A step of a path into an array: the key's fields and values, or the position in the new array.

    Attributes:
        names: The key's fields; empty for a position or a member of a set.
        values: Their values, or the position; empty for a member of a set.
        occurrence: Which of several elements with these values, from 1.
    """

    names: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    occurrence: int = 1

    def spell(self) -> str:
        """The step as text: `[id=42]`, `[size=L,colour=red]`, `[3]`, `[id=42#2]`, or `[]` for a member of a set."""
        values = [_spell(value) for value in self.values]
        named = [f"{name}={value}" for name, value in zip(self.names, values, strict=True)] if self.names else values
        return f"[{','.join(named)}{f'#{self.occurrence}' if self.occurrence > 1 else ''}]"


Step: TypeAlias = "str | Element"


def _spell(value: Any) -> str:
    text = value if isinstance(value, str) else spell_json(value)
    plain = text and not set(text) & set('[],="#') and text == text.strip()
    return text if plain and text.isprintable() else spell_json(text)


def spell_steps(steps: Iterable[Step]) -> str:
    """A path with elements as text: `variants[id=42].price`."""
    text = ""
    for step in steps:
        if isinstance(step, Element):
            text += step.spell()
        else:
            text += ("." if text else "") + spell_path([step])
    return text


@dataclass(frozen=True)
class ElementPair:
    """An element before and after; None where it is absent."""

    element: Element
    old: Any
    new: Any


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


def pair_elements(
    old: Sequence[Any], new: Sequence[Any], key: ElementKey, same: Callable[[Any, Any], bool]
) -> Iterator[ElementPair]:
    """The elements that differ between two versions of an array; those that only moved do not.

    Args:
        old: The array before.
        new: The array after.
        key: What elements are matched by.
        same: Whether two values count as the same.

    Yields:
        Pairs in the order of the new array, then the removed ones in the order of the old array.
    """
    if key.kind == POSITION:
        for place in range(max(len(old), len(new))):
            before = old[place] if place < len(old) else None
            after = new[place] if place < len(new) else None
            if not same(before, after):
                yield ElementPair(Element((), (place,)), before, after)
        return
    groups: dict[Any, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, elements in enumerate((old, new)):
        for place, element in enumerate(elements):
            groups[_group(element, key)][side].append(place)
    added: list[tuple[int, ElementPair]] = []
    removed: list[tuple[int, ElementPair]] = []
    for group, (before, after) in groups.items():
        for occurrence, (was, now) in enumerate(_match(before, after, old, new, same), 1):
            known = new[now] if now is not None else old[was] if was is not None else None
            element = _element(known, key, occurrence) if group[0] else Element()
            pair = ElementPair(element, None if was is None else old[was], None if now is None else new[now])
            if was is not None and now is not None and same(pair.old, pair.new):
                continue
            (removed if now is None else added).append((now if now is not None else was or 0, pair))
    yield from (pair for _, pair in sorted(added, key=lambda entry: entry[0]))
    yield from (pair for _, pair in sorted(removed, key=lambda entry: entry[0]))


def _group(element: Any, key: ElementKey) -> tuple[bool, Any]:
    """Whether an element has the key, and what equal elements have in common."""
    values = [_value(element, path) for path in key.paths]
    if key.kind != FIELD or any(value is None or value == "" for value in values):
        return False, canonical(element)
    return True, tuple(value if isinstance(value, str) else spell_json(value) for value in values)


def _element(element: Any, key: ElementKey, occurrence: int) -> Element:
    return Element(tuple(map(spell_path, key.paths)), tuple(_value(element, path) for path in key.paths), occurrence)


def _value(element: Any, path: Path) -> Any:
    for name in path:
        element = element.get(name) if type(element) is dict else None
    return element


def _match(
    before: Sequence[int],
    after: Sequence[int],
    old: Sequence[Any],
    new: Sequence[Any],
    same: Callable[[Any, Any], bool],
) -> list[tuple[int | None, int | None]]:
    """Elements with one key: the same ones together, the rest in order."""
    left = list(before)
    pairs: list[tuple[int | None, int | None]] = []
    rest = []
    for now in after:
        was = next((place for place in left if same(old[place], new[now])), None)
        if was is None:
            rest.append(now)
        else:
            left.remove(was)
            pairs.append((was, now))
    pairs += zip_longest(left, rest)
    return pairs


def member_changes(old: Sequence[Any], new: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The members that an array of scalars gained and lost, repeated ones as often as they did."""
    before, after = Counter(map(canonical, old)), Counter(map(canonical, new))
    return _more(new, after - before), _more(old, before - after)


def _more(members: Sequence[Any], wanted: Counter[bytes]) -> list[Any]:
    found = []
    for member in members:
        form = canonical(member)
        if wanted[form] > 0:
            wanted[form] -= 1
            found.append(member)
    return found


def changed_steps(
    old: Any, new: Any, same: Callable[[Any, Any], bool], steps: tuple[Step, ...] = ()
) -> Iterator[tuple[tuple[Step, ...], Any, Any]]:
    """What differs between two values: steps to it, old and new value, None for an absent one.

    Objects are compared field by field, arrays element by element; the key of an array's elements is chosen from its
    two versions alone, so that the answer depends on nothing else.
    """
    if type(old) is dict and type(new) is dict:
        for name in dict.fromkeys((*old, *new)):
            yield from changed_steps(old.get(name), new.get(name), same, (*steps, name))
    elif type(old) is list and type(new) is list:
        for pair in pair_elements(old, new, choose_element_key([(old, new)]), same):
            yield from changed_steps(pair.old, pair.new, same, (*steps, pair.element))
    elif not same(old, new):
        yield steps, old, new
