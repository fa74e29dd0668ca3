"""Calls in other processes give the results of calls in this one, in order, whatever happens to the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from meter_pipeline.sync.beside import run_beside
from meter_pipeline_tests.behaviour.thorough import slow


class Square:
    """Squares numbers; the parent's calls wait until another process has made one, so that it has to."""

    def __init__(self, folder: Path, *, is_killed: bool = False, fails_at: int = -1) -> None:
        self.folder, self.is_killed, self.fails_at, self.parent = folder, is_killed, fails_at, os.getpid()

    def __call__(self, number: int) -> tuple[int, int]:
        called = self.folder / "called"
        if os.getpid() != self.parent:
            called.touch()
            if self.is_killed:
                os.kill(os.getpid(), signal.SIGKILL)
        else:
            wait_for(called)
        if number == self.fails_at:
            raise ZeroDivisionError(f"at {number}")
        return number * number, os.getpid()


def wait_for(path: Path) -> None:
    """Waits for a file to appear."""
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, "no other process has made a call"
        time.sleep(0.01)


def find_children() -> set[str]:
    """Ids of the processes that this one has started and not waited for, whichever of its threads did."""
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """No thread and no process is left when a test ends."""
    threads, children = set(threading.enumerate()), find_children()
    yield
    assert set(threading.enumerate()) <= threads
    assert find_children() <= children


@pytest.mark.parametrize("helpers", [slow(1), 2])
def test_results_come_in_order_and_from_several_processes(tmp_path: Path, helpers: int) -> None:
    found = list(run_beside(Square(tmp_path), range(100), helpers, most=2))
    assert [square for square, _ in found] == [number * number for number in range(100)]
    pids = {pid for _, pid in found}
    assert len(pids) >= 2
    assert os.getpid() in pids


def test_what_a_killed_process_had_begun_is_done_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = list(run_beside(Square(tmp_path, is_killed=True), range(50), 1, most=1))
    assert found == [(number * number, os.getpid()) for number in range(50)]
    (line,) = caplog.messages
    assert line == "a process that helped with a large load ended (exit status -9): the load goes on without it"


def test_an_error_of_a_call_comes_out_in_its_turn(tmp_path: Path) -> None:
    found: list[int] = []
    results = run_beside(Square(tmp_path, fails_at=30), range(100), 1, most=1)
    with pytest.raises(ZeroDivisionError, match="at 30"):
        found.extend(square for square, _ in results)
    assert found == [number * number for number in range(30)]


def test_a_machine_that_starts_no_process_does_it_all_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "called").touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    found = list(run_beside(Square(tmp_path), range(20), 2, most=2))
    assert found == [(number * number, os.getpid()) for number in range(20)]
    (line,) = caplog.messages
    assert line.startswith("no process can be started beside this one (")


def test_an_error_of_the_arguments_comes_out_and_ends_the_processes(tmp_path: Path) -> None:
    def numbers() -> Iterator[int]:
        yield from range(20)
        raise ValueError("no more numbers")

    with pytest.raises(ValueError, match="no more numbers"):
        list(run_beside(Square(tmp_path), numbers(), 1, most=1))


def test_results_that_nobody_takes_end_the_processes(tmp_path: Path) -> None:
    with closing(run_beside(Square(tmp_path), range(1_000), 1, most=1)) as results:
        assert next(results)[0] == 0


def test_a_bounded_number_of_arguments_is_drawn_ahead(tmp_path: Path) -> None:
    drawn: list[int] = []
    numbers = (drawn.append(number) or number for number in range(200))
    for place, _ in enumerate(run_beside(Square(tmp_path), numbers, 1, most=1)):
        assert len(drawn) <= place + 8


def test_all_threads_together_keep_to_the_number_of_processes(tmp_path: Path) -> None:
    with closing(run_beside(Square(tmp_path), range(100), 1, most=1)) as first:
        next(first)
        second = list(run_beside(Square(tmp_path), range(20), 1, most=1))
    assert {pid for _, pid in second} == {os.getpid()}


def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path; from meter_pipeline.sync.beside import _Crew;"
        "crew = _Crew(time.sleep, 1); print(crew._helpers[0]._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
