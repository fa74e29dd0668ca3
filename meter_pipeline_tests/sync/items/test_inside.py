"""Elements are cut out of received items byte by byte, at any depth, and what has no such array stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.config.field_paths import spell_path
from meter_pipeline.sync.items.inside import take_out

NAMES = st.text(max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=9,
)


@given(st.lists(NAMES, min_size=1, max_size=3), st.lists(VALUES, max_size=6), VALUES, st.sampled_from([None, 1]))
def test_the_elements_of_the_array_are_the_items(
    names: list[str], elements: list[Any], beside: Any, indent: int | None
) -> None:
    spelled = [json.dumps(element, indent=indent) for element in elements]
    text = f"[ {' , '.join(spelled)} ]"
    for name in reversed(names):
        text = json.dumps({f"{name} too": beside})[:-1] + f", {json.dumps(name)} :\n{text} }}"
    found = take_out([text.encode()], spell_path(names))
    assert found == [element.encode() for element in spelled]


@pytest.mark.parametrize(
    "item",
    [
        b"[1]",
        b"null",
        b"7",
        b'"rows"',
        b"{}",
        b'{"rows": null}',
        b'{"rows": {"a": 1}}',
        b'{"rows": 7, "a": [1]}',
        b'{"rows":"\\ud800"}',
    ],
)
def test_an_item_without_the_array_is_an_item(item: bytes) -> None:
    assert take_out([item, b'{"rows": [1, "x"]}', b'{"rows": []}'], "rows") == [item, b"1", b'"x"']


def test_numbers_and_half_surrogates_are_kept_as_they_were_received() -> None:
    item = b'{"rows": [{"n": 1.50, "big": 123456789012345678901}, {"s": "\\ud800"}]}'
    first, second = take_out([item], "rows")
    assert first == b'{"n": 1.50, "big": 123456789012345678901}'
    assert second == b'{"s": "\\ud800"}'
