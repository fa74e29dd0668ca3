"""Counts the changes that a ledger's first sync will mark as seen at Meter, without marking them, and describes them.

All consumers of an account share one mark, and marking cannot be undone: people have to know beforehand.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone

from meter_pipeline.api import MeterClient
from meter_pipeline.sync.ahead import run_ahead
from meter_pipeline.text.counts import count_of

# The API has no count: every schedule's changes have to be read with all their items. So a count stops at these bounds.
MOST_SCHEDULES = 100
MOST_SECONDS = 20.0
_READERS = 8
_NEVER = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Tally:
    """Changes that are unseen at Meter.

    Attributes:
        changes: How many were counted.
        schedules: How many schedules have any.
        more: Whether there may be more than were counted.
    """

    changes: int
    schedules: int
    more: bool = False


def describe_marking(tally: Tally) -> str:
    """One line for people: how many changes a sync marks as seen, for whom, and how to prevent it."""
    counted = "no schedule has unseen changes so far"
    if tally.changes:
        changes, schedules = count_of(tally.changes, "unseen change"), count_of(tally.schedules, "schedule")
        counted = f"{'at least ' if tally.more else ''}{changes} of {schedules}"
    return (
        f"{counted}: a sync loads them, then marks them as seen at Meter for every "
        "consumer of the account; `sync --no-acknowledge`, or `acknowledge: false` in meter.yaml, leaves them unseen"
    )


def count_unseen(client: MeterClient, *, most: int = MOST_SCHEDULES, seconds: float = MOST_SECONDS) -> Tally:
    """Counts the unseen changes of all schedules without marking them.

    Args:
        client: The API.
        most: Most schedules to read; those that ran last are read first.
        seconds: After this time no further schedule is read.

    Raises:
        MeterError: The API cannot be reached, or a schedule's changes cannot be read.
    """
    schedules = sorted(client.schedules(), key=lambda schedule: schedule.last_run_at or _NEVER, reverse=True)
    end = time.monotonic() + seconds

    def count(schedule_id: str) -> int | None:
        if time.monotonic() > end:
            return None
        with client.changes(schedule_id, mark_seen=False) as found:
            return len(found.entries)

    read = run_ahead(count, [schedule.schedule_id for schedule in schedules[:most]], _READERS, name="meter-count")
    counts = [number for _, number in read if number is not None]
    return Tally(sum(counts), sum(number > 0 for number in counts), more=len(counts) < len(schedules))
