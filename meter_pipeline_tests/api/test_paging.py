"""Walking a list while it changes gives what was there throughout, once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.api.paging import Walk
from meter_pipeline_tests.behaviour import thorough


class MovingList:
    """A list on a server: before each answer rows may come at the head or go anywhere."""

    def __init__(self, rows: int, clamp: int, limit: int, chance: float, seed: int, moves: int = 80) -> None:
        self.rows = [f"row {number}" for number in range(rows)]
        self.throughout = set(self.rows)
        self.requests = 0
        self._clamp, self._limit, self._chance, self._moves = clamp, limit, chance, moves
        self._random = random.Random(seed)

    def fetch(self, offset: int) -> tuple[list[str], int]:
        self.requests += 1
        assert self.requests < 3000, "the walk does not end"
        while self._moves and self._random.random() < self._chance:
            self._moves -= 1
            if self._random.random() < 0.5:
                self.rows.insert(0, f"new row {self._moves}")
            elif self.rows:
                self.throughout.discard(self.rows.pop(self._random.randrange(len(self.rows))))
        return self.rows[offset : offset + min(self._clamp, self._limit)], self._limit

    def walk(self) -> list[str]:
        return [row for page in Walk(self.fetch, str).pages() for row in page]


@settings(max_examples=60 * thorough.TIMES)
@given(
    st.integers(0, 40), st.integers(2, 20), st.integers(2, 20), st.sampled_from([0.1, 0.3, 0.6]), st.integers(0, 2**32)
)
def test_rows_that_were_there_throughout_come_exactly_once(
    rows: int, clamp: int, limit: int, chance: float, seed: int
) -> None:
    moving = MovingList(rows, clamp, limit, chance, seed)
    found = moving.walk()
    assert len(found) == len(set(found))
    assert moving.throughout <= set(found)


@pytest.mark.parametrize(("rows", "clamp", "limit"), [(0, 5, 5), (1, 1, 1), (7, 1, 10), (5, 5, 5), (23, 4, 10)])
def test_a_list_that_stands_still_comes_whole_and_in_order(rows: int, clamp: int, limit: int) -> None:
    still = MovingList(rows, clamp, limit, 0, 0)
    assert still.walk() == still.rows


def test_a_list_of_one_page_costs_three_requests() -> None:
    still = MovingList(8, 100, 100, 0, 0)
    still.walk()
    assert still.requests == 3


def test_a_row_that_comes_while_reading_is_found_at_the_head() -> None:
    rows = [f"row {number}" for number in range(6)]
    offsets = []

    def fetch(offset: int) -> tuple[list[str], int]:
        offsets.append(offset)
        if len(offsets) == 3:
            rows.insert(0, "late")
        return rows[offset : offset + 3], 3

    assert {row for page in Walk(fetch, str).pages() for row in page} == set(rows)


def test_a_server_that_ignores_offsets_is_noticed() -> None:
    rows = [f"row {number}" for number in range(30)]
    assert [row for page in Walk(lambda _: (rows, 10), str).pages() for row in page] == rows


def test_reading_may_stop_at_any_page() -> None:
    still = MovingList(50, 10, 10, 0, 0)
    assert next(Walk(still.fetch, str).pages()) == still.rows[:10]
    assert still.requests == 1
