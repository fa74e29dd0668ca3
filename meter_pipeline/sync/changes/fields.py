"""The fields by which two states of items differ: objects field by field, arrays element by element.

Items are compared all at once, a field of all of them after the other: most fields of most items are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, compress
from operator import ne
from typing import Any, NamedTuple, TypeAlias

from meter_pipeline.store.columns import MAX_DEPTH
from meter_pipeline.store.field_values import FieldValues
from meter_pipeline.sync.items.elements import SET, ElementKey, choose_element_key, pair_elements
from meter_pipeline.sync.items.identity import NOTHING, SCALARS, Identity, Ignored
from meter_pipeline.sync.items.steps import MEMBER, Step

#: Items of a pair of jobs that the keys of elements are chosen from: the first changed ones in the order of their keys.
SAMPLE_ITEMS = 100

Steps: TypeAlias = tuple[Step, ...]
Both: TypeAlias = "tuple[Any, Any]"
"""An item, or a part of it, in the old and in the new job."""
_ABSENT = type(None)
_TEXTS = frozenset({str})
# Objects are compared one by one where all names in each of them would be this many times their values.
_SPARSE = 4


class Values(NamedTuple):
    """Values of a field in some items.

    Attributes:
        places: Places of these items among all that are compared.
        old: The field's values before, None for an absent one.
        new: Its values after, likewise.
    """

    places: Sequence[int]
    old: Sequence[Any]
    new: Sequence[Any]

    def take(self, numbers: Sequence[int]) -> Values:
        """Some of the values, by their numbers in `places`."""
        return Values(*([column[number] for number in numbers] for column in self))


Difference: TypeAlias = "tuple[Steps, Values]"
"""Path of a field, and its values where they differ."""


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
                self._learn_array([both for both in values if _are(list, *both)], (*path, name), inside)

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


def changed_fields(old: Sequence[Any], new: Sequence[Any], identity: Identity, keys: ElementKeys) -> list[Difference]:
    """The fields by which items differ; each item with another hash than before has at least one.

    Objects are compared field by field and arrays element by element. Members that an array without a key of its
    elements has lost and gained are two lists.

    Args:
        old: The items before.
        new: The same items after.
        identity: Says what makes a difference.
        keys: What elements are matched by.
    """
    walk = _Walk(identity, keys)
    items = Values(range(len(old)), old, new)
    are_objects = [_are(dict, *both) for both in zip(old, new, strict=True)]
    walk.objects(items.take(list(compress(items.places, are_objects))), identity.ignored, (), ())
    # A key can read like another item's hash.
    walk.note((), items.take([place for place, are in enumerate(are_objects) if not are]))
    return walk.found


class _Walk:
    """Goes through two states of items. `steps` are the path to a value, `path` the same for `ElementKeys`."""

    def __init__(self, identity: Identity, keys: ElementKeys) -> None:
        self._identity, self._keys = identity, keys
        self.found: list[Difference] = []

    def note(self, steps: Steps, values: Values) -> None:
        """Notes values that differ."""
        if values.places:
            self.found.append((steps, values))

    def objects(self, values: Values, ignored: Ignored, steps: Steps, path: Steps) -> None:
        """Compares objects field by field."""
        places, (before, after) = values.places, map(FieldValues, values[1:])
        names = dict.fromkeys((*before.names, *after.names))
        if len(places) > 1 and len(names) * len(places) > _SPARSE * sum(map(len, chain(values.old, values.new))):
            # Objects keyed by data: few of them have the same names.
            for number in range(len(places)):
                self.objects(values.take([number]), ignored, steps, path)
            return
        for name in names:
            inside = ignored.get(name, NOTHING)
            if inside is not None:
                field = Values(places, before[name], after[name])
                self._values(field, inside, (*steps, name), (*path, name))

    def _values(self, values: Values, ignored: Ignored, steps: Steps, path: Steps) -> None:
        _, old, new = values
        kinds = {*map(type, old), *map(type, new)} - {_ABSENT}
        if self._identity.has_plain_scalars and kinds <= SCALARS:
            differ = map(ne, old, new) if len(kinds) == 1 else map(_are_other, old, new)
            self.note(steps, values.take(list(compress(range(len(old)), differ))))
            return
        objects, others = list[int](), list[int]()
        for number, both in enumerate(zip(old, new, strict=True)):
            if _are_surely_same(*both):
                continue
            if _are(dict, *both) and len(steps) <= MAX_DEPTH:
                objects.append(number)
            elif _are(list, *both) and len(steps) <= MAX_DEPTH:
                self._arrays(values.places[number], *both, ignored, steps, path)
            elif not self._identity.same(*both, ignored):
                others.append(number)
        self.objects(values.take(objects), ignored, steps, path)
        self.note(steps, values.take(others))

    def _arrays(self, place: int, old: list[Any], new: list[Any], ignored: Ignored, steps: Steps, path: Steps) -> None:
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
                continue
            was, now = (None if at is None else side[at] for side, at in ((old, pair.old), (new, pair.new)))
            values, inner = Values([place], [was], [now]), (*steps, pair.element)
            if pair.old is None or pair.new is None:
                self.note(inner, values)
            else:
                self._values(values, ignored, inner, (*path, MEMBER))
        if lost or gained:
            self.note((*steps, MEMBER), Values([place], [lost or None], [gained or None]))
        elif is_same_set:
            # Only their order differs, and the rules say that it counts.
            self.note(steps, Values([place], [old], [new]))


def _are(kind: type, old: Any, new: Any) -> bool:
    return type(old) is kind and type(new) is kind


def _are_other(old: Any, new: Any) -> bool:
    """Whether scalars differ: 1, 1.0 and true are three values."""
    return type(old) is not type(new) or old != new


def _are_surely_same(old: Any, new: Any) -> bool:
    if type(old) is not type(new) or old != new:
        return False
    # In arrays and objects, 1 and 1.0 are equal to Python.
    return type(old) in SCALARS or (type(old) is list and _TEXTS.issuperset(map(type, old)))
