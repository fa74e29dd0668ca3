"""How many threads fetch at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.sync.loading.gate import Gate


def test_one_thread_fetches_while_the_server_answers_at_once() -> None:
    gate = Gate(8)
    for _ in range(8):
        gate.record(waited=0.0001, worked=0.001)
    assert gate.allowed == 1


def test_threads_fetch_side_by_side_as_soon_as_the_server_is_slow() -> None:
    gate = Gate(8)
    gate.record(waited=0.1, worked=0.001)
    assert gate.allowed == 8


def test_a_request_that_waited_for_something_else_does_not_count_as_a_slow_server() -> None:
    gate = Gate(8)
    gate.record(waited=0.0001, worked=0.001)
    for _ in range(7):
        gate.record(waited=0.1, worked=0.001)
    assert gate.allowed == 1
    gate.record(waited=0.1, worked=0.001)
    assert gate.allowed == 8


def test_a_thread_behind_a_slow_body_gets_its_turn_all_the_same() -> None:
    gate = Gate(4)
    together = threading.Barrier(4, timeout=30)

    def fetch(_: int) -> None:
        with gate:
            together.wait()  # passes only once all four are inside

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch, range(4)))


@given(st.lists(st.tuples(st.floats(-1e-3, 1e6), st.floats(0, 1e6)), max_size=30), st.integers(1, 64))
def test_there_is_always_a_thread_and_never_more_than_the_limit(samples: list[tuple[float, float]], most: int) -> None:
    gate = Gate(most)
    for waited, worked in samples:
        gate.record(waited, worked)
        assert 1 <= gate.allowed <= most
