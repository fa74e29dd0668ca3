"""One record that cannot be used costs itself, wherever it comes up; an error that nobody foresaw is seen, too."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.api import Job, MeterClient, MeterConnectionError
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import LedgerError, RecordError
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync.containment import Trouble, apply, contained
from meter_pipeline.sync.discovery.entries import EntryRecorder
from meter_pipeline.sync.discovery.polling import Poll, poll_schedules
from meter_pipeline.sync.loading.loader import StrategyLoader
from meter_pipeline_tests.behaviour.station import Station, assert_whole
from meter_pipeline_tests.behaviour.thorough import every

ITEMS = [{"id": number, "price": 5} for number in range(3)]


class Slip(Exception):
    """What no code foresees."""


def slip_on(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, is_bad: Callable[[Any], bool]) -> None:
    """Makes a method slip where its first argument is, or holds, what is bad."""
    usual = getattr(owner, name)

    def slipping(self: Any, first: Any, *more: Any, **options: Any) -> Any:
        result = usual(self, first, *more, **options) if name != "record_jobs" else None
        if any(map(is_bad, first if isinstance(first, Sequence) and not isinstance(first, str) else [first])):
            raise Slip("on a record\nof two lines")
        return usual(self, first, *more, **options) if name == "record_jobs" else result

    monkeypatch.setattr(owner, name, slipping)


def fill(sandbox: Sandbox, count: int = 9) -> list[str]:
    """Jobs of two strategies, all of one page."""
    ids = []
    for number in range(count):
        for name in ("Alpha", "Beta"):
            items = [{**item, "price": number, **({"more": 1} if number % 4 == 3 else {})} for item in ITEMS]
            time_ = sandbox.world.now - 3600 * (count - number)
            ids.append(sandbox.insert_job(name, items=items, completed_at=time_))
    return ids


@pytest.mark.parametrize(
    ("known_before", "step"), every(2, product([False, True], ["_read", "_land", "_type", "_compare", "_loaded"]))
)
def test_a_job_that_nobody_foresaw_is_unreadable_and_all_others_load(
    station: Station,
    empty_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
    known_before: bool,
) -> None:
    if known_before:
        for name in ("Alpha", "Beta"):
            empty_sandbox.insert_job(name, items=ITEMS, completed_at=empty_sandbox.world.now - 90_000)
        station.sync()
    ids = fill(empty_sandbox)
    bad = ids[6]
    with monkeypatch.context() as patched:

        def is_bad(given: Any) -> bool:
            row = getattr(given, "row", None)
            return row is not None and row.job_id == bad

        slip_on(patched, StrategyLoader, step, is_bad)
        report = station.sync()
    assert report.exit_code == 1
    assert [(problem.job_id, problem.is_ours) for problem in report.problems] == [(bad, True)]
    assert report.problems[0].reason == "a fault of meter-pipeline itself, see its log: Slip: on a record"
    assert set(station.jobs("unreadable")) == {bad}
    assert len(station.jobs("accepted")) == len(ids) - 1 + 2 * known_before
    assert {slug: done.unreadable for slug, done in report.strategies.items()} == {"alpha": 1, "beta": 0}
    assert sum(done.accepted for done in report.strategies.values()) == len(ids) - 1
    assert_whole(station)
    assert any("Traceback" in (record.exc_text or "") for record in caplog.records)
    # Whoever mends the program has it loaded by the next sync.
    assert station.sync(reconcile=True).exit_code == 0
    assert set(ids) <= set(station.jobs("accepted"))
    assert_whole(station)


@pytest.mark.parametrize("step", ["_land", "_compare"])
def test_a_loaded_job_that_fails_when_it_is_loaded_again_stays_as_it_was(
    station: Station, empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    ids = fill(empty_sandbox)
    station.sync()
    before = (station.rows(), station.read("changes", "alpha").sort_by("item_key"))
    with monkeypatch.context() as patched:
        slip_on(patched, StrategyLoader, step, lambda given: getattr(given, "row", None) and given.row.job_id == ids[6])
        report = station.sync(strategies=["Alpha"], again=True)
    assert [(problem.job_id, problem.is_ours) for problem in report.problems] == [(ids[6], True)]
    assert len(station.jobs("accepted")) == len(ids)
    assert_whole(station)
    assert (station.rows(), station.read("changes", "alpha").sort_by("item_key")) == before


def test_a_strategy_that_cannot_be_written_at_all_does_not_stop_the_others(
    station: Station, empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(empty_sandbox)
    usual = StrategyLoader.write

    def write(self: StrategyLoader, *arguments: Any, **options: Any) -> None:
        if self.report.slug == "alpha":
            raise Slip("everywhere")
        usual(self, *arguments, **options)

    monkeypatch.setattr(StrategyLoader, "write", write)
    report = station.sync()
    assert [(problem.slug, problem.job_id, problem.is_ours) for problem in report.problems] == [("alpha", "", True)]
    assert {row.state for row in station.jobs().values()} == {"known", "accepted"}
    assert len(station.jobs("accepted")) == 9
    assert "Traceback" in caplog.text


def test_an_error_while_a_job_is_fetched_costs_that_job(
    station: Station, empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = fill(empty_sandbox)
    slip_on(monkeypatch, MeterClient, "job_body", lambda job_id: job_id == ids[3])
    report = station.sync()
    assert [(problem.job_id, problem.state) for problem in report.problems] == [(ids[3], "unreadable")]
    assert len(station.jobs("accepted")) == len(ids) - 1
    assert "Traceback" in caplog.text


def test_an_error_while_a_listed_job_is_noted_costs_that_job(
    station: Station, empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(empty_sandbox)
    slip_on(monkeypatch, Ledger, "record_jobs", lambda job: isinstance(job, Job) and job.job_id == ids[3])
    report = station.sync()
    assert [(problem.job_id, problem.state, problem.is_ours) for problem in report.problems] == [
        (ids[3], "ignored", True)
    ]
    assert set(station.jobs("accepted")) == {*ids} - {ids[3]}


def test_an_error_while_changes_are_noted_costs_that_schedule(
    station: Station, empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = []
    for name in ("Alpha", "Beta"):
        strategy = empty_sandbox.add_strategy(name, items=ITEMS)
        plans.append(empty_sandbox.add_schedule(strategy, interval_seconds=3600))
    empty_sandbox.advance(hours=1.5)
    with monkeypatch.context() as patched:
        slip_on(patched, EntryRecorder, "record", lambda given: getattr(given, "schedule_id", None) == plans[0])
        report = station.sync()
    assert [problem.schedule_id for problem in report.problems] == [plans[0]]
    assert len(station.jobs("accepted")) == 2
    assert [len(empty_sandbox.world.schedules[plan].unseen) for plan in plans] == [1, 0]
    assert station.sync().exit_code == 0
    assert [len(empty_sandbox.world.schedules[plan].unseen) for plan in plans] == [0, 0]


def test_records_without_an_id_are_named_and_the_others_load(station: Station, empty_sandbox: Sandbox) -> None:
    ids = fill(empty_sandbox)
    for id_ in ids[:2]:
        empty_sandbox.world.jobs_by_id[id_].extra = {"id": None, "job_id": ""}
    for options in ({}, {"reconcile": True}):
        report = station.sync(**options)
        assert report.exit_code == 1
        assert [problem.state for problem in report.problems] == ["ignored", "ignored"]
        assert all(problem.subject == "a record is ignored: " for problem in report.problems)
        assert "url 'https://made.example/'" in report.problems[0].reason
    assert set(station.jobs("accepted")) == set(ids[2:])
    sight = Poll()
    poll_schedules(station.client, station.ledger, sight, until=time.monotonic() + 60)
    assert sight.problems == []


@given(st.lists(st.booleans(), max_size=40))
def test_whichever_records_are_bad_the_others_are_used_once_and_in_order(good: list[bool]) -> None:
    used: list[int] = []
    given_up: list[int] = []

    def use(places: Sequence[int]) -> None:
        if not all(good[place] for place in places):
            raise RecursionError
        used.extend(places)

    apply(range(len(good)), use, lambda place, trouble: given_up.append(place))
    assert used == [place for place, is_good in enumerate(good) if is_good]
    assert given_up == [place for place, is_good in enumerate(good) if not is_good]


@pytest.mark.parametrize(
    "error", [MeterConnectionError("gone"), LedgerError("gone"), OSError("full"), KeyboardInterrupt(), SystemExit()]
)
def test_what_concerns_everything_is_not_contained(error: BaseException) -> None:
    with pytest.raises(type(error)), contained(lambda trouble: None):
        raise error


def test_a_value_that_the_database_does_not_take_concerns_its_record_alone(caplog: pytest.LogCaptureFixture) -> None:
    found: list[Trouble] = []
    with contained(found.append):
        raise RecordError("integer out of range")
    assert found == [Trouble("integer out of range")]
    assert caplog.records == []
    with caplog.at_level(logging.ERROR), contained(found.append):
        raise Slip
    assert found[1].is_ours
    assert "Traceback" in caplog.text
