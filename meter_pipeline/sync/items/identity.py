"""What makes an item the same item: its hash over a canonical form, and its key within a job.

Canonical form: keys sorted, null the same as absent, `-0.0` the same as `0.0`, objects and texts in an array in any
order unless the rules keep it, without what the rules ignore. The API gives items no id: the key consists of the fields
that the rules name, else it is the hash. An occurrence number distinguishes items of a job with equal keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal
from hashlib import blake2b
from itertools import chain, compress
from operator import is_
from typing import Any, TypeAlias

import msgspec
import numpy as np

from meter_pipeline.config.field_paths import Path, parse_path
from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.store.field_values import FieldValues
from meter_pipeline.store.item_json import spell, spell_json

#: The key of an item that is known by its page.
PAGE_KEY = "page"

_ENCODER = msgspec.json.Encoder(order="sorted")
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d+)?")
# A number in JSON with more significant digits than this is rounded before it is compared.
_EXACT = Context(prec=2_000)
_AMBIGUOUS = re.compile(r'".*|.*#\d+', re.DOTALL)
# Elements whose order makes no difference unless the rules keep it. Two numbers may be a score, an array a table's row.
_UNORDERED = frozenset({str, dict, type(None)})
_NESTED: frozenset[type] = frozenset({dict, list})
_TEXTS: frozenset[type] = frozenset({str})
SCALARS = frozenset({str, int, float, bool})

Ignored: TypeAlias = Mapping[str, Any]
"""Ignored fields as nested mappings by name; None where a path ends: all below is ignored."""
NOTHING: Ignored = {}


class Identity:
    """Keys and hashes of a strategy's items under its rules; equal for rules that compare items alike.

    Args:
        rules: The item rules; without a key, an item's hash is its key.
        by_page: Whether a page's item is known by the page, so that all have one key, which is theirs within the page.
    """

    def __init__(self, rules: ItemRules, *, by_page: bool = False) -> None:
        self._by_page = by_page
        self.key: tuple[Path, ...] = tuple(map(parse_path, rules.key or ()))
        self._array_order, self._whitespace, self._numbers = rules.array_order, rules.whitespace, rules.numbers
        ignored = frozenset(map(parse_path, rules.ignore))
        self.ignored: Ignored = _tree(ignored)
        # Scalars are compared as they are.
        self.has_plain_scalars = rules.whitespace and rules.numbers
        self.is_plain = self.has_plain_scalars and not rules.ignore
        self._rules = (self.key, by_page, ignored, rules.array_order, rules.whitespace, rules.numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self._rules == other._rules

    def __hash__(self) -> int:
        return hash(self._rules)

    # -- hashes

    def hashes(self, values: Sequence[Any], items: Sequence[bytes]) -> list[str]:
        """Hashes of parsed items, 32 hex digits each; `items` are their raw texts."""
        if self.is_plain:
            return item_hashes(values, items, order=self._array_order)
        return [_hash(self.form(value, self.ignored)) for value in values]

    def form(self, value: Any, ignored: Ignored = NOTHING) -> bytes:
        """A value in a form that is equal for equal values; `ignored` is what the rules ignore below its path."""
        return canonical(self.normalize(value, ignored))

    def same(self, old: Any, new: Any, ignored: Ignored = NOTHING) -> bool:
        """Whether two values of a field are the same; None stands for an absent field."""
        if old is None or new is None:
            return old is new
        return self.form(old, ignored) == self.form(new, ignored)

    def normalize(self, value: Any, ignored: Ignored = NOTHING) -> Any:
        """A value without what makes no difference: equal values become equal."""
        if self.is_plain:
            return _clean(value, order=self._array_order)
        if isinstance(value, dict):
            return {
                name: self.normalize(inner, ignored.get(name, NOTHING))
                for name, inner in value.items()
                if inner is not None and ignored.get(name, NOTHING) is not None
            }
        if isinstance(value, list):
            elements = [self.normalize(inner, ignored) for inner in value]
            return _arrange(elements, self._array_order, as_numbers=not self._numbers)
        if isinstance(value, str):
            text = value if self._whitespace else " ".join(value.split())
            return text if self._numbers or not _NUMBER.fullmatch(text) else _digits(text)
        if self._numbers or isinstance(value, bool) or value is None:
            return 0.0 if isinstance(value, float) and value == 0 else value
        return _digits(repr(value))

    # -- keys

    def keys(self, values: Sequence[Any], hashes: list[str]) -> list[str]:
        """Keys of items without occurrence numbers; the hash, where a field of the key is absent or empty."""
        if self._by_page:
            return [PAGE_KEY] * len(hashes)
        if not self.key:
            return hashes
        if len(self.key) == 1:
            found = self._key_values(values, self.key[0])
            return [hash_ if key is None else _spell(key) for key, hash_ in zip(found, hashes, strict=True)]
        keys = []
        for hash_, *parts in zip(hashes, *(self._key_values(values, path) for path in self.key), strict=True):
            keys.append(hash_ if None in parts else canonical([_spell(part) for part in parts]).decode())
        return keys

    def _key_values(self, values: Sequence[Any], path: Path) -> list[Any]:
        """The value of each item in a field of the key; None where it is absent or empty."""
        for name in path:
            values = [value.get(name) if type(value) is dict else None for value in values]
        if not self.is_plain or not SCALARS.issuperset(map(type, values)):
            values = [None if value is None else self.normalize(value) for value in values]
        return [None if value == "" else value for value in values]


def _tree(paths: Iterable[Path]) -> Ignored:
    """Paths as nested mappings by name, None where a path ends."""
    tree: dict[str, Any] = {}
    for path in sorted(paths, key=len):
        branch: dict[str, Any] | None = tree
        for name in path[:-1]:
            branch = None if branch is None else branch.setdefault(name, {})
        if branch is not None:
            branch[path[-1]] = None
    return tree


PLAIN = Identity(ItemRules())


def item_hashes(values: Sequence[Any], items: Sequence[bytes], *, order: bool | None = None) -> list[str]:
    """`Identity.hashes` under rules that compare scalars as they are; `order` as `ItemRules.array_order`."""
    arranged = list(values) if order is True else _arrange_all(values, order)
    # One search of all texts: mostly there is nothing to find.
    together = b",".join(items)
    if b"null" in together or b"-0" in together:
        for place, item in enumerate(items):
            if b"null" in item or b"-0" in item:
                arranged[place] = _clean(values[place], order=order)
    return list(map(_hash, _spell_all(arranged)))


def _spell_all(values: Sequence[Any]) -> list[bytes]:
    try:
        return _ENCODER.encode_lines(values).split(b"\n")[:-1]
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        return list(map(canonical, values))


def canonical(value: Any) -> bytes:
    """A value as JSON with sorted keys: the same bytes for the same value."""
    try:
        return _ENCODER.encode(value)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _hash(form: bytes) -> str:
    return blake2b(form, digest_size=16).hexdigest()


def _clean(value: Any, *, order: bool | None) -> Any:
    if isinstance(value, dict):
        return {
            name: inner if type(inner) is str else _clean(inner, order=order)
            for name, inner in value.items()
            if inner is not None
        }
    if isinstance(value, list):
        elements = [_clean(inner, order=order) for inner in value]
        return _arrange(elements, order)
    return 0.0 if isinstance(value, float) and value == 0 else value


def _arrange_all(values: Sequence[Any], order: bool | None) -> list[Any]:
    """Values with all arrays in them arranged; of objects field by field, since few fields have anything to arrange."""
    kinds = set(map(type, values))
    if kinds == {list} and _TEXTS.issuperset(map(type, chain.from_iterable(values))):
        return [value if len(value) < 2 or (new := sorted(value)) == value else new for value in values]
    if kinds != {dict}:
        return [_arrange_within(value, order) for value in values]
    arranged = list(values)
    by_field = FieldValues(values)
    for name in by_field.names:
        everywhere, column = by_field.present(name)
        if _NESTED.isdisjoint(map(type, column)):
            continue
        is_nested = [type(value) in _NESTED for value in column]
        places, inner = compress(everywhere, is_nested), list(compress(column, is_nested))
        for place, old, new in zip(places, inner, _arrange_all(inner, order), strict=True):
            if new is not old:
                arranged[place] = arranged[place] | {name: new}
    return arranged


def _arrange_within(value: Any, order: bool | None) -> Any:
    """A value with all arrays in it arranged; the same object where they are."""
    if type(value) is list:
        inner = value
        if not _NESTED.isdisjoint(map(type, value)):
            inner = [_arrange_within(element, order) for element in value]
        arranged = _arrange(inner, order)
        return value if all(map(is_, arranged, value)) else arranged
    if type(value) is dict:
        nested = [(name, inner) for name, inner in value.items() if type(inner) in _NESTED]
        changed = {name: new for name, inner in nested if (new := _arrange_within(inner, order)) is not inner}
        return value | changed if changed else value
    return value


def _arrange(elements: list[Any], order: bool | None, *, as_numbers: bool = False) -> list[Any]:
    """Elements in an order that depends on the set of them alone, unless their own order counts.

    Args:
        elements: The elements, normalized.
        order: As `ItemRules.array_order`.
        as_numbers: Whether texts that read as numbers are numbers.
    """
    if order or len(elements) < 2:
        return elements
    kinds = set(map(type, elements))
    if order is None and not (kinds <= _UNORDERED and not (as_numbers and any(map(_is_number, elements)))):
        return elements
    return sorted(elements) if kinds == {str} else sorted(elements, key=canonical)


def _is_number(value: Any) -> bool:
    return type(value) is str and _NUMBER.fullmatch(value) is not None


def _digits(text: str) -> str:
    """The one spelling of a number, however it was spelled."""
    digits = format(Decimal(text).normalize(_EXACT), "f")
    return "0" if digits == "-0" else digits


def _spell(value: Any) -> str:
    """A key's value as text, so that 2 and "2" are one key; a text that another value could be spelled as is quoted."""
    if isinstance(value, str):
        # A search for one character is far faster than a pattern.
        if ("#" in value or '"' in value) and _AMBIGUOUS.fullmatch(value):
            return spell_json(value)
        return value if value.isascii() else spell(value)
    return "0.0" if isinstance(value, float) and value == 0 else canonical(value).decode()


class Occurrences:
    """Numbers the occurrences of equal keys within one job, in pieces; takes eight bytes of memory per item."""

    def __init__(self) -> None:
        self._seen = np.empty(0, np.int64)
        self._repeated: dict[str, int] = {}

    @property
    def duplicates(self) -> int:
        """Number of keys so far that had occurred before."""
        return sum(self._repeated.values()) - len(self._repeated)

    def number(self, keys: Sequence[str]) -> list[str]:
        """The next keys of the job, with `#2`, `#3` ... appended to those that occurred before."""
        marks = np.fromiter(map(hash, keys), np.int64, len(keys))
        ordered = np.sort(marks)
        at = np.searchsorted(self._seen, ordered)
        before = at < len(self._seen)
        repeated = np.any(self._seen[at[before]] == ordered[before]) or np.any(ordered[1:] == ordered[:-1])
        result = self._count(keys, marks) if repeated else list(keys)
        # Two runs in order, which this kind of sort merges.
        self._seen = np.concatenate([self._seen, ordered])
        self._seen.sort(kind="stable")
        return result

    def _count(self, keys: Sequence[str], marks: np.ndarray[Any, np.dtype[np.int64]]) -> list[str]:
        counts: dict[str, int] = {}
        positions = np.searchsorted(self._seen, marks)
        result = []
        for key, mark, position in zip(keys, marks, positions, strict=True):
            if key not in counts:
                earlier = position < len(self._seen) and self._seen[position] == mark
                counts[key] = self._repeated.get(key, 1) if earlier else 0
            counts[key] += 1
            result.append(key if counts[key] == 1 else f"{key}#{counts[key]}")
        self._repeated.update((key, count) for key, count in counts.items() if count > 1)
        return result


def number_occurrences(keys: Sequence[str]) -> list[str]:
    """`Occurrences.number` for a whole job."""
    if len(set(keys)) == len(keys):
        return list(keys)
    return Occurrences().number(keys)
