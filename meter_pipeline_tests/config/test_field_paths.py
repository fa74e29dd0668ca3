"""A field's path can be written down and read again, whatever its names are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.config.field_paths import parse_path, spell_path


def test_plain_names_stay_as_they_are() -> None:
    assert spell_path(["specs", "weight in kg"]) == "specs.weight in kg"
    assert parse_path("specs.weight") == ("specs", "weight")
    assert parse_path('"odd.name".x') == ("odd.name", "x")


@settings(max_examples=50)
@given(st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_any_path_comes_back(names: list[str]) -> None:
    assert parse_path(spell_path(names)) == tuple(names)


@pytest.mark.parametrize("text", ["", ".a", "a..b", "a.", '"a"b'])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid field path"):
        parse_path(text)
