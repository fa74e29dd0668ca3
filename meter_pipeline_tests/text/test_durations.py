"""Durations in words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.text.durations import every, parse_duration, spell


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [
        (0, "less than a second"),
        (1, "1 second"),
        (89.6, "1 minute 30 seconds"),
        (3599.7, "1 hour"),
        (5400, "1 hour 30 minutes"),
        (86_399, "1 day"),
        (97_200, "1 day 3 hours"),
        (86_400 * 1_500, "1,500 days"),
    ],
)
def test_a_duration_is_spelled_in_its_two_largest_units(seconds: float, spelled: str) -> None:
    assert spell(seconds) == spelled


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [
        (3_600, "every hour"),
        (60, "every minute"),
        (86_400, "every day"),
        (900, "every 15 minutes"),
        (5_400, "every 1 hour 30 minutes"),
        (21_600, "every 6 hours"),
    ],
)
def test_how_often_something_runs_reads_as_people_say_it(seconds: float, spelled: str) -> None:
    assert every(seconds) == spelled


@given(seconds=st.floats(min_value=0, max_value=1e9))
def test_the_words_are_off_by_no_more_than_half_of_the_smaller_unit(seconds: float) -> None:
    sizes = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
    if (words := spell(seconds)) == "less than a second":
        assert seconds <= 0.5
        return
    numbers, units = words.replace(",", "").split()[::2], [unit.removesuffix("s") for unit in words.split()[1::2]]
    spelled = sum(int(number) * sizes[unit] for number, unit in zip(numbers, units, strict=True))
    smaller = [*sizes.values(), 1][list(sizes).index(units[0]) + 1]
    assert abs(spelled - seconds) <= smaller / 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), (" 2 w ", 1_209_600), ("0h", 0)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(text, unit="d") == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "1.5h", "-1h", "1h30m", "24", "5y", "٣h", "1" * 10 + "s", "999999999w"])
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="duration") as raised:
        parse_duration(text)
    assert "\n" not in str(raised.value)


def test_a_number_alone_is_a_duration_only_where_its_unit_is_known() -> None:
    assert parse_duration("3600", unit="s") == timedelta(hours=1)
    with pytest.raises(ValueError, match="'3600' is not a duration"):
        parse_duration("3600")
