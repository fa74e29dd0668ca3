"""What the benchmark's server answers: lists, bodies and changes of a world, whether recorded or computed."""

from __future__ import annotations

import json
import mmap
from collections import Counter
from pathlib import Path
from typing import Protocol, TypeAlias
from urllib.parse import parse_qs

from benchmarks.worlds import BODIES, INDEX, schedule_record

MAX_LIMIT = 100
#: Bytes above which a body is sent in pieces.
PIECE = 1 << 20


def make_answer(status: str, body: bytes) -> bytes:
    """A whole answer: head and JSON body."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


NOT_FOUND = make_answer("404 Not Found", b'{"detail":"Not found"}')
UNAUTHORIZED = make_answer("401 Unauthorized", b'{"detail":"Invalid API key"}')


class World(Protocol):
    """What is served: a folder of recorded answers, or a history that is computed."""

    @property
    def jobs(self) -> int:
        """Jobs of each strategy."""

    def strategy_records(self) -> list[dict[str, object]]:
        """The rows of the list of strategies."""

    def schedule_records(self, shown: int) -> list[dict[str, object]]:
        """The rows of the list of schedules after `shown` runs."""

    def count_jobs(self, strategy: int | None, since: str | None, shown: int) -> int:
        """Jobs of all strategies, or of one, that were created at `since` (ISO 8601) or later."""

    def job_rows(self, strategy: int | None, shown: int, places: range) -> list[bytes]:
        """Rows of the list of jobs, newest first, by their places in it, as JSON texts."""

    def find_job(self, job_id: str, shown: int) -> tuple[int, int] | None:
        """Number of the strategy, and run, of a job's id."""

    def body(self, number: int, run: int) -> bytes | memoryview:
        """A job's body."""


class Recorded:
    """A folder that `write_world` wrote."""

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        with (folder / BODIES).open("rb") as file:
            self._bodies = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self._strategies, self._schedules = index["strategies"], index["schedules"]
        numbers = {row["strategy_id"]: number for number, row in enumerate(self._strategies)}
        # Of each job, oldest first: strategy, row as JSON text, time of creation; and where its body is.
        self._runs: list[list[tuple[bytes, str, int, int]]] = [[] for _ in numbers]
        self._ids: dict[str, tuple[int, int]] = {}
        self._order: list[tuple[int, int]] = []
        for row, begin, length in reversed(index["jobs"]):
            own = self._runs[numbers[row["strategy_id"]]]
            self._ids[row["id"]] = numbers[row["strategy_id"]], len(own)
            self._order.append(self._ids[row["id"]])
            own.append((json.dumps(row, ensure_ascii=False).encode(), row["created_at"], begin, length))
        self._listed: dict[int, list[tuple[int, int]]] = {}

    @property
    def jobs(self) -> int:
        """Jobs of each strategy."""
        return max(map(len, self._runs))

    def strategy_records(self) -> list[dict[str, object]]:
        """The rows of the list of strategies."""
        return list(self._strategies)

    def schedule_records(self, shown: int) -> list[dict[str, object]]:
        """The rows of the list of schedules after `shown` runs."""
        return [schedule_record(number, shown) for number in range(len(self._schedules))]

    def count_jobs(self, strategy: int | None, since: str | None, shown: int) -> int:
        """Jobs of all strategies, or of one, that were created at `since` (ISO 8601) or later."""
        chosen = self._chosen(strategy, shown)
        if not since:
            return len(chosen)
        return next((n for n, (number, run) in enumerate(chosen) if self._runs[number][run][1] < since), len(chosen))

    def job_rows(self, strategy: int | None, shown: int, places: range) -> list[bytes]:
        """Rows of the list of jobs, newest first, by their places in it, as JSON texts."""
        chosen = self._chosen(strategy, shown)[places.start : places.stop]
        return [self._runs[number][run][0] for number, run in chosen]

    def _chosen(self, strategy: int | None, shown: int) -> list[tuple[int, int]]:
        if strategy is not None:
            return [(strategy, run) for run in range(min(shown, len(self._runs[strategy])) - 1, -1, -1)]
        if shown not in self._listed:
            self._listed = {shown: [place for place in reversed(self._order) if place[1] < shown]}
        return self._listed[shown]

    def find_job(self, job_id: str, shown: int) -> tuple[int, int] | None:
        """Number of the strategy, and run, of a job's id."""
        found = self._ids.get(job_id)
        return found if found is not None and found[1] < shown else None

    def body(self, number: int, run: int) -> memoryview:
        """A job's body."""
        _, _, begin, length = self._runs[number][run]
        return self._bodies[begin : begin + length]


Piece: TypeAlias = "bytes | memoryview"


class Answers:
    """What to answer to a target: ready bytes, or pieces of a body that is too large for that.

    Attributes:
        shown: Jobs of each strategy that there are by now.
        unseen: By schedule, how many of its latest jobs are unseen changes; none until `control` sets them.
        counts: Requests by kind.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        strategies = world.strategy_records()
        self._strategies = {str(row["strategy_id"]): number for number, row in enumerate(strategies)}
        self._strategy_rows = {prefix: _rows(strategies, prefix) for prefix in ("v1", "api")}
        self.counts: Counter[str] = Counter()
        self.unseen: dict[str, int] = {}
        self._show(world.jobs)

    def _show(self, jobs: int) -> None:
        self.shown = jobs
        schedules = self._world.schedule_records(jobs)
        self._schedules = {str(row["schedule_id"]): number for number, row in enumerate(schedules)}
        self._schedule_rows = {prefix: _rows(schedules, prefix) for prefix in ("v1", "api")}

    def to(self, target: str) -> bytes | list[Piece]:
        """The whole answer to a GET, or the pieces of the body when it is large."""
        path, _, query = target.partition("?")
        match path.strip("/").split("/"):
            case ["v1" | "api", "jobs", job_id] if found := self._world.find_job(job_id, self.shown):
                self.counts["job"] += 1
                return _whole([self._world.body(*found)])
            case ["v1" | "api", "jobs"]:
                self.counts["jobs"] += 1
                return self._list_jobs(query)
            case ["v1" | "api" as prefix, "strategies"]:
                self.counts["strategies"] += 1
                offset, limit = _read_page(query)
                return make_answer("200 OK", _join(self._strategy_rows[prefix][offset : offset + limit]))
            case ["v1" | "api" as prefix, "schedules"]:
                self.counts["schedules"] += 1
                return make_answer("200 OK", _join(self._schedule_rows[prefix]))
            case ["v1" | "api", "schedules", schedule_id, "changes"] if schedule_id in self._schedules:
                self.counts["changes"] += 1
                return self._changes(schedule_id, query)
        self.counts["other"] += 1
        return NOT_FOUND

    def control(self, target: str) -> bytes:
        """The answer to a question about the server itself, or to a call that changes what it shows."""
        path, _, query = target.partition("?")
        jobs = parse_qs(query).get("jobs", ["0"])[-1]
        if path.endswith("/reset"):
            self.counts.clear()
        elif path.endswith("/show"):
            self._show(int(jobs))
        elif path.endswith("/unseen"):
            self.unseen = dict.fromkeys(self._schedules, int(jobs))
        return make_answer("200 OK", json.dumps(self.counts).encode())

    def _list_jobs(self, query: str) -> bytes:
        """A page of the list of jobs, with the filters of a query."""
        given = {key: values[-1] for key, values in parse_qs(query).items()}
        filters = (("strategy_id", self._strategies), ("schedule_id", self._schedules))
        strategies = [numbers.get(given[key], -1) for key, numbers in filters if key in given]
        if -1 in strategies or len(set(strategies)) > 1 or given.get("status", "completed") != "completed":
            return make_answer("200 OK", b"[]")
        strategy = strategies[0] if strategies else None
        offset, limit = _read_page(query)
        count = self._world.count_jobs(strategy, given.get("since"), self.shown)
        places = range(min(offset, count), min(offset + limit, count))
        return make_answer("200 OK", _join(self._world.job_rows(strategy, self.shown, places)))

    def _changes(self, schedule_id: str, query: str) -> bytes | list[Piece]:
        """The unseen changes of a schedule, oldest first; they are marked as seen unless the query says otherwise."""
        number, count = self._schedules[schedule_id], min(self.unseen.get(schedule_id, 0), self.shown)
        marks = parse_qs(query).get("mark_seen", ["true"])[-1].lower() == "true"
        pieces: list[Piece] = [b'{"changes":[']
        for run in range(self.shown - count, self.shown):
            # An entry is the job's body with its id under another key.
            body = memoryview(self._world.body(number, run))
            pieces += [b"," if run > self.shown - count else b"", b'{"job_id":', body[len(b'{"id":') :]]
        pieces.append(b'],"count":%d,"marked_seen":%b}' % (count, b"true" if marks else b"false"))
        if marks:
            self.unseen.pop(schedule_id, None)
        return _whole(pieces)


def _whole(pieces: list[Piece]) -> bytes | list[Piece]:
    """An answer in one piece, or the pieces of a large body."""
    return pieces if sum(map(len, pieces)) > PIECE else make_answer("200 OK", b"".join(pieces))


def _read_page(query: str) -> tuple[int, int]:
    asked = parse_qs(query)
    return int(asked.get("offset", ["0"])[-1]), min(int(asked.get("limit", ["20"])[-1]), MAX_LIMIT)


def _join(rows: list[bytes]) -> bytes:
    return b"[" + b",".join(rows) + b"]"


def _rows(records: list[dict[str, object]], prefix: str) -> list[bytes]:
    """Records as list rows of a dialect: ``/v1`` says ``id`` where ``/api`` says ``strategy_id`` or ``schedule_id``."""
    if prefix == "v1":
        records = [{"id": next(iter(row.values())), **dict(list(row.items())[1:])} for row in records]
    return [json.dumps(row, ensure_ascii=False).encode() for row in records]
