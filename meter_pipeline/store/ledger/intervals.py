"""Expected intervals: the longest time between two runs of a schedule."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the definitions ask for intervals while they load, and the rows bring pyarrow
    from meter_pipeline.store.ledger.rows import ScheduleRow

# A week of hourly runs shows the nights and the weekend; rarer expressions go on until this many runs.
_RUNS = 170
# Nobody waits for a run that comes once in a century; a multiple of a longer interval is beyond what dates can hold.
_LONGEST = 100 * 366 * 86_400
# A fixed start, so that the answer does not depend on the day of asking.
_START = datetime(2024, 1, 1, tzinfo=timezone.utc)


def expected_interval(schedule: ScheduleRow) -> int | None:
    """Seconds between two runs: the interval, or the longest gap of the cron expression; `None` if neither is valid."""
    if schedule.interval_seconds:
        return schedule.interval_seconds if 0 < schedule.interval_seconds <= _LONGEST else None
    return _longest_gap(schedule.cron_expression) if schedule.cron_expression else None


@lru_cache(maxsize=1024)
def _longest_gap(expression: str) -> int | None:
    from croniter import CroniterError, croniter

    try:
        times = croniter(expression, _START)
        last, longest = times.get_next(datetime), timedelta(0)
        for _ in range(_RUNS):
            following = times.get_next(datetime)
            last, longest = following, max(longest, following - last)
    except (CroniterError, ValueError, KeyError, TypeError):
        return None
    return int(longest.total_seconds())
