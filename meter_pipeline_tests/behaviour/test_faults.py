"""Whatever faults the API has, every job is loaded once, or named as unreadable while the others are loaded."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from meter_pipeline.api import Bounds, MeterTooLarge
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.report import Silent
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, insert_drifting
from meter_pipeline_tests.behaviour.thorough import slow


def test_with_a_fifth_of_all_responses_faulty_every_job_is_loaded_once(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    insert_drifting(empty_sandbox)
    whole = make_station(empty_sandbox, "whole")
    whole.sync()
    empty_sandbox.set_faults(all=0.2, slow_seconds=0.05, retry_after=0)
    station = make_station(empty_sandbox, "faulty", max_attempts=12)
    report = station.sync()
    empty_sandbox.clear_faults()
    assert report.exit_code == 0
    assert report.requests > 48
    assert_whole(station)
    assert_equal(station, whole)


def test_a_job_that_always_fails_is_unreadable_and_all_others_are_loaded(
    station: Station, empty_sandbox: Sandbox
) -> None:
    ids = insert_drifting(empty_sandbox)
    empty_sandbox.set_faults(fail_jobs={ids[5]}, garbage_jobs={ids[6]})
    report = station.sync()
    assert report.exit_code == 1
    assert {problem.job_id for problem in report.problems} == {ids[5], ids[6]}
    assert set(station.jobs("unreadable")) == {ids[5], ids[6]}
    assert len(station.jobs("accepted")) == 38
    assert "500" in (station.jobs()[ids[5]].reason or "")
    assert all("\n" not in (row.reason or "") for row in station.jobs("unreadable").values())
    assert_whole(station)


def test_a_job_answered_with_another_job_is_unreadable_and_not_loaded_as_the_other(
    station: Station, empty_sandbox: Sandbox
) -> None:
    other = empty_sandbox.insert_job("Good", items=[{"g": 1}])
    asked = empty_sandbox.insert_job("Bad", items=[{"b": 1}])
    empty_sandbox.set_faults(mix_up=1, path=f"/jobs/{asked}$")
    report = station.sync()
    (problem,) = report.problems
    assert (problem.job_id, problem.state) == (asked, "unreadable")
    assert f"job {other}, not job {asked} that was asked for" in problem.reason
    assert station.jobs("unreadable")[asked].attempts == 1
    assert station.results("bad").num_rows == 0
    assert station.read("raw", "good", ["item"]).to_pylist() == [{"item": '{"g":1}'}]
    assert_whole(station)
    empty_sandbox.clear_faults()
    assert station.sync(reconcile=True).exit_code == 0
    assert station.read("raw", "bad", ["item"]).to_pylist() == [{"item": '{"b":1}'}]
    assert_whole(station)


def test_changes_of_another_schedule_are_neither_noted_nor_acknowledged(
    station: Station, empty_sandbox: Sandbox
) -> None:
    plans = [empty_sandbox.add_schedule(empty_sandbox.add_strategy(name)) for name in ("Good", "Bad")]
    for plan, name in zip(plans, ("Good", "Bad"), strict=True):
        empty_sandbox.insert_job(name, items=[{"a": name}], schedule=plan)
    empty_sandbox.set_faults(mix_up=1, path=f"/schedules/{plans[1]}/changes$")
    (problem,) = station.sync().problems
    assert problem.schedule_id == plans[1]
    assert f"schedule {plans[0]}, not schedule {plans[1]} that was asked for" in problem.reason
    assert len(station.jobs("accepted")) == 2
    assert not empty_sandbox.world.schedules[plans[0]].unseen
    assert empty_sandbox.world.schedules[plans[1]].unseen
    empty_sandbox.clear_faults()
    assert station.sync().exit_code == 0
    assert not empty_sandbox.world.schedules[plans[1]].unseen


@pytest.mark.parametrize("fault", ["endless", "bomb"])
def test_a_job_beyond_a_bound_is_unreadable_with_the_bound_and_all_others_are_loaded(
    make_station: Callable[..., Station], empty_sandbox: Sandbox, fault: str
) -> None:
    bounds = Bounds(max_body=3_000_000)
    station = make_station(empty_sandbox, bounds=bounds, spool_bytes=10_000)
    plan = empty_sandbox.add_schedule(empty_sandbox.add_strategy("Books"))
    ids = [empty_sandbox.insert_job("Books", items=[{"a": number}], schedule=plan) for number in range(5)]
    empty_sandbox.set_faults(**{fault: 1}, path=f"/jobs/{ids[2]}$|changes$")
    report = station.sync()
    assert report.exit_code == 1
    assert {problem.job_id or problem.schedule_id for problem in report.problems} == {ids[2], plan}
    assert set(station.jobs("accepted")) == {*ids} - {ids[2]}
    assert "the body is larger than 3 MB; raise METER_MAX_BODY" in (station.jobs()[ids[2]].reason or "")
    assert empty_sandbox.world.schedules[plan].unseen
    assert_whole(station)
    empty_sandbox.clear_faults()
    assert station.sync(reconcile=True).exit_code == 0
    assert set(station.jobs("accepted")) == {*ids}
    assert not empty_sandbox.world.schedules[plan].unseen


def test_a_job_that_is_one_item_beyond_the_bound_is_unreadable_in_a_change_set_too(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    station = make_station(empty_sandbox, bounds=Bounds(max_record=100_000), spool_bytes=10_000)
    plan = empty_sandbox.add_schedule(empty_sandbox.add_strategy("Books"))
    good = empty_sandbox.insert_job("Books", items=[{"a": 1}], schedule=plan)
    bad = empty_sandbox.insert_job("Books", raw=json.dumps({"a": "x" * 200_000}), schedule=plan)
    report = station.sync()
    (problem,) = report.problems
    assert (problem.job_id, problem.state) == (bad, "unreadable")
    assert "a record is larger than 100 kB; raise METER_MAX_RECORD" in problem.reason
    assert set(station.jobs("accepted")) == {good}
    assert empty_sandbox.world.schedules[plan].unseen


@pytest.mark.parametrize("kind", ["new", slow("again")])
def test_an_endless_listing_ends_the_sync_with_one_clear_error(
    station: Station, empty_sandbox: Sandbox, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tenth of the pages: each of them is recorded in the ledger.
    monkeypatch.setattr("meter_pipeline.api.paging._LONG", 10)
    monkeypatch.setattr("meter_pipeline.api.paging._MOST_STALE", 20)
    for number in range(120):
        empty_sandbox.insert_job("Books", items=[{"a": number}])
    empty_sandbox.set_faults(endless_jobs=kind)
    with pytest.raises(MeterTooLarge, match="the listing does not end"):
        station.sync(reconcile=True)
    empty_sandbox.clear_faults()
    station.sync(reconcile=True)
    assert len(station.jobs("accepted")) == 120
    assert_whole(station)


class _Gone(Silent):
    """Takes the API away once a number of jobs is loaded."""

    def __init__(self, sandbox: Sandbox, jobs: int) -> None:
        self._sandbox = sandbox
        self._left = jobs

    def advance(self, jobs: int) -> None:
        """Counts."""
        before, self._left = self._left, self._left - jobs
        if before > 0 >= self._left:
            self._sandbox.set_faults(drop_before=1.0)


def test_when_the_api_goes_away_the_next_sync_finishes(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    insert_drifting(empty_sandbox, 80)
    station = make_station(empty_sandbox, max_attempts=2)
    report = station.sync(progress=_Gone(empty_sandbox, 5), limits=Limits(workers=2, batch_bytes=1_000))
    assert report.stopped is not None
    assert "\n" not in report.stopped
    assert report.exit_code == 1
    empty_sandbox.clear_faults()
    assert station.sync(reconcile=True).exit_code == 0
    assert len(station.jobs("accepted")) == 80
    assert_whole(station)
