"""Jobs, and versions of strategies and schedules, as people list them: filtered, newest first, bounded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select

from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.ledger.tables import jobs, versions


@dataclass(frozen=True)
class JobList:
    """The newest jobs that match, and how many match in all."""

    jobs: Sequence[JobRow]
    total: int


@dataclass(frozen=True)
class Version:
    """A state of a strategy or schedule at Meter, and when it was first seen.

    Attributes:
        version: Its number, from 1.
        seen_at: ISO 8601 text in UTC.
        record: The record as the API sent it.
        changed: Names of the members that differ from the version before.
    """

    version: int
    seen_at: str
    record: dict[str, Any]
    changed: tuple[str, ...] = ()


def list_jobs(
    ledger: Ledger,
    *,
    strategy_ids: Sequence[str] = (),
    schedule_ids: Sequence[str] = (),
    states: Sequence[str] = (),
    statuses: Sequence[str] = (),
    since: str | None = None,
    limit: int = 50,
) -> JobList:
    """Jobs by the time they were created, newest first; an empty filter lets everything pass.

    Args:
        ledger: The ledger that has them.
        strategy_ids: Only jobs of one of these strategies.
        schedule_ids: Only jobs of one of these schedules.
        states: Only jobs in one of these states of the ledger.
        statuses: Only jobs with one of these statuses at Meter.
        since: Only jobs created at this time or later, ISO 8601 text in UTC.
        limit: Largest number of jobs to return.
    """
    made = func.coalesce(jobs.c.created_at, jobs.c.started_at, jobs.c.completed_at, "")
    lists = (
        (jobs.c.strategy_id, strategy_ids),
        (jobs.c.schedule_id, schedule_ids),
        (jobs.c.state, states),
        (jobs.c.status, statuses),
    )
    where: list[ColumnElement[bool]] = [column.in_(list(values)) for column, values in lists if values]
    if since is not None:
        where.append(made >= since)
    newest = select(jobs).where(*where).order_by(made.desc(), jobs.c.job_id.desc()).limit(limit)
    count = select(func.count()).select_from(jobs).where(*where)
    with ledger.reading() as connection:
        rows = [JobRow(*row) for row in connection.execute(newest)]
        return JobList(rows, int(connection.execute(count).scalar_one()))


def list_versions(ledger: Ledger, kind: str, identifier: str) -> list[Version]:
    """Recorded versions of a strategy or schedule (`kind`), newest first."""
    query = select(versions.c.version, versions.c.seen_at, versions.c.record)
    where = (versions.c.kind == kind) & (versions.c.id == identifier)
    with ledger.reading() as connection:
        rows = connection.execute(query.where(where).order_by(versions.c.version)).all()
    found: list[Version] = []
    before: dict[str, Any] | None = None
    for number, seen_at, text in rows:
        record: dict[str, Any] = json.loads(text)
        names = record.keys() | before.keys() if before is not None else ()
        changed = tuple(sorted(name for name in names if record.get(name) != (before or {}).get(name)))
        found.append(Version(number, seen_at, record, changed))
        before = record
    return found[::-1]
