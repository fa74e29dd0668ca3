"""Unseen changes: each is noted and loaded once, and marked seen at Meter only when it is stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.ledger.change_sets import Unseen
from meter_pipeline.store.warehouse.ledger_tables import read_ledger_table
from meter_pipeline.sync.discovery import entries
from meter_pipeline.sync.discovery.marking import Tally, count_unseen, describe_marking
from meter_pipeline.sync.report import Silent
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole


@pytest.fixture
def shop(empty_sandbox: Sandbox) -> Callable[..., str]:
    """Adds runs to the one schedule of a shop; returns the job's id."""
    empty_sandbox.add_strategy("Shop", "https://shop.example/", strategy_id="shop", items=[])
    empty_sandbox.add_schedule("Shop", schedule_id="daily")

    def run(price: Any, **fields: Any) -> str:
        empty_sandbox.advance(60)
        items = [{"title": "Lamp", "price": price}, {"title": "Chair", "price": 7}]
        return empty_sandbox.insert_job("Shop", items=items, **{"schedule": "daily", **fields})

    return run


def changes(station: Station, schedule_id: str = "daily") -> dict[str, str | None]:
    """The schedule's change sets: when each job was acknowledged."""
    rows = station.ledger.rows("change_sets")
    assert len(rows) == len({(row.schedule_id, row.job_id) for row in rows})
    return {row.job_id: row.acknowledged_at for row in rows if row.schedule_id == schedule_id}


def unseen(sandbox: Sandbox, schedule_id: str = "daily") -> list[str]:
    return [job.job_id for job in sandbox.world.schedules[schedule_id].unseen]


def reads(sandbox: Sandbox) -> list[str]:
    """The queries of all reads of changes."""
    return [entry.query for entry in sandbox.log if entry.path.endswith("/changes")]


def fetched(sandbox: Sandbox) -> set[str]:
    return {entry.path.rpartition("/")[2] for entry in sandbox.log if "/jobs/" in entry.path}


class Notes(Silent):
    """Progress that keeps its notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_the_first_sync_says_how_many_changes_it_marks_before_it_marks_them(
    station: Station, shop: Any, empty_sandbox: Sandbox
) -> None:
    for price in (1, 2, 1):
        shop(price)

    class Watching(Notes):
        def note(self, text: str) -> None:
            super().note(text)
            assert len(unseen(empty_sandbox)) == 3

    notes = Watching()
    station.sync(progress=notes)
    assert [line.partition(":")[0] for line in notes.lines] == ["3 unseen changes of 1 schedule"]
    assert "for every consumer" in notes.lines[0]
    assert "--no-acknowledge" in notes.lines[0]
    # Whoever has marked once knows.
    shop(5)
    later = Notes()
    assert station.sync(progress=later).acknowledged == 1
    assert later.lines == []


def test_a_sync_that_leaves_the_marks_alone_says_nothing_of_marking(station: Station, shop: Any) -> None:
    shop(1)
    notes = Notes()
    station.sync(progress=notes, config=Config(acknowledge=False))
    assert notes.lines == []
    station.sync(progress=notes)
    assert len(notes.lines) == 1


def test_counting_unseen_changes_marks_none_and_says_when_there_may_be_more(
    station: Station, shop: Any, empty_sandbox: Sandbox
) -> None:
    for price in (1, 2):
        shop(price)
    empty_sandbox.add_schedule("Shop", schedule_id="weekly")
    assert count_unseen(station.client) == Tally(2, 1, more=False)
    assert all("mark_seen=false" in query for query in reads(empty_sandbox))
    assert len(unseen(empty_sandbox)) == 2
    # The schedule that ran last is read first.
    assert count_unseen(station.client, most=1) == Tally(2, 1, more=True)
    assert count_unseen(station.client, seconds=-1) == Tally(0, 0, more=True)
    assert describe_marking(Tally(2, 1, more=True)).startswith("at least 2 unseen changes of 1 schedule: ")
    assert describe_marking(Tally(0, 0)).startswith("no schedule has unseen changes so far: a sync loads them")


def test_changes_are_noted_loaded_and_then_acknowledged(station: Station, shop: Any, empty_sandbox: Sandbox) -> None:
    ids = {shop(1), shop(2), shop(1)}
    report = station.sync()
    assert (report.changes, report.acknowledged, report.exit_code) == (3, 3, 0)
    assert changes(station).keys() == ids
    assert all(changes(station).values())
    assert [set(entry.marked or ()) for entry in empty_sandbox.marks] == [ids]
    assert not unseen(empty_sandbox)
    shown = read_ledger_table(station.ledger, "schedule_changes").to_pylist()
    assert {(row["job_id"], row["strategy"], row["item_count"]) for row in shown} == {(id_, "shop", 2) for id_ in ids}
    assert_whole(station)


def test_a_sync_without_new_runs_reads_no_changes(station: Station, shop: Any, empty_sandbox: Sandbox) -> None:
    shop(1)
    station.sync()
    before = len(reads(empty_sandbox))
    report = station.sync()
    assert len(reads(empty_sandbox)) == before
    assert report.requests <= 8
    assert (report.changes, report.acknowledged) == (0, 0)


def test_items_that_an_entry_carries_are_not_fetched_and_load_the_same(
    make_station: Callable[..., Station], shop: Any, empty_sandbox: Sandbox
) -> None:
    ids = {shop(price) for price in (1, 2.5, "sold out")}
    by_entry, by_id = make_station(empty_sandbox, "entry"), make_station(empty_sandbox, "id")
    by_entry.sync(config=Config(acknowledge=False))
    assert not ids & fetched(empty_sandbox)
    empty_sandbox.set_faults(changes_results=False)
    by_id.sync()
    assert ids <= fetched(empty_sandbox)
    assert_whole(by_entry)
    assert_equal(by_entry, by_id)
    rows = [
        [{**vars(row), "known_at": 0, "loaded_at": 0, "bytes": 0} for row in s.jobs().values()]
        for s in (by_entry, by_id)
    ]
    assert rows[0] == rows[1]


def test_an_entry_that_is_not_whole_is_fetched(station: Station, shop: Any, empty_sandbox: Sandbox) -> None:
    short = shop(1, item_count=5)
    station.sync()
    assert short in fetched(empty_sandbox)
    assert short in changes(station)


def test_without_acknowledging_every_change_is_loaded_once_and_flags_stay(
    station: Station, shop: Any, empty_sandbox: Sandbox
) -> None:
    first = [shop(1), shop(2)]
    assert station.sync(config=Config(acknowledge=False)).changes == 2
    second = shop(3)
    report = station.sync(config=Config(acknowledge=False))
    assert (report.changes, report.acknowledged) == (1, 0)
    assert not empty_sandbox.marks
    assert unseen(empty_sandbox) == [*first, second]
    assert changes(station) == dict.fromkeys([*first, second])
    assert station.sync(config=Config(acknowledge=False)).changes == 0
    assert_whole(station)


def test_a_change_that_arrives_between_peek_and_acknowledgement_is_stored(
    station: Station, shop: Any, empty_sandbox: Sandbox
) -> None:
    shop(1)
    empty_sandbox.set_faults(change_before_flag=1)
    report = station.sync()
    (mark,) = empty_sandbox.marks
    assert len(mark.marked or ()) == 2
    assert (report.changes, report.acknowledged) == (2, 2)
    assert changes(station).keys() == set(mark.marked or ())
    assert {row.state for row in station.jobs().values()} == {"accepted"}
    assert report.strategies["shop"].accepted == 2
    assert_whole(station)


def test_what_is_not_settled_is_not_acknowledged(station: Station, shop: Any, empty_sandbox: Sandbox) -> None:
    broken = shop(1, item_count=9)
    empty_sandbox.set_faults(fail_jobs=[broken])
    assert station.sync().exit_code == 1
    assert not empty_sandbox.marks
    assert changes(station) == {broken: None}
    empty_sandbox.clear_faults()
    report = station.sync(reconcile=True)
    assert report.acknowledged == 1
    assert changes(station)[broken]


def test_held_and_failed_jobs_are_settled(station: Station, shop: Any, empty_sandbox: Sandbox) -> None:
    empty_sandbox.set_faults(failed_in_changes=True)
    ids = {shop(1, item_count=9), shop(2, status="failed"), shop(3)}
    station.sync()
    assert sorted(row.state for row in station.jobs().values()) == ["accepted", "failed", "held"]
    assert changes(station).keys() == ids
    assert all(changes(station).values())


@pytest.mark.parametrize("kind", ["drop_after", "error_after", "drop_before", "rate_429"])
def test_a_lost_answer_to_an_acknowledging_read_is_recovered(
    station: Station, shop: Any, empty_sandbox: Sandbox, kind: str
) -> None:
    first = shop(1)
    # The peek, after which another change arrives; then the marking read, of which no answer comes.
    empty_sandbox.set_faults(change_before_flag=1, path="/changes", script=["none", kind])
    report = station.sync()
    assert report.exit_code == 1
    assert "acknowledged" in report.problems[0].reason
    assert report.problems[0].schedule_id == "daily"
    assert len(reads(empty_sandbox)) == 2
    while (report := station.sync()).changes or report.acknowledged:
        assert report.exit_code == 0
    jobs = station.jobs()
    assert len(jobs) == 2
    assert {row.state for row in jobs.values()} == {"accepted"}
    assert changes(station).keys() == set(jobs)
    assert all(changes(station).values())
    assert first in jobs
    assert not unseen(empty_sandbox)
    assert_whole(station)


def test_a_lost_answer_does_not_make_unchanged_runs_changes(
    station: Station, shop: Any, empty_sandbox: Sandbox
) -> None:
    shop(1)
    empty_sandbox.set_faults(path="/changes", script=["none", "drop_after"])
    station.sync()
    same = shop(1)
    station.sync()
    assert same in station.jobs("accepted")
    assert same not in changes(station)


def test_one_schedule_that_cannot_be_read_does_not_stop_the_others(
    station: Station, shop: Any, empty_sandbox: Sandbox
) -> None:
    empty_sandbox.world.add_schedule("Shop", schedule_id="hourly", url="https://shop.example/sale")
    daily, hourly = shop(1), shop(2, schedule="hourly")
    empty_sandbox.set_faults(path="hourly/changes", rate_500=1.0)
    report = station.sync()
    assert report.exit_code == 1
    assert [problem.schedule_id for problem in report.problems] == ["hourly"]
    assert changes(station)[daily]
    # Its data came by the listing all the same.
    assert station.jobs("accepted").keys() == {daily, hourly}
    empty_sandbox.clear_faults()
    assert station.sync().acknowledged == 1
    assert changes(station, "hourly")[hourly]


def test_a_schedule_whose_run_has_not_ended_is_peeked_at_again(
    station: Station, shop: Any, empty_sandbox: Sandbox
) -> None:
    shop(1)
    world = empty_sandbox.world
    job = world.start_job("shop", "https://shop.example/", world.now, schedule=world.schedules["daily"])
    world.schedules["daily"].last_run_at = world.now
    station.sync()
    assert job.job_id not in changes(station)
    empty_sandbox.advance(60)
    assert station.sync().acknowledged == 1
    assert changes(station)[job.job_id]


def test_a_filter_chooses_what_is_noted_and_never_what_is_loaded_or_marked(
    station: Station, shop: Any, empty_sandbox: Sandbox
) -> None:
    plain, sold = shop(1), shop("sold out")
    report = station.sync(config=Config(filter="+sold"))
    assert changes(station).keys() == {sold}
    assert station.jobs("accepted").keys() == {plain, sold}
    assert report.acknowledged == 1
    assert [query for query in reads(empty_sandbox) if "mark_seen=true" in query and "filter" in query] == []
    assert not unseen(empty_sandbox)
    assert_whole(station)


def test_only_the_selected_schedules_are_peeked_at(station: Station, shop: Any, empty_sandbox: Sandbox) -> None:
    empty_sandbox.world.add_schedule("Shop", schedule_id="hourly")
    daily, hourly = shop(1), shop(2, schedule="hourly")
    station.sync(schedules=["hourly"])
    assert not changes(station)
    assert changes(station, "hourly")[hourly]
    assert unseen(empty_sandbox) == [daily]


def test_the_snapshots_of_a_big_change_set_stay_on_disk(
    make_station: Callable[..., Station], shop: Any, empty_sandbox: Sandbox
) -> None:
    for number in range(40):
        items = [{"title": f"Item {n}", "text": "x" * 1000, "of": number} for n in range(30)]
        empty_sandbox.insert_job("Shop", items=items, schedule="daily")
    station = make_station(empty_sandbox, spool_bytes=100_000)
    with station.client.changes("daily", mark_seen=False) as found:
        bodies = [entry.body for entry in found.entries if entry.body]
        assert sum(body.size for body in bodies) > 1_000_000
        assert {body.memory for body in bodies} == {0}
        assert [sum(map(len, body.batches())) for body in bodies] == [30] * 40
    assert station.sync().acknowledged == 40
    assert not fetched(empty_sandbox)
    assert_whole(station)


def test_items_beyond_the_bytes_carried_are_fetched(
    station: Station, shop: Any, empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "CARRIED_BYTES", 80)
    ids = {shop(price) for price in range(4)}
    station.sync()
    assert len(ids & fetched(empty_sandbox)) == 3
    assert changes(station).keys() == ids
    assert_whole(station)


def test_a_lost_answer_of_a_deleted_schedule_is_recovered(station: Station, shop: Any, empty_sandbox: Sandbox) -> None:
    shop(1)
    empty_sandbox.set_faults(change_before_flag=1, path="/changes", script=["none", "drop_after"])
    station.sync()
    empty_sandbox.world.delete_schedule(empty_sandbox.world.schedules["daily"])
    station.sync()
    assert len(changes(station)) == 2
    assert Unseen(station.ledger).peeks()["daily"].marking_at is None
    assert station.sync().requests <= 8


def test_a_lost_answer_is_recovered_by_the_first_sync_that_knows_all_jobs(
    station: Station, shop: Any, empty_sandbox: Sandbox
) -> None:
    shop(1)
    empty_sandbox.set_faults(change_before_flag=1, path="/changes", script=["none", "drop_after"])
    station.sync()
    (lost,) = {job.job_id for job in empty_sandbox.world.jobs} - changes(station).keys()
    empty_sandbox.advance(days=1)
    for number in range(150):
        empty_sandbox.advance(60)
        shop(number)
    # These stop before they come to the job.
    for _ in range(2):
        station.sync(since=empty_sandbox.now - timedelta(minutes=30))
        assert lost not in changes(station)
    while (report := station.sync()).changes or report.acknowledged:
        assert {problem.state for problem in report.problems} <= {"held"}
    assert changes(station)[lost]
    assert not unseen(empty_sandbox)
    assert_whole(station)


def test_a_schedule_whose_run_is_not_listed_yet_is_peeked_at_again_a_few_times(
    station: Station, shop: Any, empty_sandbox: Sandbox
) -> None:
    shop(1)
    station.sync()
    empty_sandbox.advance(300)
    schedule = empty_sandbox.world.schedules["daily"]
    schedule.last_run_at = empty_sandbox.world.now
    tries = []
    for _ in range(5):
        station.sync()
        tries.append(Unseen(station.ledger).peeks()["daily"].attempts)
    assert tries == [1, 2, 3, 0, 0]
    # The next run has its own tries.
    empty_sandbox.advance(300)
    schedule.last_run_at = empty_sandbox.world.now
    station.sync()
    assert Unseen(station.ledger).peeks()["daily"].attempts == 1
    late = empty_sandbox.insert_job("Shop", items=[{"title": "Lamp"}], schedule="daily")
    station.sync()
    assert changes(station)[late]
    assert Unseen(station.ledger).peeks()["daily"].attempts == 0


@pytest.mark.parametrize("acknowledging", [True, False])
def test_two_syncs_in_turn_each_note_what_the_other_did_not(
    make_station: Callable[..., Station], shop: Any, empty_sandbox: Sandbox, acknowledging: bool
) -> None:
    first, second = (make_station(empty_sandbox) for _ in range(2))
    config = Config(acknowledge=acknowledging)
    for station, price in zip(itertools.cycle((first, second)), range(6)):
        shop(price)
        assert station.sync(config=config).changes == 1
    assert len(changes(first)) == 6
    assert_whole(first)


def test_three_syncs_at_once_note_load_and_mark_every_change_once(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    world = empty_sandbox.world
    for name in ("Alpha", "Beta", "Gamma"):
        empty_sandbox.add_strategy(name, f"https://{name}.example/", items=[])
        world.add_schedule(name, schedule_id=name)
    stations = [make_station(empty_sandbox) for _ in range(3)]
    with ThreadPoolExecutor(len(stations)) as pool:
        for number in range(4):
            empty_sandbox.advance(60)
            for name in ("Alpha", "Beta", "Gamma"):
                world.insert_job(name, items=[{"n": number}], schedule=name)
            empty_sandbox.set_faults(change_before_flag=2)
            for report in pool.map(Station.sync, stations):
                assert report.exit_code == 0
    empty_sandbox.set_faults(change_before_flag=0)
    while (report := stations[0].sync()).changes or report.acknowledged:
        assert report.exit_code == 0
    ids = {job.job_id for job in world.jobs}
    assert stations[0].jobs("accepted").keys() == ids
    marked = [id_ for mark in empty_sandbox.marks for id_ in mark.marked or ()]
    assert sorted(marked) == sorted(ids)
    rows = stations[0].ledger.rows("change_sets")
    assert sorted(row.job_id for row in rows if row.acknowledged_at) == sorted(ids)
    assert_whole(stations[0])
