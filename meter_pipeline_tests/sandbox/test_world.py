"""The world is the same for the same seed, however time passes, and large worlds are cheap."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox, SandboxError
from meter_pipeline_tests.sandbox.calls import Calls

Make = Callable[..., Sandbox]


def jobs_of(sandbox: Sandbox) -> list[dict[str, Any]]:
    calls, rows = Calls(sandbox), []
    while page := calls.get("/jobs", limit=100, offset=len(rows)).json():
        rows += page
    return rows


def test_one_long_step_makes_the_same_jobs_as_many_short_ones(make_sandbox: Make) -> None:
    once, often = make_sandbox(), make_sandbox()
    once.advance(days=1)
    for _ in range(24 * 3):
        often.advance(timedelta(minutes=20))
    rows = jobs_of(once)
    assert rows == jobs_of(often)
    assert len(rows) > 100
    body = Calls(once).get(f"/jobs/{rows[40]['id']}").content
    assert body == Calls(often).get(f"/jobs/{rows[40]['id']}").content


def test_another_seed_makes_another_world(make_sandbox: Make) -> None:
    one, other = make_sandbox(seed=1, days=1), make_sandbox(seed=2, days=1)
    assert not {row["id"] for row in jobs_of(one)} & {row["id"] for row in jobs_of(other)}


def test_the_worlds_show_what_they_promise(make_sandbox: Make) -> None:
    sandbox = make_sandbox(days=4)
    calls = Calls(sandbox)
    found: dict[str, list[dict[str, Any]]] = {}
    for strategy in sandbox.world.strategies.values():
        some = [*strategy.jobs[:3], *strategy.jobs[-4:]]
        jobs = [calls.get(f"/jobs/{job.job_id}").json() for job in some]
        found[strategy.name] = [job for job in jobs if job["status"] in ("completed", "failed")]
    prices = {job["results"][0]["price"] for job in found["New books"]}
    assert len(prices) > 1
    assert all(price.startswith("€") for price in prices)
    assert isinstance(found["Book stock"][0]["results"][0]["price"], float)
    assert len({job["url"] for job in found["Book shelves"]}) == 3
    posting = found["Job board"][0]["results"][0]
    assert set(posting["company"]["location"]) == {"city", "country"}
    first, last = (
        {row["reference"] for row in found["Job board"][end]["results"]} for end in (0, -1)
    )  # fmt: skip
    assert first - last
    assert last - first
    assert list(found["Job board feed"][0]["results"]) == ["listings"]
    assert set(found["Newsroom sections"][0]["results"][0]) == {"heading", "level", "content"}


def test_scheduled_jobs_pass_through_pending_and_running(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=())
    strategy = sandbox.add_strategy("S", items=[{"a": 1}])
    sandbox.add_schedule(strategy, interval_seconds=3600)
    states = []
    for step in (3599, 1, 2, 60):
        sandbox.advance(step)
        states.append([row["status"] for row in jobs_of(sandbox)])
    assert states == [[], ["pending"], ["running"], ["completed"]]


def test_cron_runs_at_its_hours_in_utc(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=())
    schedule = sandbox.add_schedule(sandbox.add_strategy("S"), cron_expression="30 5 * * 1-5")
    sandbox.advance(days=8)
    runs = [job.created_at for job in sandbox.world.schedules[schedule].jobs]
    assert [row["created_at"] for row in jobs_of(sandbox)][::-1] == [
        f"2026-03-{day:02d}T05:30:00Z" for day in (3, 4, 5, 6, 9, 10)
    ]
    assert len(runs) == 6


def test_a_paused_schedule_does_not_run_and_a_deleted_ones_jobs_stay(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=())
    calls = Calls(sandbox)
    schedule = sandbox.add_schedule(sandbox.add_strategy("S"), interval_seconds=60)
    sandbox.advance(600)
    calls.patch(f"/schedules/{schedule}", {"enabled": False})
    sandbox.advance(600)
    assert len(jobs_of(sandbox)) == 10
    calls.patch(f"/schedules/{schedule}", {"enabled": True})
    sandbox.advance(60)
    calls.delete(f"/schedules/{schedule}")
    sandbox.advance(600)
    assert len(jobs_of(sandbox)) == 11


def test_a_running_clock_moves_by_itself(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["newsroom"], speed=36000.0)
    began = sandbox.now
    while not sandbox.world.jobs:  # the server's own tick makes runs fall due; nobody asks
        pass
    assert sandbox.now > began


def test_inserted_jobs_take_their_place_by_time(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=())
    strategy = sandbox.add_strategy("S")
    late = sandbox.insert_job(strategy, items=[{"n": 2}], completed_at="2026-03-01T00:00:00Z")
    early = sandbox.insert_job("S", items=[{"n": 1}], completed_at="2026-02-01T00:00:00Z")
    odd = sandbox.insert_job("S", raw='[{"n": 12345678901234567890123, "n": "\\ud800"}]', summary="three", item_count=7)
    assert [row["id"] for row in jobs_of(sandbox)] == [odd, late, early]
    response = Calls(sandbox).get(f"/jobs/{odd}")
    assert b'[{"n": 12345678901234567890123, "n": "\\ud800"}]' in response.content
    assert (response.json()["summary"], response.json()["item_count"]) == ("three", 7)
    sandbox.delete_job(late)
    assert [row["id"] for row in jobs_of(sandbox)] == [odd, early]
    with pytest.raises(SandboxError, match="no job"):
        sandbox.delete_job(late)


def test_a_thousand_schedules_and_ten_thousand_jobs_are_listed_whole(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=(), faults={"max_limit": 1000})
    for number in range(20):
        strategy = sandbox.add_strategy(f"S{number}", items=[{"a": 1}])
        for _ in range(50):
            sandbox.add_schedule(strategy, interval_seconds=3600)
    sandbox.advance(hours=10.5)
    calls = Calls(sandbox)
    assert len(calls.get("/schedules").json()) == 1000
    ids = set()
    for offset in range(0, 11000, 1000):
        ids |= {row["id"] for row in calls.get("/jobs", limit=1000, offset=offset, status="completed").json()}
    assert len(ids) == len(sandbox.world.jobs) == 10000


def test_an_unknown_world_is_named() -> None:
    with pytest.raises(SandboxError, match="no world is called 'zoo'; choose from bookshop"):
        Sandbox(worlds=["zoo"])


def test_reset_begins_again(make_sandbox: Make) -> None:
    sandbox = make_sandbox(days=1)
    before = jobs_of(sandbox)
    sandbox.advance(days=1)
    sandbox.set_faults(rate_500=0.5)
    sandbox.reset()
    assert jobs_of(sandbox) == before


def test_runs_of_the_slow_schedules_wait_at_busy_hours_and_no_others_do(make_sandbox: Make) -> None:
    world = make_sandbox(days=3).world
    waits: dict[str, dict[int, float]] = {}
    for schedule in world.schedules.values():
        name = world.strategies[schedule.strategy_id].name
        for job in schedule.jobs:
            if job.started_at is not None:
                waits.setdefault(name, {})[int(job.created_at)] = job.started_at - job.created_at - 2
    assert {name for name, found in waits.items() if any(found.values())} == {"Job board", "Flaky shop"}
    board = waits["Job board"]
    assert all(0 <= wait < 40 * 60 for wait in board.values())
    assert max(board.values()) > 20 * 60
    late = {at // 3600 % 24 for at, wait in board.items() if wait}
    assert late <= {6, 7, 8, 9, 18, 19, 20, 21}
