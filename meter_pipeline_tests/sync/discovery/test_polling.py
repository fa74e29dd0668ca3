"""A look at all schedules: what it costs, and that it knows when to stop."""

from __future__ import annotations

import time

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync.discovery.polling import Sight, look
from meter_pipeline_tests.behaviour.station import Station


@pytest.fixture
def many(empty_sandbox: Sandbox) -> Sandbox:
    """Thirty schedules that ran."""
    for number in range(30):
        empty_sandbox.add_strategy(f"Shop {number}", items=[])
        empty_sandbox.world.add_schedule(f"Shop {number}", schedule_id=f"s{number:02}")
        empty_sandbox.insert_job(f"Shop {number}", items=[{"a": 1}], schedule=f"s{number:02}")
    return empty_sandbox


def asked(sandbox: Sandbox) -> set[str]:
    """What was asked for, the question for the dialect left out."""
    return {entry.path.rpartition("/")[2] for entry in sandbox.log if entry.query != "limit=1"}


def test_all_schedules_are_looked_at_by_one_listing_and_no_changes_are_read(station: Station, many: Sandbox) -> None:
    sight = Sight()
    look(station.client, station.ledger, sight, until=time.monotonic() + 60)
    assert (sight.schedules, len(sight.due), sight.scraping, sight.strategies_listed) == (30, 30, 0, True)
    assert "changes" not in asked(many)
    station.sync()
    before, sight = len(many.log), Sight()
    look(station.client, station.ledger, sight, strategies=False, until=time.monotonic() + 60)
    assert (sight.schedules, sight.due) == (30, [])
    assert len(many.log) - before <= 2


def test_a_look_without_time_left_tells_what_is_due_and_asks_nothing_more(station: Station, many: Sandbox) -> None:
    sight = Sight()
    look(station.client, station.ledger, sight, until=time.monotonic())
    assert (len(sight.due), sight.strategies_listed) == (30, False)
    assert asked(many) == {"schedules"}
