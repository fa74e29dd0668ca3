"""What there is to sync, told by a look that costs next to nothing: the listing of schedules says which of them ran.

No schedule's changes are read here: a run is what can bring changes, and a sync that was cut short leaves a note in the
ledger. So one request serves for all schedules, and one or two more tell which of the runs are over.
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

# Pages of the newest jobs that are read to see whether the scrapes of the schedules that ran are over.
_PAGES = 3


@dataclass
class Sight:
    """What a look has shown.

    Attributes:
        schedules: How many there are.
        due: Schedules that ran, or that a sync left something to do for.
        scraping: Schedules that ran, and whose jobs are not over.
        resting: Schedules that a sync could not finish with, and whose next try is not due.
        notices: What is new about schedules: made, deleted, paused, resumed, retimed; one line each.
        strategies_listed: Whether the strategies were listed, too, and in time.
        new_strategies: Slugs of strategies that were seen for the first time.
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


def look(
    client: MeterClient,
    ledger: Ledger,
    sight: Sight,
    *,
    strategies: bool = True,
    acknowledge: bool = True,
    until: float,
) -> None:
    """Looks at all schedules, and notes in the ledger what is new about them.

    Args:
        client: The API.
        ledger: Takes new versions of schedules and strategies.
        sight: Told what there is; notices are in it even if the API goes away half-way, since nobody finds them again.
        strategies: List the strategies, too, even if every schedule's strategy is known.
        acknowledge: Whether changes that Meter was not told about are something left to do.
        until: When to be done, by `time.monotonic`.

    Raises:
        MeterError: The API cannot be reached or refuses the key.
    """
    before = {row.schedule_id: row for row in ledger.schedules()}
    listed = client.schedules()
    record_schedules(client, ledger, listed, sight.problems)
    after = ledger.schedules()
    sight.schedules = len(listed)
    sight.notices = list(_differences(before, after)) if before else []
    known = {row.strategy_id for row in ledger.strategies()}
    wanted = strategies or any(item.strategy_id not in known for item in listed)
    if wanted and time.monotonic() < until:
        found = _in_time(client.strategies(), until)
        if found is not None:
            sight.strategies_listed = True
            sight.new_strategies = record_strategies(client, ledger, found, sight.problems)
    ran = _due(ledger, [row for row in after if row.deleted_at is None], acknowledge, sight)
    if ran and time.monotonic() < until:
        sight.scraping = _leave_scraping(client, ledger, ran, sight, until)
    sight.due.sort()


def _in_time(listed: Iterable[Strategy], until: float) -> list[Strategy] | None:
    """All of a listing, or `None` when it takes too long: half of one would make the rest look deleted."""
    found = []
    for strategy in listed:
        if time.monotonic() > until:
            return None
        found.append(strategy)
    return found


@dataclass(frozen=True)
class _Ran:
    """A schedule that ran: when at last, and up to when all of its runs are dealt with."""

    last: str
    settled: str


def _due(ledger: Ledger, schedules: Sequence[ScheduleRow], acknowledge: bool, sight: Sight) -> dict[str, _Ran]:
    """Fills in what is due and what rests; returns those that are due since they ran."""
    unseen = Unseen(ledger)
    notes, open_ = unseen.peeks(), unseen.open() if acknowledge else {}
    moment, ran = now(), {}
    for row in schedules:
        note = notes.get(row.schedule_id, Peek(row.schedule_id))
        new_run = row.last_run_at != note.run_at
        if not (new_run or note.attempts or note.marking_at or row.schedule_id in open_):
            continue
        if note.tries(row.last_run_at) and (note.retry_at or "") > moment:
            sight.resting += 1
            continue
        sight.due.append(row.schedule_id)
        if new_run:
            ran[row.schedule_id] = _Ran(row.last_run_at or "", note.run_at or row.created_at or "")
    return ran


def _leave_scraping(client: MeterClient, ledger: Ledger, ran: dict[str, _Ran], sight: Sight, until: float) -> int:
    """Takes out of what is due the schedules whose runs have brought nothing yet; returns how many.

    A run may take longer than the time to the next one, so all runs count that no sync has dealt with; a schedule with
    more of them than a few pages show is not waited for.
    """
    oldest = min(run.last for run in ran.values())
    going_on: set[str] = set()
    over: set[str] = set()
    seen_back_to = ""
    for number, page in enumerate(client.job_pages(), 1):
        own = [job for job in page if job.schedule_id in ran]
        ended = [job.job_id for job in own if job.is_terminal]
        completed = {job.job_id for job in own if job.is_completed}
        # A job that had failed and is completed now is yet to be loaded.
        settled = {
            row.job_id
            for row in ledger.jobs(ids=ended, states=tuple(SETTLED))
            if row.state != "failed" or row.job_id not in completed
        }
        going_on |= {job.schedule_id or "" for job in own if not job.is_terminal}
        over |= {job.schedule_id or "" for job in own if job.is_terminal and job.job_id not in settled}
        last = iso(page[-1].created_at) or ""
        if last < min([oldest, *(ran[id_].settled for id_ in going_on - over)]):
            break
        if number == _PAGES or time.monotonic() > until:
            seen_back_to = last
            break
    scraping = {id_ for id_ in going_on - over if ran[id_].settled >= seen_back_to}
    sight.due = [id_ for id_ in sight.due if id_ not in scraping]
    return len(scraping)


def _differences(before: dict[str, ScheduleRow], after: Iterable[ScheduleRow]) -> Iterable[str]:
    for row in after:
        old = before.get(row.schedule_id)
        name = f"schedule {row.schedule_id}"
        if old is None:
            yield f"{name} is new ({_rhythm(row)})"
            continue
        if (old.deleted_at is None) != (row.deleted_at is None):
            yield f"{name} was deleted" if row.deleted_at else f"{name} is back"
        if old.enabled != row.enabled:
            yield f"{name} was {'resumed' if row.enabled else 'paused'}"
        if _rhythm(old) != _rhythm(row):
            yield f"{name} now runs {_rhythm(row)} (before: {_rhythm(old)})"


def _rhythm(row: ScheduleRow) -> str:
    return f"by cron {row.cron_expression}" if row.cron_expression else f"every {row.interval_seconds} s"
