"""Polls Meter for schedules that have something to sync, at the cost of a few requests.

No schedule's changes are read here: only a run can bring changes, and a sync that was cut short leaves a note in the
ledger. So one request, the listing of schedules, shows which of them ran, and a few pages of the newest jobs show which
of these runs have ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from meter_pipeline.api import MeterClient, Strategy
from meter_pipeline.store.ledger.change_sets import Peek, Unseen
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import ScheduleRow
from meter_pipeline.store.times import iso, now
from meter_pipeline.sync.discovery.change_sets import SETTLED
from meter_pipeline.sync.discovery.listing import record_schedules, record_strategies
from meter_pipeline.sync.report import Problem

# Pages of the newest jobs that are read to find out whether the runs have ended.
_PAGES = 3


@dataclass
class Poll:
    """What a poll has found.

    Attributes:
        schedules: Number of schedules.
        due: Ids of schedules that ran, or that a sync did not finish.
        scraping: Number of schedules that ran and whose jobs have not ended.
        resting: Number of schedules that a sync could not finish and whose next attempt is not due yet.
        notices: Changes to schedules (created, deleted, paused, resumed, another interval), one line each.
        strategies_listed: Whether the strategies were listed, too, within the time.
        new_strategies: Slugs of strategies that the ledger did not know before.
        problems: Records that could not be used.
    """

    schedules: int = 0
    due: list[str] = field(default_factory=list)
    scraping: int = 0
    resting: int = 0
    notices: list[str] = field(default_factory=list)
    strategies_listed: bool = False
    new_strategies: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def poll_schedules(
    client: MeterClient,
    ledger: Ledger,
    poll: Poll,
    *,
    strategies: bool = True,
    acknowledge: bool = True,
    until: float,
) -> None:
    """Lists all schedules, records their new versions in the ledger, and finds out which are due.

    Args:
        client: The API.
        ledger: Where new versions of schedules and strategies are recorded.
        poll: Gets the results. It has the notices even if the API fails later on: no other poll would find them again.
        strategies: Whether to list the strategies even if every schedule's strategy is known.
        acknowledge: Whether changes that are not marked as seen at Meter make their schedule due.
        until: When to stop, as a time of `time.monotonic`.

    Raises:
        MeterError: The API cannot be reached or refuses the key.
    """
    before = {row.schedule_id: row for row in ledger.schedules()}
    listed = client.schedules()
    record_schedules(client, ledger, listed, poll.problems)
    after = ledger.schedules()
    poll.schedules = len(listed)
    poll.notices = list(_describe_differences(before, after)) if before else []
    known = {row.strategy_id for row in ledger.strategies()}
    wants_strategies = strategies or any(schedule.strategy_id not in known for schedule in listed)
    if wants_strategies and time.monotonic() < until:
        found = _read_in_time(client.strategies(), until)
        if found is not None:
            poll.strategies_listed = True
            poll.new_strategies = record_strategies(client, ledger, found, poll.problems)
    ran = _find_due(ledger, [row for row in after if row.deleted_at is None], acknowledge, poll)
    if ran and time.monotonic() < until:
        poll.scraping = _remove_scraping(client, ledger, ran, poll, until)
    poll.due.sort()


def _read_in_time(listed: Iterable[Strategy], until: float) -> list[Strategy] | None:
    """The whole listing, or None if it takes too long: with half of it, the others would count as deleted."""
    strategies = []
    for strategy in listed:
        if time.monotonic() > until:
            return None
        strategies.append(strategy)
    return strategies


@dataclass(frozen=True)
class _Ran:
    """When a schedule last ran, and the time up to which its runs are settled; ISO 8601 text in UTC."""

    last: str
    settled: str


def _find_due(ledger: Ledger, schedules: Sequence[ScheduleRow], acknowledge: bool, poll: Poll) -> dict[str, _Ran]:
    """Adds the due and the resting schedules to `poll`; returns those that are due because they ran, by id."""
    unseen = Unseen(ledger)
    notes, unacknowledged = unseen.peeks(), unseen.open() if acknowledge else {}
    moment, ran = now(), {}
    for row in schedules:
        note = notes.get(row.schedule_id, Peek(row.schedule_id))
        has_run = row.last_run_at != note.run_at
        if not (has_run or note.attempts or note.marking_at or row.schedule_id in unacknowledged):
            continue
        if note.tries(row.last_run_at) and (note.retry_at or "") > moment:
            poll.resting += 1
            continue
        poll.due.append(row.schedule_id)
        if has_run:
            ran[row.schedule_id] = _Ran(row.last_run_at or "", note.run_at or row.created_at or "")
    return ran


def _remove_scraping(client: MeterClient, ledger: Ledger, ran: dict[str, _Ran], poll: Poll, until: float) -> int:
    """Removes from the due schedules those whose runs have no result to load yet; returns their number.

    A run may last beyond the start of the next one, so every run that is not settled counts. A schedule with more such
    runs than a few pages show stays due.
    """
    oldest = min(run.last for run in ran.values())
    running: set[str] = set()
    ended: set[str] = set()
    read_back_to = ""
    for number, page in enumerate(client.job_pages(), 1):
        own = [job for job in page if job.schedule_id in ran]
        terminal = [job.job_id for job in own if job.is_terminal]
        completed = {job.job_id for job in own if job.is_completed}
        # A job that the ledger has as failed and that has completed since is still to be loaded.
        settled = {
            row.job_id
            for row in ledger.jobs(ids=terminal, states=tuple(SETTLED))
            if row.state != "failed" or row.job_id not in completed
        }
        running |= {job.schedule_id or "" for job in own if not job.is_terminal}
        ended |= {job.schedule_id or "" for job in own if job.is_terminal and job.job_id not in settled}
        last = iso(page[-1].created_at) or ""
        if last < min([oldest, *(ran[id_].settled for id_ in running - ended)]):
            break
        if number == _PAGES or time.monotonic() > until:
            read_back_to = last
            break
    scraping = {id_ for id_ in running - ended if ran[id_].settled >= read_back_to}
    poll.due = [id_ for id_ in poll.due if id_ not in scraping]
    return len(scraping)


def _describe_differences(before: dict[str, ScheduleRow], after: Iterable[ScheduleRow]) -> Iterable[str]:
    for row in after:
        old = before.get(row.schedule_id)
        name = f"schedule {row.schedule_id}"
        if old is None:
            yield f"{name} is new ({_describe_interval(row)})"
            continue
        if (old.deleted_at is None) != (row.deleted_at is None):
            yield f"{name} was deleted" if row.deleted_at else f"{name} is back"
        if old.enabled != row.enabled:
            yield f"{name} was {'resumed' if row.enabled else 'paused'}"
        if _describe_interval(old) != _describe_interval(row):
            yield f"{name} now runs {_describe_interval(row)} (before: {_describe_interval(old)})"


def _describe_interval(row: ScheduleRow) -> str:
    return f"by cron {row.cron_expression}" if row.cron_expression else f"every {row.interval_seconds} s"
