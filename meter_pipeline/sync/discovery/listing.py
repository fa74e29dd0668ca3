"""Finds out what there is at Meter: strategies, schedules, and every job, each with a row in the ledger.

Jobs are listed newest first, and the listing stops at a page that is known throughout. That alone would miss jobs:
after a crash in mid-listing, or after a sync of one strategy, a page can be known while older ones are not. So a walk
that reached known ground notes up to when everything is known, and a page ends a walk only if it reaches back before
that, by a margin: jobs of one second come in any order, and one may be listed a little later than younger ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain

from meter_pipeline.api import Job, MeterClient, Schedule, Strategy
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import Recorded, describe_status
from meter_pipeline.store.times import iso, moment, shift
from meter_pipeline.sync.containment import Trouble, apply
from meter_pipeline.sync.report import IGNORED, Problem, SyncReport

PAGE_ROWS = 100
# A job that is listed later than others by this much is found all the same.
_MARGIN = timedelta(minutes=2)
# The order of the listing is documented nowhere. By time of completion, say, a job stands up to its own duration above
# its place, and none takes longer than an hour.
_DISORDER = timedelta(hours=1)


def catalog(client: MeterClient, ledger: Ledger, report: SyncReport) -> None:
    """Records all strategies and schedules; new versions of them are kept."""
    report.new_strategies = tuple(record_strategies(client, ledger, list(client.strategies()), report.problems))
    record_schedules(client, ledger, client.schedules(), report.problems)


def record_strategies(
    client: MeterClient, ledger: Ledger, listed: Sequence[Strategy], problems: list[Problem]
) -> list[str]:
    """Records listed strategies, and says which could not be; returns the slugs of the new ones."""
    whole = _note_unusable(client, problems)

    def give_up(strategy: Strategy, trouble: Trouble) -> None:
        reason = f"strategy {strategy.strategy_id}: {trouble.reason}"
        problems.append(Problem("", "", IGNORED, reason, is_ours=trouble.is_ours))

    def use(some: Sequence[Strategy]) -> list[str]:
        return ledger.record_strategies(some, whole=whole and len(some) == len(listed))

    return list(chain.from_iterable(apply(listed, use, give_up) if listed else [use(listed)]))


def record_schedules(client: MeterClient, ledger: Ledger, listed: Sequence[Schedule], problems: list[Problem]) -> None:
    """Records listed schedules, and says which could not be."""
    whole = _note_unusable(client, problems)

    def give_up(schedule: Schedule, trouble: Trouble) -> None:
        reason = f"schedule {schedule.schedule_id}: {trouble.reason}"
        problems.append(Problem("", "", IGNORED, reason, is_ours=trouble.is_ours))

    def use(some: Sequence[Schedule]) -> None:
        ledger.record_schedules(some, whole=whole and len(some) == len(listed))

    if listed:
        apply(listed, use, give_up)
    else:
        use(listed)


def _note_unusable(client: MeterClient, problems: list[Problem]) -> bool:
    """Reports rows that could not be used; returns whether there were none."""
    found = client.take_unusable()
    problems += [Problem("", "", IGNORED, str(row)) for row in found]
    return not found


def record_jobs(ledger: Ledger, report: SyncReport, listed: Sequence[Job]) -> Recorded:
    """Gives listed jobs their rows, and reports what their statuses tell."""

    def give_up(job: Job, trouble: Trouble) -> None:
        report.problems.append(Problem(job.job_id, "", IGNORED, trouble.reason, is_ours=trouble.is_ours))

    recorded = Recorded.together(apply(listed, ledger.record_jobs, give_up))
    if recorded.failed:
        for strategy in ledger.strategies(list(recorded.failed)):
            report.of(strategy).failed += recorded.failed[strategy.strategy_id]
    if count := len(recorded.reopened):
        report.note(f"{count:,} loaded jobs have another status at Meter now: what was loaded of them stays")
    for spelling, status in {(job.respelled, job.status) for job in listed if job.respelled is not None}:
        report.note(f"Meter spells the status {status} as {spelling!r}: both are taken for the same")
    return recorded


def note_statuses(ledger: Ledger, report: SyncReport) -> None:
    """Reports jobs that wait with a status that Meter does not document: nothing says when these have ended."""
    slugs = {row.strategy_id: row.slug for row in ledger.strategies()}
    counts = Counter((slugs.get(row.strategy_id, "?"), row.status) for row in ledger.odd_statuses())
    for (slug, status), count in sorted(counts.items(), key=lambda entry: (entry[0][0], entry[0][1] or "")):
        report.note(
            f"{slug}: {count:,} {'job has' if count == 1 else 'jobs have'} {describe_status(status)}; "
            "not loaded until that becomes completed"
        )


def discover(
    client: MeterClient,
    ledger: Ledger,
    report: SyncReport,
    *,
    strategy_ids: list[str] | None = None,
    since: datetime | None = None,
    reconcile: bool = False,
) -> None:
    """Gives every job the API lists a row, of all strategies or of some.

    Args:
        client: The API.
        ledger: Where the rows go.
        report: Told how many rows were looked at and how many were new.
        strategy_ids: Walk the listing of each of these instead of the listing of all.
        since: Stop at jobs created before.
        reconcile: Walk everything, whatever is known, and count the jobs that are gone at Meter.
    """
    listed: set[str] = set()
    for strategy_id in [None] if strategy_ids is None else strategy_ids:
        listed |= _walk(client, ledger, report, strategy_id, iso(since), reconcile)
    _note_unusable(client, report.problems)
    if reconcile and since is None:
        report.reconciled = True
        rows = (
            ledger.jobs()
            if strategy_ids is None
            else (row for strategy_id in strategy_ids for row in ledger.jobs(strategy_id))
        )
        report.gone = sum(1 for row in rows if row.job_id not in listed)


def _walk(
    client: MeterClient,
    ledger: Ledger,
    report: SyncReport,
    strategy_id: str | None,
    since: str | None,
    reconcile: bool,
) -> set[str]:
    scope = strategy_id or ""
    complete_to = max(ledger.walk("") or "", ledger.walk(scope) or "")
    known_ground = _before(complete_to)
    newest = None
    listed: set[str] = set()
    whole, ordered = True, True
    for page in client.job_pages(strategy_id=strategy_id, page_size=PAGE_ROWS):
        recorded = record_jobs(ledger, report, page)
        report.listed += len(page)
        report.discovered += len(recorded.fresh)
        if reconcile:
            listed.update(job.job_id for job in page)
        times = [_created(job) for job in page]
        oldest = min(times)
        if newest is None:
            # Not the latest time: a single job with a wrong clock would make all that is to come look known.
            newest = sorted(times)[len(times) // 2]
        ordered = ordered and _newest_first([job.created_at for job in page])
        has_news = recorded.fresh or recorded.moved or recorded.reopened
        if not reconcile and not has_news and ordered and oldest and oldest < known_ground:
            break
        if since is not None and ordered and oldest and oldest < since:
            whole = complete_to >= since
            break
    if whole and newest and newest > complete_to:
        ledger.record_walk(scope, newest)
    return listed


def _before(complete_to: str) -> str:
    time = moment(complete_to or None)
    return "" if time is None else iso(shift(time, -_MARGIN)) or ""


def _newest_first(times: Sequence[datetime | None]) -> bool:
    """Whether a page may be followed by older jobs alone, as far as its own order tells; some disorder is allowed."""
    told = [time for time in times if time is not None]
    if not told:
        return True
    oldest = told[0]
    for time in told:
        if time > shift(oldest, _DISORDER):
            return False
        oldest = min(oldest, time)
    return told[-1] <= told[0]


def _created(job: Job) -> str:
    return iso(job.created_at) or ""
