"""What goes wrong at Meter: pages whose scrapes fail, schedules that are late, and those that somebody paused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, FromClause, func, select

from meter_pipeline.store.ledger.catalog import read_schedules, read_strategies
from meter_pipeline.store.ledger.intervals import expected_interval
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.ledger.tables import jobs
from meter_pipeline.store.times import moment

# A schedule is late when it has had no job for this many intervals, as in the report.
_INTERVALS = 2


@dataclass(frozen=True)
class Silence:
    """A schedule without recent jobs.

    Attributes:
        schedule_id: The schedule.
        slug: Its strategy.
        since: Time of its last job, ISO 8601; of its first listing if it never had one.
        missed: Runs that are missing since then; 0 for a paused schedule, whose runs nobody expects.
        is_paused: Whether it is switched off at Meter.
    """

    schedule_id: str
    slug: str
    since: str
    missed: int
    is_paused: bool

    def describe(self, since: str) -> str:
        """The silence as words about the schedule; `since` is the time as the reader sees it."""
        if self.is_paused:
            return f"is paused at Meter, its last job was at {since}"
        return f"is late: no job since {since}, about {self.missed:,} {'run' if self.missed == 1 else 'runs'}"


def find_failing(ledger: Ledger) -> list[JobRow]:
    """Jobs that failed at Meter, and that no job with items followed on the same target; by strategy and time."""
    later = jobs.alias()
    is_followed = (
        select(later.c.job_id)
        .where(
            (later.c.strategy_id == jobs.c.strategy_id)
            & (later.c.target_id == jobs.c.target_id)
            & later.c.state.in_(("accepted", "held", "dropped"))
            & (_time_of(later) > _time_of(jobs))
        )
        .exists()
    )
    query = select(jobs).where((jobs.c.state == "failed") & ~is_followed)
    with ledger.reading() as connection:
        rows = [JobRow(*row) for row in connection.execute(query)]
    return sorted(rows, key=lambda row: (row.strategy_id, row.time or "", row.job_id))


def find_rejecting(ledger: Ledger) -> list[JobRow]:
    """Accepted jobs some of whose items could not be loaded, the latest first."""
    query = select(jobs).where((jobs.c.state == "accepted") & (jobs.c.rejected > 0))
    with ledger.reading() as connection:
        rows = [JobRow(*row) for row in connection.execute(query)]
    return sorted(rows, key=lambda row: (row.time or "", row.job_id), reverse=True)


def find_silences(ledger: Ledger) -> list[Silence]:
    """Schedules that are late or paused, late ones first; a deleted schedule is neither.

    The present is the latest time that Meter gave for a job or a run: the ledger may not have been synced for days,
    and a sandbox's clock is not that of this machine.
    """
    with ledger.reading() as connection:
        schedules = [row for row in read_schedules(connection) if row.deleted_at is None]
        slugs = {row.strategy_id: row.slug for row in read_strategies(connection, None)}
        last = _read_last_jobs(connection)
    times = [moment(time) for time in (*last.values(), *(row.last_run_at for row in schedules))]
    present = max((time for time in times if time is not None), default=None)
    found = []
    for row in schedules:
        since = last.get(row.schedule_id) or row.created_at or row.first_seen_at
        missed = _count_missed(moment(since), present, expected_interval(row))
        is_paused = row.enabled is False
        if is_paused or missed:
            slug = slugs.get(row.strategy_id or "", "?")
            found.append(Silence(row.schedule_id, slug, since, 0 if is_paused else missed, is_paused))
    return sorted(found, key=lambda silence: (silence.is_paused, -silence.missed, silence.slug, silence.schedule_id))


def _count_missed(since: datetime | None, present: datetime | None, seconds: int | None) -> int:
    """Runs that are missing at present; 0 while a schedule is not late."""
    if since is None or present is None or not seconds:
        return 0
    apart = (present - since).total_seconds()
    return int(apart / seconds) if apart > _INTERVALS * seconds else 0


def _read_last_jobs(connection: Connection) -> dict[str, str]:
    """The time of each schedule's last job, by schedule id; that of jobs without a schedule is under an empty id."""
    query = select(jobs.c.schedule_id, func.max(_time_of(jobs))).group_by(jobs.c.schedule_id)
    return {schedule_id or "": time for schedule_id, time in connection.execute(query) if time}


def _time_of(table: FromClause) -> ColumnElement[str]:
    return func.coalesce(table.c.completed_at, table.c.started_at, table.c.created_at, "")
