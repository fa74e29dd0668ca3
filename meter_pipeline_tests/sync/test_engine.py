"""A sync loads every job once, changes nothing that is loaded, and names the jobs that it could not load."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync import SelectionError
from meter_pipeline.sync.limits import Limits
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, flagging, insert_drifting


def test_a_second_sync_changes_no_byte_and_sends_few_requests(station: Station, empty_sandbox: Sandbox) -> None:
    insert_drifting(empty_sandbox)
    first = station.sync()
    assert (first.jobs, first.exit_code, first.problems) == (40, 0, [])
    assert_whole(station)
    before = station.files()
    second = station.sync()
    assert (second.jobs, second.discovered) == (0, 0)
    assert second.requests < 10
    assert station.files() == before


def test_loading_a_job_again_leaves_the_tables_equal(station: Station, empty_sandbox: Sandbox) -> None:
    ids = insert_drifting(empty_sandbox)
    station.sync()
    before = station.rows(), station.schemas()
    report = station.sync(jobs=[ids[3], ids[8]], again=True)
    assert report.jobs == 2
    assert (station.rows(), station.schemas()) == before
    assert_whole(station)


def test_the_default_worlds_are_loaded_completely(make_station: Callable[..., Station], make_sandbox: Any) -> None:
    sandbox = make_sandbox(days=0.5)
    station = make_station(sandbox)
    report = station.sync()
    jobs = station.jobs()
    terminal = {job.job_id for job in sandbox.world.jobs if job.is_terminal}
    assert {id_ for id_, row in jobs.items() if row.state in ("accepted", "held", "failed")} == terminal
    assert set(jobs) == {job.job_id for job in sandbox.world.jobs}
    assert {problem.job_id for problem in report.problems} == set(station.jobs("held"))
    assert_whole(station)


def test_limits_change_how_much_is_done_at_a_time_and_not_the_tables(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    insert_drifting(empty_sandbox, 16)
    usual, tight = make_station(empty_sandbox, "usual"), make_station(empty_sandbox, "tight")
    config = flagging("Alpha", "Beta")
    usual.sync(config=config)
    commits: list[int] = []
    commit = tight.ledger.commit
    tight.ledger.commit = lambda made: (  # type: ignore[method-assign]
        commits.append(sum("loaded_at" in row for row in made.jobs)),
        commit(made),
    )[1]
    limits = Limits(workers=1, writers=1, batch_bytes=0, large_bytes=0, claims_per_group=1)
    report = tight.sync(limits=limits, config=config)
    assert report.exit_code == 0
    # Each body fills a batch of its own.
    assert max(commits) == 1
    assert_whole(tight)
    assert_equal(usual, tight)


def test_raw_items_are_kept_byte_for_byte(station: Station, empty_sandbox: Sandbox) -> None:
    item = b'{"b": 1.0,  "a": 123456789012345678901234567890, "a\\u00e9": "\\ud83d\\ude00"}'
    empty_sandbox.insert_job("Odd", items=[item])
    station.sync()
    assert station.read("raw", "odd")["item"].to_pylist() == [item.decode()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategies": ["nobody"]}, "no strategy 'nobody': see `meter-pipeline strategies list`"),
        ({"strategies": ["Twin"]}, "several strategies are called 'Twin': name one of "),
        ({"schedules": ["nobody"]}, "no schedule nobody: see `meter-pipeline schedules list`"),
    ],
)
def test_a_selection_that_does_not_exist_is_an_error_of_one_line(
    station: Station, empty_sandbox: Sandbox, options: dict[str, list[str]], message: str
) -> None:
    empty_sandbox.add_strategy("Twin", items=[])
    empty_sandbox.add_strategy("Twin", items=[])
    with pytest.raises(SelectionError) as raised:
        station.sync(**options)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_a_sync_of_one_strategy_does_not_hide_older_jobs_of_others(station: Station, empty_sandbox: Sandbox) -> None:
    now = empty_sandbox.world.now
    for number in range(130):
        empty_sandbox.insert_job("Other", items=[{"n": number}], completed_at=now - 100_000 - number)
    for number in range(3):
        empty_sandbox.insert_job("Mine", items=[{"n": number}], completed_at=now - number)
    for wanted in ("mine", "Mine"):
        station.sync(strategies=[wanted])
        assert set(station.slugs) == {"mine", "other"}
        assert {row.strategy_id for row in station.jobs("accepted").values()} == {
            next(s.strategy_id for s in station.ledger.strategies() if s.slug == "mine")
        }
    station.sync()
    assert len(station.jobs("accepted")) == 133
    assert_whole(station)


def test_only_jobs_of_the_selected_schedules_are_loaded(station: Station, empty_sandbox: Sandbox) -> None:
    owner = empty_sandbox.add_strategy("Mine", items=[])
    first, second = (empty_sandbox.add_schedule(owner, url=f"https://x.example/{n}") for n in "ab")
    wanted = empty_sandbox.insert_job("Mine", items=[{"n": 1}], schedule=first)
    other = empty_sandbox.insert_job("Mine", items=[{"n": 2}], schedule=second)
    station.sync(schedules=[first])
    assert {id_: row.state for id_, row in station.jobs().items()} == {wanted: "accepted", other: "known"}
    station.sync()
    assert_whole(station)
    assert len(station.jobs("accepted")) == 2


def test_jobs_before_since_wait_for_a_sync_without_it(station: Station, empty_sandbox: Sandbox) -> None:
    now = empty_sandbox.world.now
    for number in range(250):
        empty_sandbox.insert_job("Mine", items=[{"n": number}], completed_at=now - 3600 * number)
    station.sync(since=empty_sandbox.now - timedelta(hours=9, minutes=30))
    assert len(station.jobs("accepted")) == 10
    station.sync()
    assert len(station.jobs("accepted")) == 250
    assert_whole(station)


def test_a_first_discovery_that_broke_off_is_continued(station: Station, empty_sandbox: Sandbox) -> None:
    now = empty_sandbox.world.now
    for number in range(230):
        empty_sandbox.insert_job("Mine", items=[{"n": number}], completed_at=now - number)
    pages = station.client.job_pages(page_size=100)
    station.ledger.record_jobs(next(pages))
    report = station.sync()
    assert report.discovered == 130
    assert len(station.jobs("accepted")) == 230


def test_a_reconcile_finds_a_job_that_appeared_in_the_middle_of_the_listing(
    station: Station, empty_sandbox: Sandbox
) -> None:
    now = empty_sandbox.world.now
    for number in range(120):
        empty_sandbox.insert_job("Mine", items=[{"n": number}], completed_at=now - 60 * number)
    station.sync()
    late = empty_sandbox.insert_job("Mine", items=[{"n": -1}], completed_at=now - 60 * 110 - 30)
    assert station.sync().discovered == 0
    report = station.sync(reconcile=True)
    assert (report.discovered, report.gone, report.reconciled) == (1, 0, True)
    assert station.jobs()[late].state == "accepted"
    empty_sandbox.delete_job(late)
    assert station.sync(reconcile=True).gone == 1


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ({"items": [{"a": 1}], "item_count": 7}, "the API counted 7 items, results holds 1"),
        ({"raw": '"just text"', "item_count": 1}, "results is a single scalar, neither an array nor an object"),
        ({"raw": "null", "item_count": 4}, "completed without results (results is null) while the API counted 4 items"),
        ({"items": [{f"f{n}": n for n in range(5_001)}]}, "its items have 5001 different fields, more than 5000"),
    ],
)
def test_a_job_that_contradicts_itself_is_held_with_its_raw_items_kept(
    station: Station, empty_sandbox: Sandbox, job: dict[str, Any], reason: str
) -> None:
    held = empty_sandbox.insert_job("Mine", **job)
    sound = empty_sandbox.insert_job("Mine", items=[{"a": 1}])
    report = station.sync()
    assert [(problem.job_id, problem.state) for problem in report.problems] == [(held, "held")]
    assert report.problems[0].reason.startswith(reason)
    assert report.exit_code == 1
    assert station.jobs()[held].reason == report.problems[0].reason
    assert set(station.results("mine")["_meter_job_id"].to_pylist()) == {sound}
    assert_whole(station)


def test_an_empty_job_is_accepted(station: Station, empty_sandbox: Sandbox) -> None:
    for raw in ("[]", "null"):
        empty_sandbox.insert_job("Mine", raw=raw, item_count=0)
    assert station.sync().exit_code == 0
    assert {row.items for row in station.jobs("accepted").values()} == {0}


def test_a_failed_job_is_recorded_with_its_error(station: Station, empty_sandbox: Sandbox) -> None:
    failed = empty_sandbox.insert_job("Mine", status="failed", error="Target answered 503")
    report = station.sync()
    assert report.exit_code == 0
    assert (station.jobs()[failed].state, station.jobs()[failed].error) == ("failed", "Target answered 503")


def test_a_running_job_is_picked_up_when_it_is_done(make_station: Callable[..., Station], make_sandbox: Any) -> None:
    sandbox = make_sandbox(worlds=("bookshop",), faults={"poll_steps": 0})
    sandbox.advance(3601)
    station = make_station(sandbox)
    station.sync()
    assert {row.state for row in station.jobs().values()} == {"known"}
    sandbox.advance(60)
    station.sync()
    assert {row.state for row in station.jobs().values()} == {"accepted"}
    assert_whole(station)


def test_an_unreadable_job_is_tried_again_when_it_is_due_or_at_once_by_a_reconcile(
    station: Station, empty_sandbox: Sandbox
) -> None:
    bad = empty_sandbox.insert_job("Mine", items=[{"a": 1}])
    empty_sandbox.set_faults(garbage_jobs={bad})
    report = station.sync()
    assert [(problem.job_id, problem.state) for problem in report.problems] == [(bad, "unreadable")]
    assert report.exit_code == 1
    assert station.jobs()[bad].retry_at is not None
    kept = list((station.folder / "lake" / "unreadable").iterdir())
    assert [path.name for path in kept] == [f"{bad}.body"]
    assert station.sync().jobs == 0
    with station.ledger.writing() as connection:
        connection.execute(text("UPDATE jobs SET retry_at = '2026-01-01T00:00:00.000000Z'"))
    assert station.sync().jobs == 1
    assert station.jobs()[bad].attempts == 2
    empty_sandbox.clear_faults()
    report = station.sync(reconcile=True)
    assert report.exit_code == 0
    assert (station.jobs()[bad].state, station.jobs()[bad].reason) == ("accepted", None)
    assert_whole(station)


def test_a_strategy_deleted_at_meter_keeps_its_jobs_and_its_slug(station: Station, empty_sandbox: Sandbox) -> None:
    empty_sandbox.insert_job("Mine", items=[{"a": 1}])
    station.sync()
    empty_sandbox.world.delete_strategy(empty_sandbox.world.find_strategy("Mine"))  # type: ignore[arg-type]
    station.sync()
    (row,) = station.ledger.strategies()
    assert (row.slug, row.deleted_at is not None) == ("mine", True)
    assert station.results("mine").num_rows == 1


def test_the_report_is_kept_as_json(station: Station, empty_sandbox: Sandbox) -> None:
    insert_drifting(empty_sandbox, 4)
    report = station.sync()
    last = station.ledger.last_sync()
    assert last is not None
    assert json.loads(json.dumps(last)) == last
    assert (last["sync_id"], last["jobs"], last["exit_code"]) == (report.sync_id, 4, 0)
