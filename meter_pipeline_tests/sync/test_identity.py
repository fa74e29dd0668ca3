"""An item's hash is that of its meaning, and equal items of a job are numbered the same however they are read."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.store import columns
from meter_pipeline.sync.identity import Occurrences, item_hashes, number_occurrences


def hashes(*items: str) -> set[str]:
    """Hashes of items given as JSON text."""
    raw = [item.encode() for item in items]
    return set(item_hashes(columns.parse(raw), raw))


def test_spelling_order_and_nulls_are_no_difference() -> None:
    assert (
        len(
            hashes(
                '{"a":1,"b":{"c":2,"d":3}}', '{ "b" : {"d":3,"c":2}, "a" : 1 }', '{"a":1,"b":{"c":2,"d":3},"e":null}'
            )
        )
        == 1
    )
    assert len(hashes('{"a":0.0}', '{"a":-0.0}')) == 1
    assert len(hashes('{"a":[{"b":null}]}', '{"a":[{}]}')) == 1
    assert len(hashes('"\\u00e9"', '"é"')) == 1


def test_values_types_and_order_of_lists_are() -> None:
    different = [
        '{"a":1}',
        '{"a":2}',
        '{"a":"1"}',
        '{"a":true}',
        '{"a":[1,2]}',
        '{"a":[2,1]}',
        '{"a":[1,null,2]}',
        "{}",
        "[]",
        "null",
    ]
    assert len(hashes(*different)) == len(different)


def test_what_the_fast_way_refuses_has_a_hash_too() -> None:
    long = "123456789012345678901234567890"
    different = [f'{{"a":{long}}}', f'{{"a":{long}1}}', '{"a":"\\ud800"}', '{"a":"\\ud801"}']
    assert len(hashes(*different)) == 4
    assert len(hashes(f'{{"a":{long},"b":1}}', f'{{"b":1,"a":{long}}}')) == 1
    assert len(hashes('{"a":"\\ud800","b":1}', '{"b":1,"a":"\\ud800","c":null}')) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abcd"), max_size=30), st.lists(st.integers(1, 8), min_size=1, max_size=30))
def test_occurrences_are_numbered_the_same_whatever_the_pieces(keys: list[str], sizes: list[int]) -> None:
    expected = [key if (n := keys[:i].count(key)) == 0 else f"{key}#{n + 1}" for i, key in enumerate(keys)]
    assert number_occurrences(keys) == expected
    occurrences, numbered, start = Occurrences(), [], 0
    for size in [*sizes, len(keys)]:
        numbered += occurrences.number(keys[start : start + size])
        start += size
    assert numbered == expected
