"""What goes wrong at Meter: pages whose scrapes fail, schedules that are late or were, and those that are paused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import ColumnElement, Connection, FromClause, func, select

from meter_pipeline.store.ledger.catalog import read_schedules, read_strategies
from meter_pipeline.store.ledger.intervals import expected_interval
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.ledger.tables import jobs
from meter_pipeline.store.times import iso, moment, shift

# A schedule is late when it has had no job for this many intervals, as in the report.
_INTERVALS = 2
# Gaps are looked for in the latest days, and in the latest intervals of rare schedules.
_RECENT_DAYS, _RECENT_INTERVALS = 30, 6


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


@dataclass(frozen=True)
class Gap:
    """A time in which a schedule should have run `missed` times, but without any known job."""

    schedule_id: str
    slug: str
    since: str
    until: str
    missed: int


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


def find_gaps(ledger: Ledger) -> list[Gap]:
    """Where two jobs of a schedule lay further apart than two of its intervals, the latest gaps first.

    Only those of the last 30 days of the ledger, or of six intervals of the schedule that runs most rarely.
    """
    time = func.coalesce(jobs.c.created_at, jobs.c.started_at, jobs.c.completed_at)
    with ledger.reading() as connection:
        intervals = {row.schedule_id: expected_interval(row) for row in read_schedules(connection)}
        slugs = {row.strategy_id: row.slug for row in read_strategies(connection, None)}
        latest = moment(connection.execute(select(func.max(time))).scalar())
        if latest is None:
            return []
        longest = max((seconds for seconds in intervals.values() if seconds), default=0)
        recent = iso(shift(latest, -max(timedelta(days=_RECENT_DAYS), _RECENT_INTERVALS * timedelta(seconds=longest))))
        query = select(jobs.c.schedule_id, jobs.c.strategy_id, time).where(time >= recent)
        runs = [tuple(row) for row in connection.execute(query) if intervals.get(row[0])]
    gaps = []
    for (id_, _, since), (following, strategy_id, until) in pairwise(sorted(runs, key=lambda run: (run[0], run[2]))):
        seconds, apart = intervals[id_], (moment(until) - moment(since)).total_seconds()
        if id_ == following and seconds and apart > _INTERVALS * seconds:
            gaps.append(Gap(id_, slugs.get(strategy_id, "?"), since, until, round(apart / seconds) - 1))
    return sorted(gaps, key=lambda gap: (gap.until, gap.schedule_id), reverse=True)


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
