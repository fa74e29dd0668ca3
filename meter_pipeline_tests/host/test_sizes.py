"""Sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.config.settings import Settings
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.host.sizes import parse_size, spell_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("64MB", 64_000_000), ("4 GiB", 4 * 2**30), ("0.5kb", 500), (" 12 b ", 12), ("1.5TiB", 3 * 2**39)],
)
def test_a_size_has_a_unit_or_none(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.text(max_size=20))
def test_what_is_no_size_is_refused_in_words(text: str) -> None:
    try:
        assert parse_size(text) >= 1
    except ValueError as error:
        assert "is not a size" in str(error)  # noqa: PT017


@given(st.integers(0, 10**15))
def test_a_size_is_spelled_short_and_near_the_truth(size: int) -> None:
    text = spell_size(size)
    assert len(text) <= 12
    if size >= 1000:
        assert parse_size(text) == pytest.approx(size, rel=0.06)


def test_bounds_are_settings_and_a_wrong_one_is_refused_by_name() -> None:
    given = Settings.from_env({"METER_MAX_BODY": "1GB", "METER_KEEP_FREE": "5", "METER_SPOOL_DIR": "/x/y"}, None)
    assert (given.max_body, given.max_record, given.keep_free) == (10**9, 64_000_000, 5)
    assert str(given.spool) == "/x/y"
    assert Settings.from_env({"METER_DATA_DIR": "/d"}, None).spool.as_posix() == "/d/spool"
    for name in ("METER_MAX_BODY", "METER_MAX_RECORD", "METER_MAX_PAGE", "METER_KEEP_FREE"):
        with pytest.raises(SettingsError, match=f"^{name}: '12 parsecs' is not a size"):
            Settings.from_env({name: "12 parsecs"}, None)
