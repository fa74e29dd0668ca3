"""A long history that is stored nowhere: thousands of strategies with months of jobs, computed as they are asked for.

A job's number is in its id, its place in a list is arithmetic, and its items follow from strategy, place and run. So
two million jobs cost no memory and begin at once. Each run, about 3 % of the items get other values and 1 % go.

>>> with Served(History(strategies=5_000, jobs=400, items=40)) as server:
...     server.show(401)  # one more job of each strategy
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from datetime import datetime, timezone

from benchmarks.worlds import (
    BETWEEN_RUNS,
    FIRST_RUN,
    Item,
    job_record,
    make_item,
    schedule_record,
    strategy_record,
    write_body,
)

_PREFIX = "5eed0000-0000-4000-8000-"
_INTERVAL = int(BETWEEN_RUNS.total_seconds())
#: Runs after which an item has other values, and after which it is another.
_SAME, _LIFE = 33, 100


@dataclass(frozen=True)
class History:
    """Strategies with a schedule each, jobs of each strategy, items of each job.

    Attributes:
        hold: Runs for which a page stays as it is; 1 for changes in every run.
    """

    strategies: int
    jobs: int
    items: int
    hold: int = 1

    def __post_init__(self) -> None:
        # So that jobs are ordered by run, and within a run by strategy.
        if not 0 < self.strategies <= _INTERVAL:
            raise ValueError(f"a history has 1 to {_INTERVAL} strategies, not {self.strategies}")

    @property
    def begin(self) -> datetime:
        """The first run of all: the history ends where the other worlds begin."""
        return FIRST_RUN - BETWEEN_RUNS * self.jobs

    def strategy_records(self) -> list[dict[str, object]]:
        """The rows of the list of strategies."""
        return [strategy_record(number, self.begin) for number in range(self.strategies)]

    def schedule_records(self, shown: int) -> list[dict[str, object]]:
        """The rows of the list of schedules after `shown` runs."""
        return [schedule_record(number, shown, self.begin) for number in range(self.strategies)]

    def count_jobs(self, strategy: int | None, since: str | None, shown: int) -> int:
        """Jobs of all strategies, or of one, that were created at `since` (ISO 8601) or later."""
        earlier = 0
        if since:
            seconds = _seconds_between(self.begin, since)
            if strategy is None:
                run, rest = divmod(max(seconds, 0), _INTERVAL)
                earlier = run * self.strategies + min(rest, self.strategies)
            else:
                earlier = max(0, -(-(seconds - strategy) // _INTERVAL))
        whole = shown * self.strategies if strategy is None else shown
        return max(0, whole - earlier)

    def job_rows(self, strategy: int | None, shown: int, places: range) -> list[bytes]:
        """Rows of the list of jobs, newest first, by their places in it, as JSON texts."""
        width = 1 if strategy is not None else self.strategies
        rows = []
        for place in places:
            run, number = shown - 1 - place // width, width - 1 - place % width
            rows.append(json.dumps(self._record(number if strategy is None else strategy, run)).encode())
        return rows

    def find_job(self, job_id: str, shown: int) -> tuple[int, int] | None:
        """Strategy and run of a job's id, or None."""
        if not job_id.startswith(_PREFIX):
            return None
        try:
            run, number = divmod(int(job_id[len(_PREFIX) :], 16), self.strategies)
        except ValueError:
            return None
        return (number, run) if run < shown else None

    def body(self, number: int, run: int) -> bytes:
        """A job's body, as the API answers it."""
        out = io.BytesIO()
        write_body(out, self._record(number, run), self.items_of(number, run))
        return out.getvalue()

    def items_of(self, number: int, run: int) -> list[Item]:
        """The items of a run."""
        version = run // self.hold
        return [self._item(number, place, version) for place in range(self.items)]

    def _item(self, number: int, place: int, version: int) -> Item:
        phase = _mix(number, place)
        life = (version + phase) // _LIFE
        drawn = _mix(number * 31 + life, place * 17 + (version + phase) // _SAME)
        serial = place + self.items * life
        return make_item(number, serial, 300 + drawn % 8_700, drawn // 8_700 % 40, 10 + drawn // 348_000 % 41)

    def _record(self, number: int, run: int) -> dict[str, object]:
        job_id = f"{_PREFIX}{run * self.strategies + number:012x}"
        seen = f"{number}/{run // self.hold}/{self.items}".encode()
        digest = hashlib.md5(seen, usedforsecurity=False).hexdigest()
        return job_record(number, run, job_id, self.items, digest, self.begin)


def _mix(a: int, b: int) -> int:
    """A number below 2**32 that looks random and is always the same."""
    mixed = (a * 0x9E3779B1 + b * 0x85EBCA77 + 0x27D4EB2F) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    mixed = mixed * 0x2C1B3C6D & 0xFFFFFFFF
    return mixed ^ mixed >> 13


def _seconds_between(begin: datetime, text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    seconds = (moment - begin).total_seconds()
    return int(seconds) + (seconds > int(seconds))
