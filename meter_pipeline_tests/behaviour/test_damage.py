"""A damaged file of the lake is mended by deleting it and loading its jobs again, as the error message advises."""

from __future__ import annotations

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.behaviour.station import Station, assert_whole


@pytest.fixture
def loaded(station: Station, empty_sandbox: Sandbox) -> Station:
    """A station with thirty jobs of a strategy."""
    empty_sandbox.add_strategy("Books", items=[])
    for number in range(30):
        items = [{"link": f"/{n}", "price": n + number} for n in range(40 if number % 2 else 36)]
        at = empty_sandbox.world.now - 60 * (40 - number)
        empty_sandbox.insert_job("Books", items=items, completed_at=at)
    station.sync()
    return station


@pytest.mark.parametrize("table", ["raw", "results", "changes"])
@pytest.mark.parametrize("noticed", [True, False], ids=["after a sync has named it", "before"])
def test_a_damaged_file_is_deleted_and_its_jobs_are_loaded_again(loaded: Station, table: str, noticed: bool) -> None:
    before = loaded.files()
    (part,) = (loaded.folder / "lake" / table).rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:1000])
    if noticed:
        (problem,) = loaded.sync(strategies=["books"], again=True).problems
        assert str(part) in problem.reason
        assert "delete it and run `meter-pipeline sync --strategy books --again`" in problem.reason
    part.unlink()
    assert not loaded.sync(strategies=["books"], again=True).problems
    assert_whole(loaded)
    assert loaded.files() == before


def test_jobs_whose_raw_rows_are_lost_are_loaded_by_the_next_sync_at_the_latest(
    loaded: Station,
) -> None:
    before = loaded.files()
    (part,) = (loaded.folder / "lake" / "raw").rglob("*.parquet")
    part.unlink()
    assert not loaded.sync(jobs=[sorted(loaded.jobs())[4]], again=True).problems
    assert len(loaded.jobs("accepted")) == 1
    assert_whole(loaded)
    assert loaded.sync().jobs == 29
    assert_whole(loaded)
    assert loaded.files() == before


def test_jobs_that_could_not_be_committed_do_not_count_as_loaded(
    station: Station, empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from meter_pipeline.store.errors import LedgerError

    def refuse(*arguments: object, **named: object) -> None:
        raise LedgerError("the ledger is gone")

    empty_sandbox.insert_job("Books", items=[{"id": 1}])
    monkeypatch.setattr(station.ledger, "commit", refuse)
    report = station.sync()
    assert (report.jobs, report.items, report.exit_code) == (0, 0, 1)
    assert [problem.reason for problem in report.problems] == ["the ledger is gone"]
