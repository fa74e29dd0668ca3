"""Objects whose names are data are maps, long before they are wide; records are not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.sync.items.keyed_objects import NameCounts

WORDS = ("brand", "colour", "width", "height", "depth", "weight", "origin", "year", "warranty", "voltage")
RECORD = {name: name.upper() for name in WORDS}
CURRENCIES = (
    "EUR",
    "USD",
    "GBP",
    "JPY",
    "CHF",
    "SEK",
    "NOK",
    "DKK",
    "PLN",
    "CZK",
    "HUF",
    "RON",
    "BGN",
    "TRY",
    "AUD",
    "CAD",
)
WIDE = {f"property {chr(97 + n // 26)}{chr(97 + n % 26)}": "x" for n in range(60)}


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ([{f"s{n}": n for n in range(day * 30, day * 30 + 60)} for day in range(2)], True),
        ([{f"s{n}": 0 for n in range(60)}], True),
        ([{f"2026-03-{day:02}": day * 1.5 for day in range(1, 31)}], True),
        ([{f"{n:08x}-{n:04x}": {"stock": n} for n in range(10_000_000, 10_000_020)}], True),
        (
            [
                dict.fromkeys(
                    [
                        "EUR",
                        "USD",
                        "GBP",
                        "JPY",
                        "CHF",
                        "SEK",
                        "NOK",
                        "DKK",
                        "PLN",
                        "CZK",
                        "HUF",
                        "RON",
                        "BGN",
                        "TRY",
                        "AUD",
                        "CAD",
                        "NZD",
                    ],
                    1.5,
                )
            ],
            True,
        ),
        # A few of many words each time: tags with counts.
        ([dict.fromkeys((f"{'abcdefghij'[n % 10]}{'klmnopq'[n % 7]}", "z"), n) for n in range(70)], True),
        ([RECORD] * 50, False),
        ([WIDE] * 3, False),
        ([{name: 1} for name in RECORD], False),
        ([{**RECORD, f"note {n}": "x"} for n in range(5)], False),
        ([{f"image{n}": "u" for n in range(1, 9)}], False),
        # Values of many kinds make a record.
        ([{f"f{n}": ["text", 1, [1], {"a": 1}][n % 4] for n in range(40)}], False),
        ([], False),
        ([None, 5, {}], False),
    ],
)
def test_which_objects_are_maps(objects: list[Any], expected: bool) -> None:
    assert NameCounts().add(objects).is_map is expected


OBJECTS = st.lists(
    st.dictionaries(st.sampled_from([f"s{n}" for n in range(30)]), st.sampled_from([1, "x", None])), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(OBJECTS, OBJECTS)
def test_the_answer_depends_on_the_set_of_objects(first: list[Any], second: list[Any]) -> None:
    whole = NameCounts().add([*second, *first])
    assert NameCounts().add(first).merge(NameCounts().add(second)) == whole
