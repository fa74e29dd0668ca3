"""Finds fields that change in nearly every job for nearly every item: views, session ids, `ago`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NONE: Mapping[str, int] = MappingProxyType({})
# A field is noise if it changed in this share of the comparisons, and for this share of the items in all of them.
_JOBS_SHARE, _ITEMS_SHARE = 0.9, 0.8
# Comparisons and items that say enough.
_FEW_JOBS, _FEW_ITEMS = 5, 20


@dataclass(frozen=True)
class FieldChanges:
    """How often the fields of a strategy changed, over comparisons of a job with the one before it.

    Attributes:
        jobs: Number of comparisons with an item that is in both jobs.
        items: Number of such items, over all comparisons.
        changed_jobs: By path of a field, number of comparisons in which it changed for some item.
        changed_items: By path of a field, number of items for which it changed, over all comparisons.
    """

    jobs: int = 0
    items: int = 0
    changed_jobs: Mapping[str, int] = field(default_factory=lambda: _NONE)
    changed_items: Mapping[str, int] = field(default_factory=lambda: _NONE)


def count_changes(comparisons: Iterable[tuple[int, Mapping[str, int]]]) -> FieldChanges:
    """Counts changes over comparisons: each is the number of items in both jobs, and of those changed by field."""
    jobs = items = 0
    changed_jobs: dict[str, int] = {}
    changed_items: dict[str, int] = {}
    for kept, changed in comparisons:
        if not kept:
            continue
        jobs += 1
        items += kept
        for path, number in changed.items():
            if number:
                changed_jobs[path] = changed_jobs.get(path, 0) + 1
                changed_items[path] = changed_items.get(path, 0) + number
    return FieldChanges(jobs, items, changed_jobs, changed_items)


def find_noise(changes: FieldChanges, ignored: Iterable[str] = ()) -> list[str]:
    """Paths of the fields that change in nearly every job for nearly every item, and are not ignored yet."""
    if changes.jobs < _FEW_JOBS or changes.items < _FEW_ITEMS:
        return []
    known = set(ignored)
    return sorted(
        path
        for path, items in changes.changed_items.items()
        if path not in known
        and items >= _ITEMS_SHARE * changes.items
        and changes.changed_jobs.get(path, 0) >= _JOBS_SHARE * changes.jobs
    )


def suggest_ignore(changes: FieldChanges, ignored: Iterable[str] = ()) -> list[str]:
    """Lines that name the noise of a strategy with its rule for `meter.yaml`; none where there is none.

    The rule holds the fields that are ignored already as well, since it replaces them.
    """
    known = list(ignored)
    noise = find_noise(changes, known)
    if not noise:
        return []
    lines = [
        f"{path!r} changed in {changes.changed_jobs[path]} of {changes.jobs} comparisons, for "
        f"{changes.changed_items[path]} of {changes.items} items"
        for path in noise
    ]
    listed = ", ".join(_quoted(path) for path in [*known, *noise])
    return [*lines, f"ignore: [{listed}]"]


def _quoted(path: str) -> str:
    """A path as YAML: in quotes unless it is a plain word."""
    if path.replace("_", "").replace(".", "").isalnum() and path[0].isalpha() and path.isascii() and not _is_word(path):
        return path
    return '"' + "".join(_escaped(character) for character in path) + '"'


def _is_word(path: str) -> bool:
    """Whether YAML reads it as a boolean or null."""
    return path.lower() in ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\u{ord(character):04x}" if ord(character) < 65536 else "?"
