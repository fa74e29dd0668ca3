"""A static server of Meter's API that is never what a benchmark waits for: keep-alive, answers cut from a file.

Run it as ``python -m benchmarks.server FOLDER``, or with ``history STRATEGIES JOBS ITEMS HOLD`` in place of a folder:
it prints its address and serves until its standard input closes, so that it never outlives whoever started it. `Served`
does that from Python.

Every part of the API that a sync reads is there under ``/v1`` and ``/api``: strategies, schedules, jobs (newest first,
without results), a job, and a schedule's changes (none, unless `Served.leave_unseen` makes some). ``/_bench/counts``
tells what was asked since ``/_bench/reset``; neither is counted.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import cast

from benchmarks.answers import NOT_FOUND, PIECE, UNAUTHORIZED, Answers, Piece, Recorded, World
from benchmarks.history import History

API_KEY = "sk_live_bench"

_AUTH = b"\r\nauthorization: bearer " + API_KEY.encode() + b"\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests have no bodies here, so a request ends at its empty line."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._buffer = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._answers.counts["connections"] += 1

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sending is not None:
            self._sending.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._serve()

    def _serve(self) -> None:
        while self._sending is None and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[: end + 2], self._buffer[end + 4 :]
            method, _, rest = head.partition(b" ")
            target = rest.partition(b" ")[0].decode("ascii", "replace")
            if target.startswith("/_bench/"):
                self._transport.write(self._answers.control(target))
            elif _AUTH not in head.lower():
                self._transport.write(UNAUTHORIZED)
            elif method != b"GET":
                self._transport.write(NOT_FOUND)
                self._transport.close()
            elif isinstance(answer := self._answers.to(target), bytes):
                self._transport.write(answer)
            else:
                self._sending = asyncio.ensure_future(self._send(answer))

    async def _send(self, body: list[Piece]) -> None:
        """Sends a body piece by piece, no faster than the reader takes it."""
        self._transport.write(b"%b%d\r\n\r\n" % (_OK, sum(map(len, body))))
        for piece in body:
            for begin in range(0, len(piece), PIECE):
                await self._writable.wait()
                self._transport.write(bytes(piece[begin : begin + PIECE]))
        self._sending = None
        self._serve()


async def _run(world: World, port: int) -> None:
    answers = Answers(world)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    parent_gone = asyncio.Event()

    def wait_for_parent() -> None:
        with suppress(OSError):
            sys.stdin.buffer.read()
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(parent_gone.set)

    threading.Thread(target=wait_for_parent, daemon=True).start()
    await parent_gone.wait()
    server.close()


def main() -> None:
    """Serves a world until standard input closes."""
    runner: Callable[..., object] = asyncio.run
    with suppress(ImportError):
        import uvloop

        runner = uvloop.run
    kind, *sizes = sys.argv[1:]
    runner(_run(History(*map(int, sizes)) if kind == "history" else Recorded(Path(kind)), 0))


class Served:
    """A world being served by a process of its own, for as long as the ``with`` block lasts.

    Attributes:
        url: Its address.
        api_key: The only key that is accepted.
    """

    api_key = API_KEY

    def __init__(self, world: Path | History) -> None:
        self._arguments = (
            ["history", *(str(size) for size in astuple(world))] if isinstance(world, History) else [str(world)]
        )

    def __enter__(self) -> Served:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"the benchmark's server did not start (exit code {self._process.wait(10)})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process.stdout.close()

    def counts(self) -> dict[str, int]:
        """Requests since the last reset, by kind, with the number of ``connections`` opened."""
        return self._control("counts")

    def reset(self) -> None:
        """Begins counting afresh."""
        self._control("reset")

    def show(self, jobs: int) -> None:
        """Sets how many jobs of each strategy there are."""
        self._control(f"show?jobs={jobs}")

    def leave_unseen(self, jobs: int) -> None:
        """Makes the latest jobs of each schedule unseen changes, until they are marked as seen."""
        self._control(f"unseen?jobs={jobs}")

    def _control(self, what: str) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/_bench/{what}", timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)
        # The question came over a connection of its own, which is nobody's cost.
        if counts.get("connections"):
            counts["connections"] -= 1
        return counts


if __name__ == "__main__":
    main()
