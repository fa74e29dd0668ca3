"""What became of a job: the update of its row in the ledger, the problem to report, and what the report counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from meter_pipeline.api import Job, MeterBadResponse
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import job_values
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.times import iso, now, retry_at
from meter_pipeline.sync.containment import explain
from meter_pipeline.sync.loading.auditing import describe
from meter_pipeline.sync.loading.job import CompletedJob
from meter_pipeline.sync.loading.updates import JobUpdate
from meter_pipeline.sync.report import Problem, StrategyReport

_FIRST_RETRY = timedelta(minutes=1)
_LAST_RETRY = timedelta(days=1)
# A job that was still running at this many attempts is asked for once an hour.
_FREQUENT_ATTEMPTS = 10
_HOURLY = timedelta(hours=1)


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Attributes:
        state: The job's state after the load.
        update: The update of its row in the ledger; None leaves the row as it is.
        problem: What to report, or None.
        job: The job, if it was completed.
    """

    state: str
    update: JobUpdate | None = None
    problem: Problem | None = None
    job: CompletedJob | None = None


def completed_outcome(job: CompletedJob, duplicates: int | None, changes: int | None, slug: str) -> Outcome:
    """The outcome of a job whose rows are written.

    Args:
        job: The job.
        duplicates: Items whose key an earlier item has.
        changes: Its rows in the change feed; None for a held job.
        slug: Its strategy.
    """
    state = "accepted" if job.accepted else "held"
    job_id = job.job.job_id
    update = JobUpdate(
        job_id,
        state,
        values=job.values,
        # Derived tables order jobs by it: a time that the API left out is settled here, once.
        completed_at=job.time,
        reason=job.reason,
        items=job.item_count,
        duplicates=duplicates,
        changes=changes,
        audit=describe(job),
        bytes=job.size,
        loaded_at=now(),
        attempts=0,
        retry_at=None,
        released_at=job.released_at,
        rejected=job.rejected,
        rejection=job.rejection,
    )
    problem = None if job.accepted else Problem(job_id, slug, state, str(job.reason))
    return Outcome(state, update, problem, job)


def released_update(job: CompletedJob, duplicates: int | None, changes: int) -> JobUpdate:
    """The update of a job that a user accepted, or whose rejected items a user let in."""
    return JobUpdate(
        job.job.job_id,
        "accepted",
        completed_at=job.time,
        items=job.item_count,
        duplicates=duplicates,
        changes=changes,
        released_at=job.released_at,
        held_at=None,
        rejected=job.rejected,
        rejection=job.rejection,
    )


def unfinished_outcome(row: JobRow, record: Job) -> Outcome | None:
    """The outcome of a job that failed at Meter or still runs; None if it was loaded before, and stays so."""
    if row.loaded:
        return None
    has_failed = record.status == "failed"
    attempts = row.attempts + 1
    update = JobUpdate(
        record.job_id,
        "failed" if has_failed else "known",
        values=job_values(record),
        loaded_at=now() if has_failed else None,
        attempts=attempts,
        retry_at=_time_after(_HOURLY) if attempts >= _FREQUENT_ATTEMPTS else None,
    )
    return Outcome(update.state, update)


def unreadable_outcome(row: JobRow, error: Exception, lake: Lake, slug: str) -> Outcome:
    """The outcome of a job that could not be fetched; a bad body is kept in the lake. A loaded job stays loaded."""
    trouble = explain(error)
    reason = trouble.reason
    if isinstance(error, MeterBadResponse) and error.body:
        reason += f"; the body is kept in {lake.keep_body(row.job_id, error.body)}"
    problem = Problem(row.job_id, slug, "unreadable", reason, is_ours=trouble.is_ours)
    return Outcome("unreadable", None if row.loaded else unreadable_update(row, reason), problem)


def unreadable_update(row: JobRow, reason: str) -> JobUpdate:
    """The update of a job that could not be loaded; it is tried again after a delay that doubles with each attempt."""
    attempts = row.attempts + 1
    later = retry_at(attempts, _FIRST_RETRY, _LAST_RETRY)
    return JobUpdate(row.job_id, "unreadable", reason=reason, attempts=attempts, retry_at=later)


def count_outcomes(outcomes: Iterable[Outcome], report: StrategyReport) -> list[Problem]:
    """Adds committed outcomes to a report; returns their problems."""
    problems = []
    for outcome in outcomes:
        if outcome.problem is not None:
            problems.append(outcome.problem)
        if outcome.job is not None:
            _count_completed(outcome.job, report)
        elif outcome.state == "unreadable":
            report.unreadable += 1
        elif outcome.state == "failed":
            report.failed += 1
    return problems


def count_released(jobs: Iterable[CompletedJob], report: StrategyReport) -> None:
    """Adds jobs that a user accepted to a report."""
    for job in jobs:
        report.accepted += 1
        report.items += job.item_count
        _note_latest(job, report)


def _count_completed(job: CompletedJob, report: StrategyReport) -> None:
    report.loaded += 1
    report.bytes += job.size
    report.rejected += job.rejected
    if job.rejection is not None and report.rejection is None:
        report.rejection = f"job {job.job.job_id}, {job.rejection}"
    if not job.accepted:
        report.held += 1
        return
    report.accepted += 1
    report.items += job.item_count
    _note_latest(job, report)


def _note_latest(job: CompletedJob, report: StrategyReport) -> None:
    if job.time >= (report.latest_completed_at or ""):
        report.latest_completed_at = job.time
        report.latest_job_id = job.job.job_id
        report.sample = job.sample


def _time_after(delay: timedelta) -> str | None:
    return iso(datetime.now(timezone.utc) + delay)
