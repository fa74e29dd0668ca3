"""Slices of long sequences, for what takes a bounded number of values at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Slices of at most `size` items, in order; 500 values fit into one SQL statement on every database."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
