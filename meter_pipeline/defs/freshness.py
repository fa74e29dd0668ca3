"""Freshness policies of the results, computed from the interval of each strategy's schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.rows import ScheduleRow

# Time for the job itself, and for the sync that follows it.
_SLACK = timedelta(hours=1)
_WARN, _FAIL = 2, 3


def freshness(schedules: Sequence[ScheduleRow]) -> Mapping[str, dg.FreshnessPolicy]:
    """Returns the policy of each strategy that an enabled schedule runs, by strategy id.

    It warns after two missed runs of the strategy's most frequent schedule, and fails after three.
    """
    # Imported here: definitions of an empty folder need no cron parser.
    from meter_pipeline.store.ledger.intervals import expected_interval

    seconds: dict[str, int] = {}
    for schedule in schedules:
        expected = expected_interval(schedule) if schedule.enabled else None
        if expected and schedule.strategy_id:
            seconds[schedule.strategy_id] = min(expected, seconds.get(schedule.strategy_id, expected))
    return {
        strategy_id: dg.FreshnessPolicy.time_window(
            warn_window=timedelta(seconds=_WARN * expected) + _SLACK,
            fail_window=timedelta(seconds=_FAIL * expected) + _SLACK,
        )
        for strategy_id, expected in seconds.items()
    }
