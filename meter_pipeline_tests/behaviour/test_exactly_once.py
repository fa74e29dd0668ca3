"""`kill -9` around each step of peek, load, commit, acknowledge: no change is lost, doubled or marked too soon."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.times import iso
from meter_pipeline_tests.behaviour import dying
from meter_pipeline_tests.behaviour.station import Station, assert_whole
from meter_pipeline_tests.behaviour.thorough import every

LATE = "late"
# Each takes seconds: the quick suite tries every third, `make slow` all of them.
POINTS = every(3, dying.POINTS)


@pytest.fixture(scope="module")
def reused() -> Iterator[Sandbox]:
    with Sandbox(worlds=()) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger, to be copied: creating a ledger for each kill takes longer than the kill."""
    path = tmp_path_factory.mktemp("template") / "ledger.sqlite"
    Ledger.open(str(path)).close()
    return path


@pytest.fixture
def sandbox(reused: Sandbox) -> Sandbox:
    """Two unseen changes of one schedule, and a third that comes right after the peek."""
    reused.reset()
    world = reused.world
    reused.add_strategy("Shop", "https://shop.example/", strategy_id="shop", items=[{"title": "Lamp"}])
    world.add_schedule("Shop", schedule_id="daily")
    for number in range(2):
        reused.advance(60)
        reused.insert_job("Shop", items=[{"n": number}], schedule="daily", job_id=f"job-{number}")

    def surprise(schedule: object = None, **_: object) -> None:
        world.insert_job("Shop", items=[{"n": LATE}], schedule="daily", job_id=LATE)

    world.surprise = surprise  # type: ignore[method-assign, assignment]
    reused.set_faults(change_before_flag=1)
    return reused


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_loses_no_change_and_acknowledges_none_before_it_is_stored(
    point: str, tmp_path: Path, sandbox: Sandbox, template: Path
) -> None:
    shutil.copy(template, tmp_path)
    assert dying.run(str(tmp_path), sandbox.url, sandbox.api_key, point) == -9
    assert_each_once(tmp_path, sandbox, {"job-0", "job-1", LATE})


@pytest.mark.parametrize("point", every(6, dying.POINTS))
def test_a_second_kill_during_recovery_loses_no_change_either(
    point: str, tmp_path: Path, sandbox: Sandbox, template: Path
) -> None:
    shutil.copy(template, tmp_path)
    assert dying.run(str(tmp_path), sandbox.url, sandbox.api_key, "after marking read") == -9
    sandbox.advance(60)
    sandbox.insert_job("Shop", items=[{"n": 3}], schedule="daily", job_id="job-3")
    assert dying.run(str(tmp_path), sandbox.url, sandbox.api_key, point) in (-9, 0)
    assert_each_once(tmp_path, sandbox, {"job-0", "job-1", LATE, "job-3"})


def assert_each_once(folder: Path, sandbox: Sandbox, ids: set[str]) -> None:
    """After a sync that follows a kill, each change was stored, noted and acknowledged once, in this order."""
    with Station(folder, sandbox) as station:
        stored = set(station.jobs("accepted"))
        for mark in sandbox.marks:
            assert set(mark.marked or ()) - {LATE} <= stored
        while (report := station.sync()).changes or report.acknowledged or report.jobs:
            assert report.exit_code == 0
        jobs = station.jobs("accepted")
        assert jobs.keys() == ids
        rows = [row for row in station.ledger.rows("change_sets") if row.acknowledged_at]
        assert sorted(row.job_id for row in rows) == sorted(ids)
        assert not sandbox.world.schedules["daily"].unseen
        for mark in sandbox.marks:
            read_at = iso(datetime.fromtimestamp(mark.real, timezone.utc)) or ""
            marked = set(mark.marked or ()) - ({LATE} if mark is sandbox.marks[0] else set())
            assert all((jobs[id_].loaded_at or "~") < read_at for id_ in marked)
        assert_whole(station)
