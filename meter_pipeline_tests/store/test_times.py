"""Waits between attempts grow to a bound, however many attempts there were."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.times import back_off, moment, retry_at

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def test_each_attempt_doubles_the_wait_up_to_the_last_one() -> None:
    waits = [back_off(attempts, MINUTE, HOUR) for attempts in range(1, 9)]
    assert [wait / MINUTE for wait in waits] == [1, 2, 4, 8, 16, 32, 60, 60]


@given(st.integers(0, 10**9))
def test_a_retry_is_due_between_the_first_and_the_last_wait_from_now(attempts: int) -> None:
    before = datetime.now(timezone.utc)
    due = moment(retry_at(attempts, MINUTE, HOUR))
    assert before + MINUTE <= due <= datetime.now(timezone.utc) + HOUR


@given(st.lists(st.integers()), st.integers(1, 7))
def test_chunks_have_all_values_in_order_and_none_is_empty_or_too_long(values: list[int], size: int) -> None:
    parts = list(chunks(values, size))
    assert [value for part in parts for value in part] == values
    assert all(1 <= len(part) <= size for part in parts)
