"""Lists strategies, schedules and jobs at Meter, and gives each a row in the ledger.

Jobs are listed newest first, and the listing stops at a page whose jobs are all known. That alone would miss jobs:
after a crash in the middle of a listing, or after a sync of one strategy, a page can be known while older pages are
not. So a walk that reaches known jobs notes the time up to which every job is known, and a page ends a walk only if it
reaches back before that time by a margin: jobs of one second come in any order, and a job may be listed a little later
than younger ones.
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
# A job that is listed this much later than younger jobs is still found.
_MARGIN = timedelta(minutes=2)
# The order of the listing is documented nowhere. If it is by time of completion, a job is above its place by its own
# duration, and no job takes longer than an hour.
_DISORDER = timedelta(hours=1)


def catalog(client: MeterClient, ledger: Ledger, report: SyncReport) -> None:
    """Records all strategies and schedules in the ledger, which keeps every version of them."""
    report.new_strategies = tuple(record_strategies(client, ledger, list(client.strategies()), report.problems))
    record_schedules(client, ledger, client.schedules(), report.problems)


def record_strategies(
    client: MeterClient, ledger: Ledger, listed: Sequence[Strategy], problems: list[Problem]
) -> list[str]:
    """Records listed strategies, and adds a problem for each that cannot be; returns the slugs of the new ones."""
    is_whole = _report_unusable(client, problems)

    def give_up(strategy: Strategy, trouble: Trouble) -> None:
        reason = f"strategy {strategy.strategy_id}: {trouble.reason}"
        problems.append(Problem("", "", IGNORED, reason, is_ours=trouble.is_ours))

    def record(strategies: Sequence[Strategy]) -> list[str]:
        return ledger.record_strategies(strategies, whole=is_whole and len(strategies) == len(listed))

    return list(chain.from_iterable(apply(listed, record, give_up) if listed else [record(listed)]))


def record_schedules(client: MeterClient, ledger: Ledger, listed: Sequence[Schedule], problems: list[Problem]) -> None:
    """Records listed schedules, and adds a problem for each that cannot be."""
    is_whole = _report_unusable(client, problems)

    def give_up(schedule: Schedule, trouble: Trouble) -> None:
        reason = f"schedule {schedule.schedule_id}: {trouble.reason}"
        problems.append(Problem("", "", IGNORED, reason, is_ours=trouble.is_ours))

    def record(schedules: Sequence[Schedule]) -> None:
        ledger.record_schedules(schedules, whole=is_whole and len(schedules) == len(listed))

    if listed:
        apply(listed, record, give_up)
    else:
        record(listed)


def _report_unusable(client: MeterClient, problems: list[Problem]) -> bool:
    """Adds a problem for each row that the client could not use; returns whether there was none."""
    rows = client.take_unusable()
    problems += [Problem("", "", IGNORED, str(row)) for row in rows]
    return not rows


def record_jobs(ledger: Ledger, report: SyncReport, listed: Sequence[Job]) -> Recorded:
    """Gives listed jobs their rows in the ledger, and reports failed, reopened and oddly spelled ones."""

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
    """Reports jobs with a status that Meter does not document: whether they have ended is unknown, so they wait."""
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
    """Gives every job that the API lists a row in the ledger.

    Args:
        client: The API.
        ledger: Where the rows are recorded.
        report: Counts the listed jobs and the new ones.
        strategy_ids: Walk the listing of each of these strategies instead of the listing of all jobs.
        since: Stop at jobs created before this time.
        reconcile: Walk to the end even where all jobs are known, and count the known jobs that Meter no longer lists.
    """
    listed: set[str] = set()
    for strategy_id in [None] if strategy_ids is None else strategy_ids:
        listed |= _walk(client, ledger, report, strategy_id, iso(since), reconcile)
    _report_unusable(client, report.problems)
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
    """Walks one listing of jobs, newest first; returns the ids of the listed jobs when it reconciles."""
    scope = strategy_id or ""
    complete_to = max(ledger.walk("") or "", ledger.walk(scope) or "")
    known_before = _move_back(complete_to)
    newest = None
    listed: set[str] = set()
    is_whole, is_ordered = True, True
    for page in client.job_pages(strategy_id=strategy_id, page_size=PAGE_ROWS):
        recorded = record_jobs(ledger, report, page)
        report.listed += len(page)
        report.discovered += len(recorded.fresh)
        if reconcile:
            listed.update(job.job_id for job in page)
        times = [_created(job) for job in page]
        oldest = min(times)
        if newest is None:
            # Not the latest time: with a single wrong clock, every later job would count as known.
            newest = sorted(times)[len(times) // 2]
        is_ordered = is_ordered and _is_newest_first([job.created_at for job in page])
        has_news = recorded.fresh or recorded.moved or recorded.reopened
        if not reconcile and not has_news and is_ordered and oldest and oldest < known_before:
            break
        if since is not None and is_ordered and oldest and oldest < since:
            is_whole = complete_to >= since
            break
    if is_whole and newest and newest > complete_to:
        ledger.record_walk(scope, newest)
    return listed


def _move_back(complete_to: str) -> str:
    """The time up to which all jobs are known, less the margin; empty if no walk was ever complete."""
    time = moment(complete_to or None)
    return "" if time is None else iso(shift(time, -_MARGIN)) or ""


def _is_newest_first(times: Sequence[datetime | None]) -> bool:
    """Whether a page's own order shows that only older jobs follow it; some disorder is allowed."""
    known = [time for time in times if time is not None]
    if not known:
        return True
    oldest = known[0]
    for time in known:
        if time > shift(oldest, _DISORDER):
            return False
        oldest = min(oldest, time)
    return known[-1] <= known[0]


def _created(job: Job) -> str:
    return iso(job.created_at) or ""
