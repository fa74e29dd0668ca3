"""Tells apart the items of a job that have equal keys: which of them is the main one, and which continues which.

A promoted copy of an advert stands beside the advert for a day. The copy that resembles the other items of the job
most is the main one, wherever it stands; so the advert keeps its key when the copy comes and goes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from meter_pipeline.sync.items.identity import canonical


def number_by_content(keys: Sequence[str], values: Sequence[Any]) -> list[str]:
    """Keys with `#2`, `#3` ... appended to repeated ones: the most usual copy keeps the plain key.

    How usual a copy is, is the number of items in the job that share its values in the fields in which the copies
    differ. Copies that are equally usual keep their order.

    Args:
        keys: Keys of a job's items, without occurrence numbers.
        values: The items, parsed.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    repeated = {key: group for key, group in places.items() if len(group) > 1}
    numbered = list(keys)
    if not repeated:
        return numbered
    differing = {name for group in repeated.values() for name in _differing([values[place] for place in group])}
    usual = {name: Counter(_form(value, name) for value in values) for name in differing}
    for key, group in repeated.items():
        names = _differing([values[place] for place in group])
        ordered = sorted(group, key=lambda place: -sum(usual[name][_form(values[place], name)] for name in names))
        for occurrence, place in enumerate(ordered[1:], 2):
            numbered[place] = f"{key}#{occurrence}"
    return numbered


def _differing(copies: Sequence[Any]) -> list[str]:
    names = dict.fromkeys(name for copy in copies if type(copy) is dict for name in copy)
    return [name for name in names if len({_form(copy, name) for copy in copies}) > 1]


def _form(value: Any, name: str) -> bytes:
    return canonical(value.get(name) if type(value) is dict else None)


def pair_occurrences(
    old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]
) -> list[tuple[int | None, int | None]]:
    """Which of the items with one key in the old job is which of those in the new one.

    Args:
        old: Numbered key and hash of each item with this key in the old job.
        new: The same for the new job.

    Returns:
        Places in `old` and `new`: items with equal hashes first, then those with equal numbers, then the others in
        order; None where an item has come or gone.
    """
    pairs: list[tuple[int | None, int | None]] = []
    left, right = list(range(len(old))), list(range(len(new)))
    for part in (1, 0):
        for place in list(right):
            match = next((other for other in left if old[other][part] == new[place][part]), None)
            if match is not None:
                left.remove(match)
                right.remove(place)
                pairs.append((match, place))
    pairs += zip(left, right, strict=False)
    common = min(len(left), len(right))
    pairs += [(place, None) for place in left[common:]] + [(None, place) for place in right[common:]]
    return pairs
