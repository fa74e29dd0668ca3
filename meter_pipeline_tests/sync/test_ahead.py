"""Calls run a few ahead of their consumer: in order, bounded, and released when the consumer stops."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.sync.ahead import run_ahead


@given(st.lists(st.integers(), max_size=30), st.integers(1, 4), st.integers(1, 8))
def test_every_item_comes_once_with_its_result_in_order(items: list[int], workers: int, depth: int) -> None:
    found = list(run_ahead(lambda item: item * 2, items, workers, name="test", depth=depth))
    assert found == [(item, item * 2) for item in items]


def test_no_more_calls_are_started_than_the_depth_allows() -> None:
    drawn: list[int] = []
    calls = run_ahead(lambda item: item, (drawn.append(item) or item for item in range(20)), 2, name="test", depth=5)
    with closing(calls):
        for item, _ in calls:
            assert len(drawn) <= item + 5
    assert len(drawn) == 20


def test_calls_that_were_started_are_yielded_once_the_items_end_early() -> None:
    seen: list[int] = []
    items = takewhile(lambda _: len(seen) < 3, range(100))
    for item, _ in run_ahead(lambda item: item, items, 4, name="test"):
        seen.append(item)
    assert seen == list(range(6))


def test_results_that_the_consumer_never_takes_are_discarded_or_not_computed() -> None:
    computed: list[int] = []
    discarded: list[int] = []
    is_first_taken = threading.Event()

    def call(item: int) -> int:
        if item:
            is_first_taken.wait(20)
        computed.append(item)
        return item

    calls = run_ahead(call, range(10), 2, name="test", depth=6, discard=discarded.append)
    assert next(calls) == (0, 0)
    is_first_taken.set()
    calls.close()
    assert sorted([*discarded, 0]) == sorted(computed)


def test_an_error_of_a_call_reaches_the_consumer_in_its_turn() -> None:
    def call(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    calls = run_ahead(call, range(5), 3, name="test")
    assert [next(calls), next(calls)] == [(0, 0), (1, 1)]
    with pytest.raises(ValueError, match="two"):
        next(calls)
