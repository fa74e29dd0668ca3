"""Objects whose names are data are maps, long before they are wide; records are not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.store import columns
from meter_pipeline.store.columns import JSON, infer, infer_fields, merge
from meter_pipeline.store.keyed_names import are_data

STAMP = ("2026-03-01T00:00:00.000000Z", "j", 0)
WORDS = [f"property {chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(399)]
CODES = ["EUR", "USD", "GBP", "JPY", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN", "TRY", "AUD", "CAD"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([f"s{n}" for n in range(16)], True),
        ([f"s{n}" for n in range(15)], False),
        ([f"2026-03-{day:02}" for day in range(1, 31)], True),
        ([f"{n:08x}-{n:04x}" for n in range(10_000_000, 10_000_020)], True),
        (CODES, True),
        ([str(n) for n in range(900, 1_000)], True),
        (WORDS, False),
        ([*WORDS, "one more"], True),
        ([f"image{n}" for n in range(1, 9)] + [f"label{n}" for n in range(1, 9)] + WORDS[:20], False),
        ([], False),
    ],
)
def test_which_names_are_data(names: list[str], expected: bool) -> None:
    assert are_data(names) is expected


_OBJECTS = st.dictionaries(
    st.one_of(st.integers(0, 30).map(lambda n: f"s{n}"), st.sampled_from("abc")), st.sampled_from([1, 1.5, "x", None])
)


@settings(max_examples=200)
@given(_OBJECTS, _OBJECTS, _OBJECTS)
def test_the_type_depends_on_the_set_of_objects(
    a: dict[str, object], b: dict[str, object], c: dict[str, object]
) -> None:
    whole = infer([a, b, c], STAMP)
    x, y, z = (infer([value], STAMP) for value in (a, b, c))
    for merged in (merge(merge(x, y), z), merge(x, merge(y, z)), merge(merge(z, x), y), merge(whole, y)):
        assert (merged == JSON) == (whole == JSON)
    if whole == JSON:
        assert merge(whole, infer([{"d": 1}], STAMP)) == JSON


def test_columns_of_an_older_version_become_what_their_values_would_be_now() -> None:
    def field_of(value: object) -> tuple[columns.Field, ...]:
        return infer_fields([{"v": value}], STAMP)

    wide = columns.Type("struct", tuple(columns.Field(f"s{n}", columns.INTEGER, STAMP) for n in range(20)))
    old = (columns.Field("v", columns.Type("list", element=wide), STAMP),)
    assert columns.settle(old) == field_of([{f"s{n}": 1 for n in range(20)}])
    for value in (5, [1], {"a": {"b": [1]}}, None):
        assert columns.settle(field_of(value)) == field_of(value)
