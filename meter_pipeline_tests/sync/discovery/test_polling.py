"""Polling all schedules: what it costs, and that it stops in time."""

from __future__ import annotations

import time

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync.discovery.polling import Poll, poll_schedules
from meter_pipeline_tests.behaviour.station import Station


@pytest.fixture
def thirty_schedules(empty_sandbox: Sandbox) -> Sandbox:
    """Thirty schedules that ran."""
    for number in range(30):
        empty_sandbox.add_strategy(f"Shop {number}", items=[])
        empty_sandbox.world.add_schedule(f"Shop {number}", schedule_id=f"s{number:02}")
        empty_sandbox.insert_job(f"Shop {number}", items=[{"a": 1}], schedule=f"s{number:02}")
    return empty_sandbox


def requested(sandbox: Sandbox) -> set[str]:
    """The last steps of all requested paths, without the request that finds the dialect."""
    return {entry.path.rpartition("/")[2] for entry in sandbox.log if entry.query != "limit=1"}


def test_one_listing_polls_all_schedules_and_no_changes_are_read(station: Station, thirty_schedules: Sandbox) -> None:
    poll = Poll()
    poll_schedules(station.client, station.ledger, poll, until=time.monotonic() + 60)
    assert (poll.schedules, len(poll.due), poll.scraping, poll.strategies_listed) == (30, 30, 0, True)
    assert "changes" not in requested(thirty_schedules)
    station.sync()
    before, poll = len(thirty_schedules.log), Poll()
    poll_schedules(station.client, station.ledger, poll, strategies=False, until=time.monotonic() + 60)
    assert (poll.schedules, poll.due) == (30, [])
    assert len(thirty_schedules.log) - before <= 2


def test_a_poll_without_time_left_lists_due_schedules_and_requests_nothing_more(
    station: Station, thirty_schedules: Sandbox
) -> None:
    poll = Poll()
    poll_schedules(station.client, station.ledger, poll, until=time.monotonic())
    assert (len(poll.due), poll.strategies_listed) == (30, False)
    assert requested(thirty_schedules) == {"schedules"}
