"""What makes an item the same item: its hash over canonical JSON, and its key within a job.

Canonical means: keys sorted, null the same as absent, `-0.0` the same as `0.0`. Rows carry no id of their own in the
API, so without a configured key the hash is the key, and equal items of a job are told apart by an occurrence number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

_encode = msgspec.json.Encoder(order="sorted").encode


def item_hashes(values: Sequence[Any], items: Sequence[bytes]) -> list[str]:
    """Hashes of parsed items, 32 hex digits each; `items` are their raw texts."""
    return [
        blake2b(canonical(_clean(value) if b"null" in item or b"-0" in item else value), digest_size=16).hexdigest()
        for value, item in zip(values, items, strict=True)
    ]


def canonical(value: Any) -> bytes:
    """A value as JSON with sorted keys, the same bytes for the same value."""
    try:
        return _encode(value)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    return 0.0 if isinstance(value, float) and value == 0 else value


class Occurrences:
    """Numbers the occurrences of equal keys within one job, fed in pieces; eight bytes of memory an item."""

    def __init__(self) -> None:
        self._seen = np.empty(0, np.int64)
        self._repeated: dict[str, int] = {}

    def number(self, keys: Sequence[str]) -> list[str]:
        """The keys, `#2`, `#3` ... behind those that occurred before in this job."""
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
    """`Occurrences` for a job that comes in one piece."""
    if len(set(keys)) == len(keys):
        return list(keys)
    return Occurrences().number(keys)
