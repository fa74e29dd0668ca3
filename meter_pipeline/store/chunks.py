"""Splits long lists of values, so that one SQL statement or one transaction takes a bounded number of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Value = TypeVar("Value")

#: Values that one SQL statement takes. SQLite allows about 32,000; longer statements are no faster.
VALUES_PER_STATEMENT = 500


def chunks(values: Sequence[Value], size: int = VALUES_PER_STATEMENT) -> Iterator[Sequence[Value]]:
    """Yields the values in order, in slices of `size`; the last slice may be shorter, and none is empty."""
    return (values[start : start + size] for start in range(0, len(values), size))
