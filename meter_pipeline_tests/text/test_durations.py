"""Durations in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.text.durations import every, spell


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
