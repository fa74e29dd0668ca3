"""Items as JSON text: scalars and arrays become objects, and text that is not JSON is refused."""

from __future__ import annotations

import pytest

from meter_pipeline.store.item_json import ItemError, as_objects, parse_items


def test_scalars_and_arrays_as_items_are_the_field_value() -> None:
    assert as_objects([1, [2], {"a": 1}, None]) == [{"value": 1}, {"value": [2]}, {"a": 1}, {}]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b'{"a":NaN}', "an item is not valid JSON: NaN is not a JSON value"),
        (b'{"a":', "an item is not valid JSON: "),
        (b'{"a":"\xff"}', "an item is not UTF-8: "),
        (b"[" * 100_000 + b"]" * 100_000, "an item is nested deeper than 256 levels"),
        (b"[" * 257 + b"]" * 257, "an item is nested deeper than 256 levels"),
    ],
)
def test_what_is_no_json_is_refused_with_the_reason(item: bytes, reason: str) -> None:
    with pytest.raises(ItemError) as raised:
        parse_items([b'{"a":1}', item])
    assert str(raised.value).startswith(reason)
    assert "\n" not in str(raised.value)
