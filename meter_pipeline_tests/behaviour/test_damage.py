"""A damaged file of the lake is mended by loading its jobs again, as the error message advises."""

from __future__ import annotations

from itertools import product

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import DamagedError, LakeError, LedgerError
from meter_pipeline_tests.behaviour.station import Station, assert_whole
from meter_pipeline_tests.behaviour.thorough import every


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


@pytest.mark.parametrize(("is_deleted", "table"), every(2, product([True, False], ["raw", "results", "changes"])))
def test_what_a_damaged_file_held_is_made_again_when_the_jobs_are_loaded_again(
    loaded: Station, table: str, is_deleted: bool
) -> None:
    before = (loaded.rows(), loaded.schemas())
    (part,) = loaded.parts("books", table)
    path = loaded.folder / "lake" / part.name
    if is_deleted:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DamagedError, match="run `meter-pipeline sync --strategy books --again`"):
        loaded.read(table, "books")
    assert not loaded.sync(strategies=["books"], again=True).problems
    assert_whole(loaded)
    assert (loaded.rows(), loaded.schemas()) == before


def test_jobs_whose_raw_rows_are_lost_are_loaded_by_the_next_sync_at_the_latest(loaded: Station) -> None:
    before = loaded.rows()
    (part,) = loaded.parts("books", "raw")
    (loaded.folder / "lake" / part.name).unlink()
    assert not loaded.sync(jobs=[sorted(loaded.jobs())[4]], again=True).problems
    assert len(loaded.jobs("accepted")) == 1
    assert_whole(loaded)
    assert loaded.sync().jobs == 29
    assert_whole(loaded)
    assert loaded.rows() == before


def test_a_lake_that_cannot_be_reached_is_no_damage(loaded: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    before = loaded.rows()

    def refuse(*arguments: object) -> None:
        raise LakeError("the store does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(loaded.lake.files, "source", refuse)
        (problem,) = loaded.sync(strategies=["books"], again=True).problems
    assert problem.reason == "the store does not answer"
    assert loaded.rows() == before


def test_jobs_that_could_not_be_committed_do_not_count_as_loaded(
    station: Station, empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise LedgerError("the ledger is gone")

    empty_sandbox.insert_job("Books", items=[{"id": 1}])
    monkeypatch.setattr(station.ledger, "commit", refuse)
    report = station.sync()
    assert (report.jobs, report.items, report.exit_code) == (0, 0, 1)
    assert [problem.reason for problem in report.problems] == ["the ledger is gone"]
