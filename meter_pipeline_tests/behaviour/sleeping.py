"""A `sync` command in another process that is stopped (SIGSTOP) before its first commit, until it is woken."""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from meter_pipeline.cli import run
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline_tests.forking import PROCESSES, import_before_forks

import_before_forks(__name__)


def fall_asleep(output: Path, environment: dict[str, str]) -> BaseProcess:
    """Starts the command and waits until it is stopped; what it prints goes into a file."""
    process = PROCESSES.Process(target=_sync, args=(output, environment))
    process.start()
    deadline = time.monotonic() + 60
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        assert process.is_alive(), output.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def wake(process: BaseProcess) -> int | None:
    """Lets the command go on to its end; returns its exit code."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGCONT)
    process.join()
    return process.exitcode


def _sync(output: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    sys.stdout = sys.stderr = output.open("w")
    commit, is_awake = Ledger.commit, [False]

    def stopping(self: Ledger, *arguments: Any) -> int:
        if not is_awake[0]:
            is_awake[0] = True
            # Not while another thread is in the middle of a write, which would keep everybody else from the file.
            with self._write_lock:
                os.kill(os.getpid(), signal.SIGSTOP)
        return commit(self, *arguments)

    Ledger.commit = stopping  # type: ignore[method-assign]
    code = run(["sync"])
    sys.stdout.flush()
    os._exit(code)
