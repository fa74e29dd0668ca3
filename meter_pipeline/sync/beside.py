"""Calls in other processes beside this one: Python runs one thread at a time, and most of a large load is Python.

The caller's thread makes calls, too. So a process that starts slowly or dies costs time and no result: what it had
begun is done here. A process gets the call and its arguments through its standard input, touches neither lake nor
ledger, and ends with its parent, whose end closes the pipe.

No `ProcessPoolExecutor`: its processes import the user's main module again, and one that dies breaks the whole pool.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from meter_pipeline.host.imports import spare_pandas
from meter_pipeline.host.interpreter import command_of, environment

log = logging.getLogger("meter_pipeline.sync")

Argument = TypeVar("Argument")
Result = TypeVar("Result")

# Arguments and results in memory for each process, this one included.
_DEPTH = 4
# Bytes that a pipe takes at a time, where the system can change that: most arguments and results at once. After each
# portion its thread waits until the caller's thread gives up the interpreter (5 ms), which at 64 KB took all the gain.
_PIPE_BYTES = 2**20
_READY = b"+"


def run_beside(
    call: Callable[[Argument], Result], arguments: Iterable[Argument], helpers: int, *, most: int
) -> Generator[Result, None, None]:
    """Calls `call` with each argument, here and in other processes, and yields the results in order.

    Arguments are drawn in the caller's thread, a bounded number before their results are taken.

    Args:
        call: Can be pickled, as can arguments and results. Each process has a copy: what it keeps from call to call
            must not change what all results come to together. What it raises comes out in the argument's turn, as if
            it had been called here.
        arguments: What to call it with.
        helpers: Processes to start.
        most: Most of them that all threads of this process may have at a time: fewer are started then.
    """
    taken = _places.take(helpers, most)
    try:
        if not taken:
            yield from map(call, arguments)
            return
        crew = _Crew(call, taken)
        try:
            yield from crew.run(arguments)
        finally:
            crew.stop()
    finally:
        _places.give_back(taken)


class _Places:
    """Counts the processes beside this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0

    def take(self, wanted: int, most: int) -> int:
        """Takes as many places as are wanted and free; `most` is how many there are."""
        with self._lock:
            taken = max(min(wanted, most - self._taken), 0)
            self._taken += taken
            return taken

    def give_back(self, taken: int) -> None:
        """Gives places back."""
        with self._lock:
            self._taken -= taken


_places = _Places()


class _Ended(Exception):
    """A process ended before it answered."""


class _Task(NamedTuple):
    argument: Any
    result: Future[Any]


class _Crew:
    """This process and others, which make calls in turn; `stop` ends the others."""

    def __init__(self, call: Callable[[Any], Any], helpers: int) -> None:
        self._call = call
        self._waiting: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._depth = _DEPTH * (helpers + 1)
        pickled = pickle.dumps(call, pickle.HIGHEST_PROTOCOL)
        self._helpers: list[_Helper] = []
        for _ in range(helpers):
            try:
                self._helpers.append(_Helper(pickled, self._waiting))
            except OSError as error:
                log.warning("no process can be started beside this one (%s): the load goes on without it", error)
                break

    def run(self, arguments: Iterable[Any]) -> Generator[Any, None, None]:
        """The results, in the order of the arguments."""
        begun: deque[_Task] = deque()
        for argument in arguments:
            task = _Task(argument, Future())
            begun.append(task)
            self._waiting.put(task)
            while begun and (len(begun) >= self._depth or begun[0].result.done()):
                yield self._result_of(begun.popleft())
        while begun:
            yield self._result_of(begun.popleft())

    def stop(self) -> None:
        """Ends the other processes, whatever they are doing."""
        for helper in self._helpers:
            helper.stop()
        for _ in self._helpers:
            self._waiting.put(None)
        for helper in self._helpers:
            helper.join()

    def _result_of(self, wanted: _Task) -> Any:
        """The result of a task; tasks that wait are done meanwhile."""
        while not wanted.result.done():
            try:
                task = self._waiting.get_nowait()
            except queue.Empty:
                break
            assert task is not None
            try:
                task.result.set_result(self._call(task.argument))
            except Exception as error:
                task.result.set_exception(error)
        try:
            return wanted.result.result()
        except _Ended:
            return self._call(wanted.argument)


class _Helper:
    """Another process, and the thread that hands it tasks."""

    def __init__(self, call: bytes, waiting: queue.SimpleQueue[_Task | None]) -> None:
        self._waiting = waiting
        self._is_stopped = False
        self._process = subprocess.Popen(
            command_of(__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE_BYTES,
            env=environment(),
        )
        self._thread = threading.Thread(target=self._serve, args=(call,), name="meter-beside", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the process."""
        self._is_stopped = True
        self._process.kill()

    def join(self) -> None:
        """Waits for the process and the thread, which ends once its process has ended and no task waits."""
        self._thread.join()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()

    def _serve(self, call: bytes) -> None:
        task: _Task | None = None
        answers, questions = self._process.stdout, self._process.stdin
        assert answers is not None
        assert questions is not None
        try:
            questions.write(call)
            questions.flush()
            # While it starts, all tasks are done by others.
            if answers.read(1) != _READY:
                raise EOFError
            while (task := self._waiting.get()) is not None:
                pickle.dump(task.argument, questions, pickle.HIGHEST_PROTOCOL)
                questions.flush()
                task.result.set_result(pickle.load(answers))  # noqa: S301
        except Exception as error:
            if task is not None:
                task.result.set_exception(_Ended())
            if not self._is_stopped:
                reason = f"exit status {self._process.wait()}" if isinstance(error, (OSError, EOFError)) else error
                log.warning("a process that helped with a large load ended (%s): the load goes on without it", reason)


def main() -> None:
    """Makes the calls that come on the standard input; the end of the pipe ends it, and so does an error.

    The parent makes the call that failed itself, and meets the error there.
    """
    # Ctrl-C is for the parent, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spare_pandas()
    # Nothing else writes among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    questions = sys.stdin.buffer
    with suppress(EOFError):
        call = pickle.load(questions)  # noqa: S301
        answers.write(_READY)
        answers.flush()
        while True:
            pickle.dump(call(pickle.load(questions)), answers, pickle.HIGHEST_PROTOCOL)  # noqa: S301
            answers.flush()


if __name__ == "__main__":
    main()
