"""Runs one command as a whole process tree and says what it cost.

The command is started by a small interpreter of its own (this file, run as a script), because Linux counts the memory
of whoever forks a process as that process's peak: started from a program with DuckDB in it, ``true`` takes 100 MB.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TIMED_OUT = 124


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        wall: Seconds from start to exit.
        cpu: Seconds of user and system time, of the command and all the children it waited for.
        memory: Peak resident bytes of the largest single process of the tree.
    """

    wall: float
    cpu: float
    memory: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.memory, other.memory))


class RunFailed(RuntimeError):
    """A measured command did not exit with 0; says which, and shows the end of what it printed."""


def run(command: list[str], *, folder: Path, env: dict[str, str], timeout: int = 900) -> Cost:
    """Runs a command to its end.

    Args:
        command: Program and arguments.
        folder: Where it runs, and where its output is appended to ``output.log``; created if it is not there.
        env: Its whole environment.
        timeout: Seconds after which the command and its children are killed.

    Raises:
        RunFailed: When it exits with anything but 0, or takes longer than the time-out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "output.log"
    launcher = [sys.executable, "-I", "-S", __file__, str(timeout), str(log), *command]
    with subprocess.Popen(
        launcher, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            printed, _ = process.communicate(timeout=timeout + 30)
        finally:
            # Only when we are interrupted is it still there; it takes the command down with it.
            process.terminate()
            process.wait()
    result = json.loads(printed)
    if result["exit"] != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
        why = f"took more than {timeout} s" if result["exit"] == TIMED_OUT else f"exited with {result['exit']}"
        raise RunFailed(f"{' '.join(command)} {why}; the end of its output:\n{tail}")
    return Cost(result["wall"], result["cpu"], result["memory"])


def _launch(timeout: int, log: str, command: list[str]) -> dict[str, float]:
    """Forks, runs and waits for the command; kills its whole session when time is up or it is stopped itself."""
    begin = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        try:
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    expired = False

    def kill(*_: object) -> None:
        nonlocal expired
        expired = True
        os.killpg(pid, signal.SIGKILL)

    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, kill)
    signal.alarm(timeout)
    _, status, usage = os.wait4(pid, 0)
    signal.alarm(0)
    return {
        "wall": time.perf_counter() - begin,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * 1024,
        "exit": TIMED_OUT if expired else os.waitstatus_to_exitcode(status),
    }


if __name__ == "__main__":
    print(json.dumps(_launch(int(sys.argv[1]), sys.argv[2], sys.argv[3:])))
