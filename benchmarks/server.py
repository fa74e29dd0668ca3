"""A static server of Meter's API that is never what a benchmark waits for: keep-alive, answers cut from a file.

Run it as ``python -m benchmarks.server FOLDER``: it prints its address and serves until its standard input closes, so
that it never outlives whoever started it. `Served` does that from Python.

Every part of the API that a sync reads is there under ``/v1`` and ``/api``: strategies, schedules, jobs (newest first,
without results), a job, and a schedule's changes (always none). ``/_bench/counts`` tells what was asked since
``/_bench/reset``; neither is counted.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import cast
from urllib.parse import parse_qs

from benchmarks.worlds import BODIES, INDEX

API_KEY = "sk_live_bench"
MAX_LIMIT = 100
PIECE = 1 << 20

_AUTH = b"\r\nauthorization: bearer " + API_KEY.encode() + b"\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "


def _answer(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_NOT_FOUND = _answer("404 Not Found", b'{"detail":"Not found"}')
_UNAUTHORIZED = _answer("401 Unauthorized", b'{"detail":"Invalid API key"}')


class Answers:
    """What to answer to a target: ready bytes, or a slice of the file of bodies."""

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        with (folder / BODIES).open("rb") as file:
            self._bodies = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._jobs = {row["id"]: (begin, length) for row, begin, length in index["jobs"]}
        self._rows = [(row, json.dumps(row, ensure_ascii=False).encode()) for row, _, _ in index["jobs"]]
        self._lists = {
            prefix: {name: _rows(index[name], prefix) for name in ("strategies", "schedules")}
            for prefix in ("v1", "api")
        }
        self._schedules = {row["schedule_id"] for row in index["schedules"]}
        self.counts: Counter[str] = Counter()

    def to(self, target: str) -> bytes | memoryview:
        """The whole answer to a GET, or a view of the body when it has to be sent in pieces."""
        path, _, query = target.partition("?")
        match path.strip("/").split("/"):
            case ["v1" | "api", "jobs", job_id] if job_id in self._jobs:
                self.counts["job"] += 1
                begin, length = self._jobs[job_id]
                if length > PIECE:
                    return memoryview(self._bodies)[begin : begin + length]
                return b"%b%d\r\n\r\n%b" % (_OK, length, self._bodies[begin : begin + length])
            case ["v1" | "api", "jobs"]:
                self.counts["jobs"] += 1
                return self._page(self._chosen(query), query)
            case ["v1" | "api" as prefix, "strategies"]:
                self.counts["strategies"] += 1
                return self._page(self._lists[prefix]["strategies"], query)
            case ["v1" | "api" as prefix, "schedules"]:
                self.counts["schedules"] += 1
                return _answer("200 OK", b"[" + b",".join(self._lists[prefix]["schedules"]) + b"]")
            case ["v1" | "api", "schedules", schedule_id, "changes"] if schedule_id in self._schedules:
                self.counts["changes"] += 1
                return _answer("200 OK", b'{"changes":[],"count":0,"marked_seen":false}')
        self.counts["other"] += 1
        return _NOT_FOUND

    def control(self, target: str) -> bytes:
        """The answer to a question about the server itself."""
        if target.endswith("/reset"):
            self.counts.clear()
        return _answer("200 OK", json.dumps(self.counts).encode())

    def _chosen(self, query: str) -> list[bytes]:
        """The job rows that the filters of a query let through."""
        given = {k: v[-1] for k, v in parse_qs(query).items() if k in ("strategy_id", "schedule_id", "status")}
        since = parse_qs(query).get("since", [""])[-1]
        if not given and not since:
            return [text for _, text in self._rows]
        return [
            text
            for row, text in self._rows
            if row["created_at"] >= since and all(row[key] == value for key, value in given.items())
        ]

    def _page(self, rows: list[bytes], query: str) -> bytes:
        asked = parse_qs(query)
        limit = min(int(asked.get("limit", ["20"])[-1]), MAX_LIMIT)
        offset = int(asked.get("offset", ["0"])[-1])
        return _answer("200 OK", b"[" + b",".join(rows[offset : offset + limit]) + b"]")


def _rows(records: list[dict[str, object]], prefix: str) -> list[bytes]:
    """Records as list rows of a dialect: ``/v1`` says ``id`` where ``/api`` says ``strategy_id`` or ``schedule_id``."""
    if prefix == "v1":
        records = [{"id": next(iter(row.values())), **dict(list(row.items())[1:])} for row in records]
    return [json.dumps(row, ensure_ascii=False).encode() for row in records]


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
                self._transport.write(_UNAUTHORIZED)
            elif method != b"GET":
                self._transport.write(_NOT_FOUND)
                self._transport.close()
            elif isinstance(answer := self._answers.to(target), bytes):
                self._transport.write(answer)
            else:
                self._sending = asyncio.ensure_future(self._send(answer))

    async def _send(self, body: memoryview) -> None:
        """Sends a body piece by piece, no faster than the reader takes it."""
        self._transport.write(b"%b%d\r\n\r\n" % (_OK, len(body)))
        for begin in range(0, len(body), PIECE):
            await self._writable.wait()
            self._transport.write(bytes(body[begin : begin + PIECE]))
        self._sending = None
        self._serve()


async def _run(folder: Path, port: int) -> None:
    answers = Answers(folder)
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
    runner(_run(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))


class Served:
    """A world being served by a process of its own, for as long as the ``with`` block lasts.

    Attributes:
        url: Its address.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Served:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", str(self._folder)],
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

    def _control(self, what: str) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/_bench/{what}", timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)
        # The question came over a connection of its own, which is nobody's cost.
        if counts.get("connections"):
            counts["connections"] -= 1
        return counts


if __name__ == "__main__":
    main()
