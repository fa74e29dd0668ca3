"""A right scrape and what surrounds it, and ways to spoil it: the values of a field, all texts, or whole objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from meter_pipeline_tests.sync.audit import written_numbers
from meter_pipeline_tests.sync.audit.list_making import Item

Path = tuple[str, ...]
CURRENCY = re.compile(r"[€$£]|CHF ")
ISO = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Scene:
    """A right scrape and what surrounds it.

    Attributes:
        items: Its items.
        before: The days before it.
        other: The items of another page of the same shape.
        elsewhere: The items of a page of another shape.
        chance: Where choices come from.
    """

    items: list[Item]
    before: Sequence[list[Item]]
    other: list[Item]
    elsewhere: list[Item]
    chance: Random


Breakage = Callable[[Scene], "list[Item] | None"]


def copy_of(value: Any) -> Any:
    """A copy that can be changed."""
    return json.loads(json.dumps(value))


def get(item: Item, path: Path) -> Any:
    """The value at a path; None without."""
    for name in path:
        item = item.get(name) if isinstance(item, dict) else None
    return item


def put(item: Item, path: Path, value: Any) -> None:
    """Sets the value at a path, where there is a place for it."""
    for name in path[:-1]:
        item = item.get(name)
        if not isinstance(item, dict):
            return
    item[path[-1]] = value


def paths_of(items: Sequence[Item], fits: Callable[[Any], bool], share: float = 0.6) -> list[Path]:
    """The paths at which most items have a fitting value."""
    found: dict[Path, int] = {}

    def look(value: Any, path: Path) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                look(inner, (*path, name))
        elif path and fits(value):
            found[path] = found.get(path, 0) + 1

    for item in items:
        look(item, ())
    return [path for path in sorted(found) if found[path] >= share * len(items)]


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def is_wordy(value: Any) -> bool:
    return is_text(value) and sum(map(str.isalpha, value)) > 0.5 * len(value) and not is_link(value)


def is_link(value: Any) -> bool:
    return isinstance(value, str) and (value.startswith(("http", "/")))


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def has_number(value: Any) -> bool:
    return written_numbers.read(value) is not None and not (isinstance(value, str) and ISO.search(value))


def is_amount(value: Any) -> bool:
    return is_number(value) or (has_number(value) and bool(re.search(r"[€$£%]|CHF|km|m²| g|^\d[\d.,]*$", str(value))))


def is_filled(value: Any) -> bool:
    return value not in (None, "", [])


def change(scene: Scene, path: Path, new: Callable[[Any], Any], share: float = 1.0) -> list[Item]:
    """The items with the values at a path changed, in all of them or in a share; null stays null."""
    items = copy_of(scene.items)
    chosen = set(scene.chance.sample(range(len(items)), max(1, round(share * len(items)))))
    for place, item in enumerate(items):
        if place in chosen and (value := get(item, path)) is not None:
            put(item, path, new(value))
    return items


def on_a_field(
    fits: Callable[[Any], bool], new: Callable[[Any], Any], share: float = 1.0, least_changed: float = 0.5
) -> Breakage:
    """A breakage of the values of one field that fits; none where fewer than a share of the items would change."""

    def spoil(scene: Scene) -> list[Item] | None:
        paths = paths_of(scene.items, fits)
        scene.chance.shuffle(paths)
        for path in paths:
            spoiled = change(scene, path, new, share)
            differing = sum(one != other for one, other in zip(spoiled, scene.items, strict=True))
            if differing >= least_changed * share * len(scene.items) and differing:
                return spoiled
        return None

    return spoil


def on_all_texts(new: Callable[[str], str]) -> Breakage:
    """A breakage of all texts of all items."""

    def deep(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: deep(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [deep(inner) for inner in value]
        return new(value) if isinstance(value, str) else value

    def spoil(scene: Scene) -> list[Item] | None:
        spoiled = [deep(item) for item in scene.items]
        differing = sum(one != other for one, other in zip(spoiled, scene.items, strict=True))
        return spoiled if differing >= 0.5 * len(spoiled) and differing else None

    return spoil


def of_objects(spoil: Callable[[Scene, list[dict[str, Any]]], list[Item] | None]) -> Breakage:
    """A breakage of lists of objects; it gets copies of the items."""

    def guarded(scene: Scene) -> list[Item] | None:
        if not scene.items or not all(isinstance(item, dict) for item in scene.items):
            return None
        return spoil(scene, copy_of(scene.items))

    return guarded


def least(count: int, spoil: Breakage) -> Breakage:
    return lambda scene: spoil(scene) if len(scene.items) >= count else None
