"""How thorough the tests are: the quick ones try some parameters and few examples, those of `make slow` all and many.

`make slow` sets `THOROUGH`: how many times as many examples its property tests try.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

TIMES = int(os.environ.get("THOROUGH", "1"))


def slow(*values: Any, id: str | None = None) -> Any:
    """Parameters that `make slow` tries, and the quick tests do not."""
    return pytest.param(*values, id=id, marks=pytest.mark.slow)


def every(number: int, parameters: Iterable[Any]) -> list[Any]:
    """All parameters: the quick tests try the first and each `number`th after it, `make slow` tries the others, too."""
    return [
        given if place % number == 0 else slow(*given) if isinstance(given, tuple) else slow(given)
        for place, given in enumerate(parameters)
    ]


def examples(quick: int, thorough: int) -> int:
    """How many examples a property test tries: in the quick tests, and in `make slow` for each of `THOROUGH`."""
    return quick if TIMES == 1 else thorough * TIMES
