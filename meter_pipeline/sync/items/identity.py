"""What makes an item the same item: its hash over a canonical form, and its key within a job.

Canonical form: keys sorted, null the same as absent, `-0.0` the same as `0.0`, without what the item rules ignore. The
API gives items no id: the key consists of the fields that the rules name, else it is the hash. An occurrence number
distinguishes items of a job with equal keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Context, Decimal
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from meter_pipeline.config.field_paths import Path, parse_path
from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.store.columns import MAX_DEPTH, spell, spell_json

_encode = msgspec.json.Encoder(order="sorted").encode
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d+)?")
# A number in JSON with more significant digits than this is rounded before it is compared.
_EXACT = Context(prec=2_000)
_AMBIGUOUS = re.compile(r'".*|.*#\d+', re.DOTALL)
_SCALARS = frozenset({str, int, float, bool})

# Ignored fields as nested mappings by name; `None` where a path ends: all below is ignored.
_Ignored = Mapping[str, Any]
_NOTHING: _Ignored = {}


class Identity:
    """Keys and hashes of a strategy's items under its rules; equal for rules that compare items alike.

    Args:
        rules: The item rules; without a key, an item's hash is its key.
    """

    def __init__(self, rules: ItemRules) -> None:
        self.key: tuple[Path, ...] = tuple(map(parse_path, rules.key or ()))
        self._array_order, self._whitespace, self._numbers = rules.array_order, rules.whitespace, rules.numbers
        ignored = frozenset(map(parse_path, rules.ignore))
        self._ignored = _tree(ignored)
        # Values are compared as they are.
        self._plain = not rules.ignore and rules.array_order and rules.whitespace and rules.numbers
        self._rules = (self.key, ignored, rules.array_order, rules.whitespace, rules.numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self._rules == other._rules

    def __hash__(self) -> int:
        return hash(self._rules)

    # -- hashes

    def hashes(self, values: Sequence[Any], items: Sequence[bytes]) -> list[str]:
        """Hashes of parsed items, 32 hex digits each; `items` are their raw texts."""
        if self._plain:
            return item_hashes(values, items)
        return [_hash(canonical(self._normal(value, self._ignored))) for value in values]

    def same(self, old: Any, new: Any) -> bool:
        """Whether two values of a field are the same; None stands for an absent field."""
        return self._same(old, new, _NOTHING)

    def _same(self, old: Any, new: Any, ignored: _Ignored) -> bool:
        if old is None or new is None:
            return old is new
        return canonical(self._normal(old, ignored)) == canonical(self._normal(new, ignored))

    def _normal(self, value: Any, ignored: _Ignored) -> Any:
        if self._plain:
            return _clean(value)
        if isinstance(value, dict):
            return {
                name: self._normal(inner, ignored.get(name, _NOTHING))
                for name, inner in value.items()
                if inner is not None and ignored.get(name, _NOTHING) is not None
            }
        if isinstance(value, list):
            elements = [self._normal(inner, ignored) for inner in value]
            return elements if self._array_order else sorted(elements, key=canonical)
        if isinstance(value, str):
            text = value if self._whitespace else " ".join(value.split())
            return text if self._numbers or not _NUMBER.fullmatch(text) else _digits(text)
        if self._numbers or isinstance(value, bool) or value is None:
            return 0.0 if isinstance(value, float) and value == 0 else value
        return _digits(repr(value))

    # -- keys

    def keys(self, values: Sequence[Any], hashes: list[str]) -> list[str]:
        """Keys of items without occurrence numbers; the hash, where a field of the key is absent or empty."""
        if not self.key:
            return hashes
        if len(self.key) == 1:
            found = [self._key_value(value, self.key[0]) for value in values]
            return [hash_ if key is None else _spell(key) for key, hash_ in zip(found, hashes, strict=True)]
        keys = []
        for value, hash_ in zip(values, hashes, strict=True):
            parts = [self._key_value(value, path) for path in self.key]
            keys.append(hash_ if None in parts else canonical([_spell(part) for part in parts]).decode())
        return keys

    def _key_value(self, value: Any, path: Path) -> Any:
        for name in path:
            value = value.get(name) if type(value) is dict else None
        if not self._plain or type(value) not in _SCALARS:
            value = None if value is None else self._normal(value, _NOTHING)
        return None if value == "" else value

    # -- fields

    def changed_fields(self, old: Any, new: Any) -> Iterator[tuple[Path, Any, Any]]:
        """The fields that differ between two items: path, old value and new value, None for an absent field.

        Objects are compared field by field, other values as a whole.
        """
        if type(old) is dict and type(new) is dict:
            yield from self._changed(old, new, self._ignored, ())
        else:
            # A key can read like another item's hash.
            yield (), old, new

    def _changed(
        self, old: dict[str, Any], new: dict[str, Any], ignored: _Ignored, path: Path
    ) -> Iterator[tuple[Path, Any, Any]]:
        for name in dict.fromkeys((*old, *new)):
            before, after = old.get(name), new.get(name)
            if before is after or (type(before) in _SCALARS and type(before) is type(after) and before == after):
                continue
            inside = ignored.get(name, _NOTHING)
            if inside is None:
                continue
            if type(before) is dict and type(after) is dict and len(path) < MAX_DEPTH:
                yield from self._changed(before, after, inside, (*path, name))
            elif (self._plain and type(before) is str and type(after) is str) or not self._same(before, after, inside):
                yield (*path, name), before, after


def _tree(paths: Iterable[Path]) -> _Ignored:
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


def item_hashes(values: Sequence[Any], items: Sequence[bytes]) -> list[str]:
    """`Identity.hashes` under rules that compare values as they are."""
    return [
        _hash(canonical(_clean(value) if b"null" in item or b"-0" in item else value))
        for value, item in zip(values, items, strict=True)
    ]


def canonical(value: Any) -> bytes:
    """A value as JSON with sorted keys: the same bytes for the same value."""
    try:
        return _encode(value)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _hash(form: bytes) -> str:
    return blake2b(form, digest_size=16).hexdigest()


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    return 0.0 if isinstance(value, float) and value == 0 else value


def _digits(text: str) -> str:
    """The one spelling of a number, however it was spelled."""
    digits = format(Decimal(text).normalize(_EXACT), "f")
    return "0" if digits == "-0" else digits


def _spell(value: Any) -> str:
    """A key's value as text, so that 2 and "2" are one key; a text that another value could be spelled as is quoted."""
    if isinstance(value, str):
        return spell_json(value) if _AMBIGUOUS.fullmatch(value) else spell(value)
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
        self._seen = np.sort(np.concatenate([self._seen, marks]), kind="stable")
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
