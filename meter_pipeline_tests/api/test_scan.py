"""The scanner finds in windows of any size what a JSON parser finds in the whole."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.api.scan import Part, scan
from meter_pipeline.api.syntax import Malformed

texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ['"', "\\", '\\"', "\\\\", '{"a":[', "]}", ",:", "results", "é€😀", "\\u0022", '\\\\"']
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=6
)
seeds = st.integers(0, 2**32)


def written(value: Any, seed: int) -> str:
    """A value as JSON text with white space wherever it may stand, characters escaped or not."""
    return _written(value, random.Random(seed))


def _written(value: Any, chance: random.Random) -> str:
    gap = "".join(chance.choices(" \t\r\n", k=chance.choice((0, 0, 1, 3))))
    if isinstance(value, dict):
        members = [f"{gap}{_written(key, chance)}{gap}:{gap}{_written(inner, chance)}" for key, inner in value.items()]
        return "{" + ",".join(members) + gap + "}"
    if isinstance(value, list):
        return "[" + ",".join(f"{gap}{_written(inner, chance)}{gap}" for inner in value) + gap + "]"
    return json.dumps(value, ensure_ascii=chance.random() < 0.5)


def windows(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def values_of(text: bytes, parts: list[Part]) -> list[tuple[str | None, Any]]:
    found = [(part.key, text[part.start : part.end].strip(b" \t\r\n")) for part in parts]
    return [(key, json.loads(value)) for key, value in found if value or len(found) > 1]


@settings(max_examples=40)
@given(seeds, st.dictionaries(texts | st.just("results"), values, max_size=5), st.integers(1, 30))
def test_members_of_an_object_are_found_whatever_the_windows(seed: int, value: Any, size: int) -> None:
    text = written(value, seed).encode()
    root, parts = scan(windows(text, size), ("results",))
    assert root == b"{"
    assert dict(values_of(text, parts)) == json.loads(text)


@settings(max_examples=40)
@given(seeds, st.lists(values, max_size=6), st.integers(1, 30))
def test_elements_of_an_array_are_found_whatever_the_windows(seed: int, value: Any, size: int) -> None:
    text = written(value, seed).encode()
    root, parts = scan(windows(text, size))
    assert root == b"["
    assert [element for _, element in values_of(text, parts)] == json.loads(text)


@settings(max_examples=40)
@given(seeds, st.lists(values, min_size=1, max_size=8), st.sampled_from([2, 3, 4]), st.integers(1, 60))
def test_cuts_stand_between_whole_items(seed: int, items: Any, depth: int, size: int) -> None:
    results = {2: items, 3: {"k": items}, 4: [{"k": items}]}[depth]
    envelope = {"before": {"a": [1, {"b": 2}]}, "results": results, "after": [[[1, 2], 3], 4]}
    text = written(envelope, seed).encode()
    _, parts = scan(windows(text, size), ("results",))
    part = next(part for part in parts if part.key == "results")
    assert part.commas[depth] == len(items) - 1
    assert all(part.commas[above] == 0 for above in range(2, depth))
    inner = text[part.start : part.end]
    low = part.start + inner.index(b"[", inner.index(b":") if depth > 2 else 0) + 1
    high = part.start + (len(inner.rstrip()) if depth == 2 else inner.rindex(b"]", 0, inner.rindex(b"}")) + 1) - 1
    found = []
    for end in [*part.cuts[depth], high]:
        found += json.loads(b"[" + text[low:end] + b"]")
        low = end + 1
    assert found == items


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1',
        '{"a":"b',
        '{"a":1]',
        '{"a":1}}',
        '{"a":1} x',
        'x{"a":1}',
        '{"a" 1}',
        '{"a":1,}',
        "{:1}",
        '{"a":1:2}',
        "{1:2}",
        "{,}",
        "[1:2]",
        "[1}",
        "]",
        '"text"',
        "",
        '{"a":"\\',
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_broken_structure_is_refused(text: str, size: int) -> None:
    with pytest.raises(Malformed):
        scan(windows(text.encode(), size))
