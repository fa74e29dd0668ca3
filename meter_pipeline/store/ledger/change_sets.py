"""Change sets in the ledger: which jobs Meter listed as unseen changes, and which of them are acknowledged.

An acknowledging read is noted before it is made. If its answer is lost, by a crash or by the network, the note is still
there: it holds the job time after which changes may have been marked as seen without having been noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, func, select, update

from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.tables import change_sets, jobs, peeks
from meter_pipeline.store.times import now, retry_at

_FIRST_RETRY = timedelta(minutes=1)
_LAST_RETRY = timedelta(hours=1)


@dataclass(frozen=True)
class Peek:
    """The last peek at a schedule's unseen changes; times as ISO 8601 text in UTC.

    Attributes:
        run_at: The schedule's `last_run_at` up to which nothing is left to do.
        tried_at: The schedule's `last_run_at` at the last peek, if that peek left something to do.
        attempts: Peeks for the run of `tried_at` that left something to do: unreadable changes, a job still running.
        retry_at: When to peek again, not earlier.
        marking_at: When an acknowledging read began whose answer is not noted.
        marking_after: The latest job time of the schedule that was known at `marking_at`.
    """

    schedule_id: str
    run_at: str | None = None
    tried_at: str | None = None
    peeked_at: str | None = None
    attempts: int = 0
    retry_at: str | None = None
    marking_at: str | None = None
    marking_after: str | None = None

    def tries(self, run_at: str | None) -> int:
        """Peeks that left something to do, for the run at `run_at`."""
        return self.attempts if self.tried_at == run_at else 0


@dataclass(frozen=True)
class Counts:
    """How many changes were ever noted, and how many of them are acknowledged at Meter."""

    noted: int
    acknowledged: int


class Unseen:
    """Change sets and peeks in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def peeks(self) -> dict[str, Peek]:
        """The last peek at each schedule, by its id."""
        with self._ledger.reading() as connection:
            return {row.schedule_id: Peek(*row) for row in connection.execute(select(peeks))}

    def open(self) -> dict[str, dict[str, str]]:
        """Changes that are not acknowledged: when each was noted, by schedule and job."""
        columns = change_sets.c
        query = select(columns.schedule_id, columns.job_id, columns.first_seen_at)
        found: dict[str, dict[str, str]] = {}
        with self._ledger.reading() as connection:
            for schedule_id, job_id, noted_at in connection.execute(query.where(columns.acknowledged_at.is_(None))):
                found.setdefault(schedule_id, {})[job_id] = noted_at
        return found

    def counts(self) -> Counts:
        """How many changes were noted, and how many are acknowledged."""
        query = select(func.count(), func.count(change_sets.c.acknowledged_at)).select_from(change_sets)
        with self._ledger.reading() as connection:
            return Counts(*connection.execute(query).one())

    def latest(self, limit: int) -> list[tuple[str, str, str, int | None, str | None]]:
        """The changes noted last: schedule, job, first seen, item count, acknowledged."""
        columns = change_sets.c
        query = select(
            columns.schedule_id, columns.job_id, columns.first_seen_at, columns.item_count, columns.acknowledged_at
        ).order_by(columns.first_seen_at.desc(), columns.job_id)
        with self._ledger.reading() as connection:
            return [tuple(row) for row in connection.execute(query.limit(limit))]

    def of(self, schedule_id: str) -> set[str]:
        """Job ids of every change of a schedule that was ever noted."""
        query = select(change_sets.c.job_id).where(change_sets.c.schedule_id == schedule_id)
        with self._ledger.reading() as connection:
            return set(connection.execute(query).scalars())

    def record(self, schedule_id: str, entries: Sequence[tuple[str, int | None]]) -> int:
        """Notes unseen changes as (job id, item count); returns how many were not noted before."""
        seen = now()
        fresh = dict(entries)
        with self._ledger.writing() as connection:
            for job_ids in chunks(list(fresh)):
                where = change_sets.c.job_id.in_(job_ids)
                query = select(change_sets.c.job_id).where(change_sets.c.schedule_id == schedule_id, where)
                for job_id in connection.execute(query).scalars():
                    fresh.pop(job_id, None)
            rows = [
                {"schedule_id": schedule_id, "job_id": job_id, "first_seen_at": seen, "item_count": count}
                for job_id, count in fresh.items()
            ]
            if rows:
                self._ledger.upsert(connection, change_sets, rows, keys=["schedule_id", "job_id"], set_=[])
                self._ledger.revise(connection)
        return len(fresh)

    def acknowledged(self, schedule_id: str, job_ids: Iterable[str]) -> int:
        """Notes that these changes are acknowledged at Meter; returns how many were not noted as such before."""
        with self._ledger.writing() as connection:
            return self._acknowledge(connection, schedule_id, job_ids)

    def _acknowledge(self, connection: Connection, schedule_id: str, job_ids: Iterable[str]) -> int:
        count = 0
        for some_ids in chunks(sorted(job_ids)):
            where = change_sets.c.job_id.in_(some_ids)
            statement = update(change_sets).where(change_sets.c.schedule_id == schedule_id, where)
            unseen = change_sets.c.acknowledged_at.is_(None)
            count += connection.execute(statement.where(unseen).values(acknowledged_at=now())).rowcount
        if count:
            self._ledger.revise(connection)
        return count

    # -- peeks

    def done(self, runs: Mapping[str, str | None]) -> None:
        """Notes that nothing is left to do for these schedules up to their `last_run_at`."""
        moment = now()
        rows = [
            {"schedule_id": id_, "run_at": run_at, "peeked_at": moment, "attempts": 0, "retry_at": None}
            for id_, run_at in runs.items()
        ]
        with self._ledger.writing() as connection:
            set_ = ["run_at", "peeked_at", "attempts", "retry_at"]
            self._ledger.upsert(connection, peeks, rows, keys=["schedule_id"], set_=set_)

    def undone(self, runs: Mapping[str, str | None]) -> None:
        """Notes that something is left to do for these schedules, and when to peek again: each wait is longer."""
        known = self.peeks()
        peeked_at, rows = now(), []
        for id_, tried_at in runs.items():
            attempts = known.get(id_, Peek(id_)).tries(tried_at) + 1
            row = {"schedule_id": id_, "tried_at": tried_at, "peeked_at": peeked_at, "attempts": attempts}
            rows.append({**row, "retry_at": retry_at(attempts, _FIRST_RETRY, _LAST_RETRY)})
        with self._ledger.writing() as connection:
            set_ = ["tried_at", "peeked_at", "attempts", "retry_at"]
            self._ledger.upsert(connection, peeks, rows, keys=["schedule_id"], set_=set_)

    def latest_jobs(self, strategy_ids: Iterable[str]) -> dict[tuple[str, str | None], str]:
        """When the latest known job was created or completed, by strategy and schedule (None for jobs without one)."""
        ids = sorted(set(strategy_ids))
        created, completed = func.max(jobs.c.created_at), func.max(jobs.c.completed_at)
        found: dict[tuple[str, str | None], str] = {}
        with self._ledger.reading() as connection:
            for some_ids in chunks(ids):
                query = select(jobs.c.strategy_id, jobs.c.schedule_id, created, completed)
                where = jobs.c.strategy_id.in_(some_ids)
                rows = connection.execute(query.where(where).group_by(jobs.c.strategy_id, jobs.c.schedule_id))
                found.update({(strategy, schedule): max(a or "", b or "") for strategy, schedule, a, b in rows})
        return found

    def horizon(self, strategy_ids: Iterable[str]) -> dict[str, str]:
        """The latest known `completed_at` of a job, by schedule of these strategies."""
        ids = sorted(set(strategy_ids))
        found: dict[str, str] = {}
        with self._ledger.reading() as connection:
            for some_ids in chunks(ids):
                query = select(jobs.c.schedule_id, func.max(jobs.c.completed_at)).group_by(jobs.c.schedule_id)
                for id_, time in connection.execute(query.where(jobs.c.strategy_id.in_(some_ids))):
                    found[id_ or ""] = max(time or "", found.get(id_ or "", ""))
        return found

    def begin_marking(self, after: Mapping[str, str | None]) -> None:
        """Notes durably that these schedules' changes are about to be acknowledged."""
        moment = now()
        rows = [{"schedule_id": id_, "marking_at": moment, "marking_after": time} for id_, time in after.items()]
        with self._ledger.writing(durable=True) as connection:
            set_ = ["marking_at", "marking_after"]
            self._ledger.upsert(connection, peeks, rows, keys=["schedule_id"], set_=set_)

    def end_marking(self, schedule_id: str, acknowledged: Iterable[str] = ()) -> int:
        """Notes the end of an acknowledging read and the changes it acknowledged; returns how many these are."""
        with self._ledger.writing() as connection:
            where = peeks.c.schedule_id == schedule_id
            connection.execute(update(peeks).where(where).values(marking_at=None, marking_after=None))
            return self._acknowledge(connection, schedule_id, acknowledged)
