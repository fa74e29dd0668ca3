"""The fields by which two states of an item differ: objects field by field, arrays element by element."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from meter_pipeline.store.columns import MAX_DEPTH
from meter_pipeline.sync.items.elements import SET, ElementKey, choose_element_key, pair_elements
from meter_pipeline.sync.items.identity import NOTHING, SCALARS, Identity, Ignored
from meter_pipeline.sync.items.steps import MEMBER, Step

#: Items of a pair of jobs that the keys of elements are chosen from: the first changed ones in the order of their keys.
SAMPLE_ITEMS = 100

Steps: TypeAlias = tuple[Step, ...]
Both: TypeAlias = "tuple[Any, Any]"
"""An item, or a part of it, in the old and in the new job."""
Difference: TypeAlias = "tuple[Steps, Any, Any]"
"""Path of a field, its old value and its new value, None for an absent one."""


class ElementKeys:
    """What the elements of each array are matched by, chosen from a sample of the items that changed between two jobs.

    Args:
        identity: The identity of the items.
        sample: Returns both states of up to `SAMPLE_ITEMS` changed items; called when an array of objects has changed.
    """

    def __init__(self, identity: Identity, sample: Callable[[], Iterable[Both]]) -> None:
        self._identity, self._sample = identity, sample
        self._keys: dict[Steps, ElementKey] = {}
        self._is_read = False

    def of(self, path: Steps) -> ElementKey:
        """The key of the elements of an array; `path` has `MEMBER` for each array on the way."""
        if not self._is_read:
            self._is_read = True
            self._learn(list(self._sample()), (), self._identity.ignored)
        return self._keys.get(path, ElementKey(SET))

    def _learn(self, pairs: Sequence[Both], path: Steps, ignored: Ignored) -> None:
        """Chooses the keys of all arrays in objects, and in the elements of these."""
        if len(path) >= MAX_DEPTH:
            return
        objects = [(old, new) for old, new in pairs if type(old) is dict and type(new) is dict]
        for name in dict.fromkeys(name for both in objects for side in both for name in side):
            inside = ignored.get(name, NOTHING)
            values = [(old.get(name), new.get(name)) for old, new in objects]
            if inside is not None:
                self._learn(values, (*path, name), inside)
                self._learn_array([both for both in values if _are_arrays(*both)], (*path, name), inside)

    def _learn_array(self, arrays: Sequence[Both], path: Steps, ignored: Ignored) -> None:
        if not any(type(element) is dict for both in arrays for side in both for element in side):
            return
        normal = [(self._normalize(old, ignored), self._normalize(new, ignored)) for old, new in arrays]
        key = self._keys[path] = choose_element_key(normal)
        elements = [
            (old[pair.old], new[pair.new])
            for (old, new), (before, after) in zip(arrays, normal, strict=True)
            for pair in pair_elements(before, after, key)
            if pair.old is not None and pair.new is not None
        ]
        self._learn(elements, (*path, MEMBER), ignored)

    def _normalize(self, elements: list[Any], ignored: Ignored) -> list[Any]:
        return [self._identity.normalize(element, ignored) for element in elements]


def changed_fields(old: Any, new: Any, identity: Identity, keys: ElementKeys) -> Iterator[Difference]:
    """The fields that differ between two items; at least one if their hashes differ.

    Objects are compared field by field and arrays element by element. Members that an array without a key of its
    elements has lost and gained are two lists.

    Args:
        old: The item before.
        new: The item after.
        identity: Says what makes a difference.
        keys: What elements are matched by.
    """
    if type(old) is dict and type(new) is dict:
        yield from _Walk(identity, keys).fields(old, new, identity.ignored, (), ())
    else:
        # A key can read like another item's hash.
        yield (), old, new


class _Walk:
    """Goes through two states of an item. `steps` are the path to a value, `path` the same for `ElementKeys`."""

    def __init__(self, identity: Identity, keys: ElementKeys) -> None:
        self._identity, self._keys = identity, keys

    def fields(
        self, old: dict[str, Any], new: dict[str, Any], ignored: Ignored, steps: Steps, path: Steps
    ) -> Iterator[Difference]:
        for name in dict.fromkeys((*old, *new)):
            before, after = old.get(name), new.get(name)
            if before is after or (type(before) in SCALARS and type(before) is type(after) and before == after):
                continue
            inside = ignored.get(name, NOTHING)
            if inside is not None:
                yield from self._values(before, after, inside, (*steps, name), (*path, name))

    def _values(self, old: Any, new: Any, ignored: Ignored, steps: Steps, path: Steps) -> Iterator[Difference]:
        if type(old) is dict and type(new) is dict and len(steps) <= MAX_DEPTH:
            yield from self.fields(old, new, ignored, steps, path)
        elif _are_arrays(old, new) and len(steps) <= MAX_DEPTH:
            yield from self._arrays(old, new, ignored, steps, path)
        elif self._are_other_scalars(old, new) or not self._identity.same(old, new, ignored):
            yield steps, old, new

    def _are_other_scalars(self, old: Any, new: Any) -> bool:
        """Whether two values are scalars of a kind that differ, which needs no form of theirs; False if unsure."""
        kind = type(old)
        return self._identity.is_plain and kind is type(new) and kind in SCALARS and (kind is str or old != new)

    def _arrays(
        self, old: list[Any], new: list[Any], ignored: Ignored, steps: Steps, path: Steps
    ) -> Iterator[Difference]:
        identity = self._identity
        if identity.same(old, new, ignored):
            return
        before, after = ([identity.normalize(element, ignored) for element in side] for side in (old, new))
        has_objects = any(type(element) is dict for side in (old, new) for element in side)
        key = self._keys.of(path) if has_objects else ElementKey(SET)
        lost, gained = [], []
        is_same_set = True
        for pair in pair_elements(before, after, key):
            is_same_set = False
            if pair.element == MEMBER:
                lost += [] if pair.old is None else [old[pair.old]]
                gained += [] if pair.new is None else [new[pair.new]]
            elif pair.old is None or pair.new is None:
                was, now = (None if at is None else side[at] for side, at in ((old, pair.old), (new, pair.new)))
                yield (*steps, pair.element), was, now
            else:
                inner = (*steps, pair.element), (*path, MEMBER)
                yield from self._values(old[pair.old], new[pair.new], ignored, *inner)
        if lost or gained:
            yield (*steps, MEMBER), lost or None, gained or None
        elif is_same_set:
            # Only their order differs, and the rules say that it counts.
            yield steps, old, new


def _are_arrays(old: Any, new: Any) -> bool:
    return type(old) is list and type(new) is list
