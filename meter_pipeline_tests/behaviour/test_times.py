"""Clocks that show any year: such jobs load, change and publish like all others, and stop nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import StaleError
from meter_pipeline.store.ledger import manifest
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.times import iso, moment, month_of, now, shift
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline.sync.loading.release import release
from meter_pipeline.sync.loading.state import open_context
from meter_pipeline_tests.behaviour.station import Station, assert_whole

FIVE = [{"id": number, "price": 5} for number in range(5)]
FIVE_DEARER = [{"id": number, "price": 6} for number in range(5)]
ODD = [
    "0001-01-01T00:00:00Z",
    "0001-01-05T00:00:00Z",
    "0999-12-31T23:59:59Z",
    "9998-12-31T23:00:00Z",
    "9999-12-31T23:00:00Z",
]


@given(st.datetimes(timezones=st.just(timezone.utc)), st.timedeltas())
def test_every_time_has_one_month_and_can_be_moved_by_any_span(time: datetime, by: timedelta) -> None:
    spelled = iso(time)
    assert spelled is not None
    assert moment(spelled) == time
    arrow = pc.strftime(pa.array([time], pa.timestamp("us", tz="UTC")), format="%Y-%m").to_pylist()
    assert {month_of(spelled), month_of(time)} == set(arrow)
    moved = shift(time, by)
    assert (moved >= time) == (by >= timedelta(0)) or moved == time


@pytest.mark.parametrize("zone", [-23, 23])
@pytest.mark.parametrize("time", [datetime.min, datetime.max])
def test_the_ends_of_the_calendar_are_times_in_every_zone(time: datetime, zone: int) -> None:
    assert (iso(time.replace(tzinfo=timezone(timedelta(hours=zone)))) or "")[:4] in ("0001", "9999")


@pytest.mark.parametrize("time", ODD)
def test_jobs_of_any_year_are_listed_loaded_and_compared(station: Station, empty_sandbox: Sandbox, time: str) -> None:
    empty_sandbox.insert_job("Shop", items=FIVE, completed_at=time)
    usual = empty_sandbox.insert_job("Other", items=FIVE)
    assert station.sync().exit_code == 0
    assert len(station.jobs("accepted")) == 2
    later = iso(shift(moment(time), timedelta(minutes=1)))
    empty_sandbox.insert_job("Shop", items=FIVE_DEARER, completed_at=later)
    report = station.sync()
    assert report.exit_code == 0
    shop = report.strategies["shop"]
    assert (shop.added, shop.changed) == (0, 5)
    assert usual in station.jobs("accepted")
    assert station.sync(reconcile=True).exit_code == 0
    assert_whole(station)


@pytest.mark.parametrize("time", ["0001-01-05T00:00:00Z", "9999-12-31T23:00:00Z"])
def test_a_held_job_of_any_year_can_be_released(station: Station, empty_sandbox: Sandbox, time: str) -> None:
    held = empty_sandbox.insert_job("Shop", items=FIVE, completed_at=time, item_count=7)
    station.sync()
    assert set(station.jobs("held")) == {held}
    (report,) = release(station.ledger, station.lake, [held])
    assert (report.accepted, report.items) == (1, 5)
    assert_whole(station)


@pytest.mark.parametrize("time", ["0001-01-05T00:00:00Z", "9999-12-31T23:00:00Z"])
def test_months_are_spelled_the_same_in_the_manifest_in_arrow_and_in_the_warehouse(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path, time: str
) -> None:
    empty_sandbox.insert_job("Shop", items=FIVE, completed_at=time)
    station.sync()
    month = time[:7]
    (part,) = station.parts("shop", "raw")
    assert list(part.months()) == [month]
    publish(station.ledger, station.lake, tmp_path / "warehouse.duckdb")
    with reading(tmp_path / "warehouse.duckdb") as connection:
        query = "SELECT strftime(completed_at AT TIME ZONE 'UTC', '%Y-%m'), count(*) FROM meter.items GROUP BY 1"
        assert connection.execute(query).fetchall() == [(month, 5)]
        assert connection.execute("SELECT DISTINCT month FROM meter.partitions").fetchall() == [(month,)]


@pytest.mark.parametrize("last_run_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_schedule_that_ran_in_any_year_is_polled_like_all_others(
    make_station: Callable[..., Station], empty_sandbox: Sandbox, last_run_at: str
) -> None:
    strategy = empty_sandbox.add_strategy("Shop", items=FIVE)
    plan = empty_sandbox.add_schedule(strategy, interval_seconds=3600)
    empty_sandbox.advance(hours=2)
    time = moment(last_run_at)
    empty_sandbox.world.schedules[plan].last_run_at = (time - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()
    station = make_station(empty_sandbox)
    report = station.sync()
    assert report.exit_code == 0
    assert report.acknowledged >= 1
    assert {row.last_run_at for row in station.ledger.schedules()} == {iso(time)}


def test_a_machine_whose_clock_was_ahead_stops_no_later_sync(station: Station, empty_sandbox: Sandbox) -> None:
    shop = empty_sandbox.add_strategy("Shop", "https://shop.example/")
    empty_sandbox.insert_job(shop, items=FIVE)
    assert station.sync().exit_code == 0
    # Its sweep: what it takes for a day ago is years from now.
    station.ledger.note(manifest.SWEPT_BEFORE, "2099-01-01T00:00:00.000000Z")
    station.ledger.note(manifest.SWEPT_AT, "2099-01-02T00:00:00.000000Z")
    context = open_context(station.lake, station.ledger, shop)
    empty_sandbox.insert_job(shop, items=FIVE_DEARER)
    assert station.sync().exit_code == 0
    assert len(station.jobs("accepted")) == 2
    assert_whole(station)
    # The sweep that followed goes by the right clock, and what was begun before the first one stays refused.
    assert str(station.ledger.swept_at) < now()
    context.draft.append("raw", station.read("raw", "shop"))
    strategy = station.ledger.strategy(shop)
    assert strategy is not None
    with pytest.raises(StaleError, match="may have been deleted as leftovers"):
        station.ledger.commit(Commit(shop, strategy.version, (), context.draft.change()))
    empty_sandbox.insert_job(shop, items=FIVE)
    assert station.sync().exit_code == 0
    assert_whole(station)
