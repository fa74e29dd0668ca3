"""Finding jobs: the listing is read no further than needed, and no job is missed for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.behaviour.station import Station

HOUR = 3600.0


def insert(sandbox: Sandbox, count: int, *, apart: float = HOUR, before: float = 0.0, name: str = "Shop") -> list[str]:
    """Empty jobs, `apart` seconds apart, the newest `before` seconds ago."""
    now = sandbox.world.now - before
    return [sandbox.insert_job(name, items=[], completed_at=now - apart * number) for number in range(count)]


def listings(sandbox: Sandbox) -> int:
    return sum(entry.path.endswith("/jobs") for entry in sandbox.log)


def assert_all_known(station: Station, sandbox: Sandbox) -> None:
    assert station.jobs().keys() == {job.job_id for job in sandbox.world.jobs}


@pytest.mark.parametrize("without", ["", "no_v1"])
def test_a_sync_reads_no_further_than_known_ground(station: Station, empty_sandbox: Sandbox, without: str) -> None:
    if without:
        empty_sandbox.set_faults(**{without: True})
    insert(empty_sandbox, 450)
    station.sync()
    before = listings(empty_sandbox)
    assert station.sync().discovered == 0
    assert listings(empty_sandbox) - before == 1
    insert(empty_sandbox, 130, apart=10)
    before = listings(empty_sandbox)
    assert station.sync().discovered == 130
    assert listings(empty_sandbox) - before <= 3
    assert_all_known(station, empty_sandbox)


def test_a_job_of_the_same_second_that_is_listed_below_a_hundred_others_is_found(
    station: Station, empty_sandbox: Sandbox
) -> None:
    insert(empty_sandbox, 50, before=HOUR)
    late = empty_sandbox.insert_job("Shop", items=[])
    insert(empty_sandbox, 180, apart=0)
    body = empty_sandbox.world.jobs_by_id[late]
    empty_sandbox.world.delete_job(late)
    station.sync()
    # It stands where it would have stood: the order of one second's jobs is the server's.
    empty_sandbox.world._file(body)
    assert station.sync().discovered == 1
    assert late in station.jobs()


def test_a_job_that_is_listed_a_minute_late_is_found(station: Station, empty_sandbox: Sandbox) -> None:
    insert(empty_sandbox, 250, apart=0.1)
    station.sync()
    (late,) = insert(empty_sandbox, 1, before=60)
    assert station.sync().discovered == 1
    assert late in station.jobs()


def test_a_job_with_a_wrong_clock_hides_none_after_a_discovery_that_broke_off(
    station: Station, empty_sandbox: Sandbox
) -> None:
    insert(empty_sandbox, 150)
    empty_sandbox.insert_job("Shop", items=[], completed_at="2099-01-01T00:00:00Z")
    station.sync()
    empty_sandbox.advance(days=1)
    insert(empty_sandbox, 250, apart=60)
    station.ledger.record_jobs(next(station.client.job_pages(page_size=100)))
    assert station.sync().discovered == 151
    assert_all_known(station, empty_sandbox)


@pytest.mark.parametrize("clamp", [100, 7])
def test_a_listing_that_begins_with_the_oldest_is_read_to_its_end(
    station: Station, empty_sandbox: Sandbox, clamp: int
) -> None:
    empty_sandbox.set_faults(oldest_first=True, max_limit=clamp)
    insert(empty_sandbox, 150)
    station.sync()
    empty_sandbox.advance(days=1)
    new = set(insert(empty_sandbox, 3))
    assert station.sync().discovered == 3
    assert new <= station.jobs().keys()
    empty_sandbox.advance(days=1)
    newer = set(insert(empty_sandbox, 3))
    assert station.sync(since=empty_sandbox.now - timedelta(hours=20)).discovered == 3
    assert newer <= station.jobs("accepted").keys()


def test_jobs_of_a_strategy_that_was_made_after_the_last_walk_are_found_by_either_walk(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    stations = [make_station(empty_sandbox, name) for name in ("all", "one")]
    insert(empty_sandbox, 120)
    for station in stations:
        station.sync()
    insert(empty_sandbox, 150, apart=60, name="New")
    assert stations[0].sync().discovered == 150
    assert stations[1].sync(strategies=["New"]).discovered == 150


def test_jobs_that_are_deleted_between_syncs_hide_no_others(station: Station, empty_sandbox: Sandbox) -> None:
    ids = insert(empty_sandbox, 250)
    station.sync()
    for id_ in ids[:120]:
        empty_sandbox.world.delete_job(id_)
    empty_sandbox.advance(days=1)
    new = insert(empty_sandbox, 110, apart=60)
    assert station.sync().discovered == 110
    assert {*ids, *new} == station.jobs().keys()


def test_a_sync_since_some_time_leaves_no_gap_for_later_ones(station: Station, empty_sandbox: Sandbox) -> None:
    insert(empty_sandbox, 120)
    station.sync()
    empty_sandbox.advance(days=60)
    insert(empty_sandbox, 700, apart=HOUR * 2)
    station.sync(since=empty_sandbox.now - timedelta(days=1))
    empty_sandbox.advance(hours=1)
    insert(empty_sandbox, 5, apart=60)
    station.sync(since=empty_sandbox.now - timedelta(hours=3))
    station.sync()
    assert_all_known(station, empty_sandbox)
