"""A job's status at Meter: each change of it is followed, and an undocumented status is reported."""

from __future__ import annotations

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.parts import PartsChange
from meter_pipeline.sync.discovery.change_sets import ChangeSets
from meter_pipeline.sync.report import SyncReport
from meter_pipeline.webhooks.inbox import Hint, Inbox
from meter_pipeline_tests.behaviour.station import Station, assert_whole
from meter_pipeline_tests.store.records import commit

ITEMS = [{"id": number} for number in range(3)]


def insert_failed(sandbox: Sandbox, **more: object) -> str:
    """A job that failed, with the items that it is to have later."""
    return sandbox.insert_job("Shop", items=ITEMS, status="failed", error="Target answered 503", **more)


def move_on(sandbox: Sandbox, job_id: str, status: str = "completed") -> None:
    """Gives a job another status."""
    job = sandbox.world.jobs_by_id[job_id]
    job.status, job.error = status, None if status == "completed" else "Target answered 503"
    job.rows.clear()
    job.digest = None


def answer_status(sandbox: Sandbox, job_id: str, status: str | None) -> None:
    """Makes the sandbox answer with a status of the job that no document lists."""
    job = sandbox.world.jobs_by_id[job_id]
    job.extra = {"status": status}
    job.rows.clear()


@pytest.mark.parametrize("options", [{}, {"reconcile": True}, {"strategies": ["Shop"]}])
def test_a_failed_job_that_completes_later_is_loaded(
    station: Station, empty_sandbox: Sandbox, options: dict[str, object]
) -> None:
    failed = insert_failed(empty_sandbox)
    assert station.sync().strategies["shop"].failed == 1
    assert set(station.jobs("failed")) == {failed}
    assert station.sync().strategies == {}
    move_on(empty_sandbox, failed)
    assert station.sync(**options).strategies["shop"].accepted == 1
    (row,) = station.jobs("accepted").values()
    assert (row.job_id, row.status, row.error, row.items) == (failed, "completed", None, 3)
    assert_whole(station)


def test_a_failed_job_that_completes_later_is_loaded_when_it_is_named(station: Station, empty_sandbox: Sandbox) -> None:
    failed = insert_failed(empty_sandbox)
    station.sync()
    assert station.sync(jobs=[failed]).exit_code == 0
    assert set(station.jobs("failed")) == {failed}
    move_on(empty_sandbox, failed)
    station.sync(jobs=[failed])
    assert set(station.jobs("accepted")) == {failed}


def test_a_failed_job_that_a_webhook_reports_as_completed_is_loaded(station: Station, empty_sandbox: Sandbox) -> None:
    failed = insert_failed(empty_sandbox)
    station.sync()
    move_on(empty_sandbox, failed)
    inbox = Inbox(station.folder / "inbox")
    inbox.put(Hint(failed, status="completed"))
    # No listing is walked for a schedule that is not there.
    station.sync(schedules=[], inbox=inbox)
    assert set(station.jobs("accepted")) == {failed}
    assert inbox.hints() == []


def test_a_failed_job_that_comes_with_a_change_set_is_loaded(station: Station, empty_sandbox: Sandbox) -> None:
    strategy = empty_sandbox.add_strategy("Shop", items=ITEMS)
    plan = empty_sandbox.add_schedule(strategy, interval_seconds=3600)
    empty_sandbox.advance(hours=1.5)
    station.sync()
    (run,) = empty_sandbox.world.jobs
    # As if it had failed when it was listed; the change set is read before the listing comes to it again.
    parts = PartsChange(removed=[part.name for part in station.parts("shop")])
    failed = {"job_id": run.job_id, "state": "failed", "status": "failed"}
    commit(station.ledger, run.strategy_id, [failed], parts=parts)
    empty_sandbox.world.schedules[plan].unseen = [run]
    report = SyncReport()
    with ChangeSets(station.client, station.ledger, report, acknowledge=True, filter=None, workers=1) as changes:
        changes.peek(station.ledger.schedules(), station.ledger.jobs())
    assert {row.state for row in station.jobs().values()} == {"known"}
    station.sync()
    assert empty_sandbox.world.schedules[plan].unseen == []
    assert set(station.jobs("accepted")) == {run.job_id}
    assert_whole(station)


def test_a_failed_job_older_than_the_first_page_is_found_by_reconciling(
    station: Station, empty_sandbox: Sandbox
) -> None:
    failed = insert_failed(empty_sandbox, completed_at=empty_sandbox.world.now - 10 * 86_400)
    for number in range(230):
        empty_sandbox.insert_job("Shop", items=[], completed_at=empty_sandbox.world.now - 600 * number)
    station.sync()
    move_on(empty_sandbox, failed)
    station.sync(reconcile=True)
    assert failed in station.jobs("accepted")


def test_a_loaded_job_that_fails_at_meter_later_keeps_its_items_and_is_noted(
    station: Station, empty_sandbox: Sandbox
) -> None:
    loaded = empty_sandbox.insert_job("Shop", items=ITEMS)
    station.sync()
    move_on(empty_sandbox, loaded, "failed")
    report = station.sync()
    assert report.exit_code == 0
    assert report.notes == ["1 loaded jobs have another status at Meter now: what was loaded of them stays"]
    (row,) = station.jobs().values()
    assert (row.state, row.status, row.items) == ("accepted", "failed", 3)
    assert station.sync().notes == []
    assert_whole(station)


@pytest.mark.parametrize("spelling", ["COMPLETED", "Completed", " completed "])
def test_a_documented_status_in_another_spelling_is_that_status_and_noted(
    station: Station, empty_sandbox: Sandbox, spelling: str
) -> None:
    odd = empty_sandbox.insert_job("Shop", items=ITEMS)
    answer_status(empty_sandbox, odd, spelling)
    report = station.sync()
    assert report.exit_code == 0
    assert report.notes == [f"Meter spells the status completed as {spelling!r}: both are taken for the same"]
    assert {row.status for row in station.jobs("accepted").values()} == {"completed"}


@pytest.mark.parametrize(("status", "words"), [(None, "no status"), ("archived", "the unknown status 'archived'")])
def test_a_status_that_is_not_documented_is_reported_until_the_job_completes(
    station: Station, empty_sandbox: Sandbox, status: str | None, words: str
) -> None:
    odd = empty_sandbox.insert_job("Shop", items=ITEMS)
    empty_sandbox.insert_job("Shop", items=ITEMS)
    answer_status(empty_sandbox, odd, status)
    for _ in range(2):
        report = station.sync()
        assert report.notes == [f"shop: 1 job has {words}; not loaded until that becomes completed"]
        assert len(station.jobs("accepted")) == 1
        assert [row.job_id for row in station.ledger.odd_statuses()] == [odd]
    answer_status(empty_sandbox, odd, "completed")
    assert station.sync().notes == []
    assert len(station.jobs("accepted")) == 2


def test_jobs_that_failed_are_counted_once_whether_they_are_listed_or_fetched(
    station: Station, empty_sandbox: Sandbox
) -> None:
    insert_failed(empty_sandbox)
    silent = insert_failed(empty_sandbox)
    empty_sandbox.world.jobs_by_id[silent].extra = {"error": None}
    assert station.sync().strategies["shop"].failed == 2
    assert station.sync().strategies == {}
