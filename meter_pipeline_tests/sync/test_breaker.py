"""The circuit breaker: three requests in a row without an answer mean that the API is gone.

So do three in a row that the server answers with errors of its own, where a request about no single record fails too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.api import MeterConnectionError, MeterNotFound, MeterServerError
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync.breaker import CircuitBreaker
from meter_pipeline.sync.comparisons import compare
from meter_pipeline.sync.report import Silent
from meter_pipeline.webhooks.inbox import Hint, Inbox
from meter_pipeline_tests.behaviour.station import Station

OUTCOMES = {"silence": MeterConnectionError("no answer"), "refusal": MeterNotFound("gone", status=404), "answer": None}


@given(st.lists(st.sampled_from(sorted(OUTCOMES)), max_size=12))
def test_it_opens_after_three_unanswered_requests_in_a_row_and_closes_with_any_answer(outcomes: list[str]) -> None:
    breaker = CircuitBreaker()
    for end, outcome in enumerate(outcomes, 1):
        is_open = outcomes[max(0, end - 3) : end] == ["silence"] * 3
        assert breaker.record(OUTCOMES[outcome]) is is_open
        assert breaker.is_open is is_open


@pytest.mark.parametrize("answer", ["trouble", "refusal", "answer"])
def test_server_errors_open_it_when_the_probe_fails_too_which_is_asked_once(answer: str) -> None:
    trouble = MeterServerError("down", status=503)
    outcome = {**OUTCOMES, "trouble": trouble}[answer]
    asked = []

    def probe() -> None:
        asked.append(1)
        if outcome is not None:
            raise outcome

    breaker = CircuitBreaker(probe)
    assert not CircuitBreaker().record(trouble)
    assert [breaker.record(trouble) for _ in range(5)] == [False, False, *[answer == "trouble"] * 3]
    assert len(asked) == 1
    assert not breaker.record(None)


class Outage(Silent):
    """Lets the API answer with errors as soon as the jobs are counted: those about jobs, or all."""

    def __init__(self, sandbox: Sandbox, fault: str, path: str) -> None:
        self._sandbox, self._faults = sandbox, {fault: 1.0, "path": path}

    def total(self, jobs: int) -> None:
        """Begins the outage."""
        self._sandbox.set_faults(**self._faults)


@pytest.mark.parametrize("fault", ["rate_500", "rate_429"])
def test_an_outage_ends_the_sync_and_the_jobs_wait(station: Station, empty_sandbox: Sandbox, fault: str) -> None:
    for number in range(60):
        empty_sandbox.insert_job("Shop", items=[{"a": number}])
    report = station.sync(workers=2, progress=Outage(empty_sandbox, fault, ""))
    assert "the API answers with errors: GET /v1/jobs/" in str(report.stopped)
    assert report.exit_code == 1
    assert len(station.jobs("known")) >= 50
    empty_sandbox.clear_faults()
    assert station.sync(reconcile=True).exit_code == 0
    assert len(station.jobs("accepted")) == 60


def test_jobs_that_the_server_fails_on_one_after_the_other_do_not_end_the_sync(
    station: Station, empty_sandbox: Sandbox
) -> None:
    for number in range(20):
        empty_sandbox.insert_job("Shop", items=[{"a": number}])
    report = station.sync(workers=2, progress=Outage(empty_sandbox, "rate_500", "/jobs/."))
    assert report.stopped is None
    assert len(station.jobs("unreadable")) == 20


def read_reports(station: Station, sandbox: Sandbox) -> None:
    """Syncs ten webhook reports of jobs that cannot be read."""
    inbox = Inbox(station.folder / "inbox")
    for number in range(10):
        inbox.put(Hint(f"job-{number}"))
    sandbox.set_faults(drop_before=1.0, path="/jobs/")
    station.sync(schedules=[], inbox=inbox)


def compare_jobs(station: Station, sandbox: Sandbox) -> None:
    """Compares thirty pairs of jobs that cannot be compared."""
    sandbox.set_faults(no_v1=True)
    for number in range(31):
        sandbox.advance(60)
        sandbox.insert_job("Shop", items=[{"a": number}])
    station.sync()
    sandbox.set_faults(no_v1=True, drop_before=1.0, path="compare")
    report = compare(station.client, station.ledger, station.lake)
    assert report.stopped is not None
    assert report.left == 30


def read_changes(station: Station, sandbox: Sandbox) -> None:
    """Peeks at thirty schedules whose changes cannot be read."""
    for number in range(30):
        sandbox.add_strategy(f"Shop {number}", items=[])
        sandbox.world.add_schedule(f"Shop {number}", schedule_id=f"s{number}")
        sandbox.insert_job(f"Shop {number}", items=[{"a": 1}], schedule=f"s{number}")
    sandbox.set_faults(drop_before=1.0, path="/changes")
    assert station.sync().stopped is not None


@pytest.mark.parametrize(("step", "most"), [(read_reports, 3), (compare_jobs, 11), (read_changes, 11)])
def test_an_api_that_is_gone_is_not_asked_for_the_rest(
    station: Station, empty_sandbox: Sandbox, step: Callable[[Station, Sandbox], None], most: int
) -> None:
    step(station, empty_sandbox)
    unanswered = {entry.path for entry in empty_sandbox.log if entry.fault == "drop_before"}
    assert 3 <= len(unanswered) <= most
