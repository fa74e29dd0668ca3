"""Whatever ends a sync stands in its record: the cause, the exit code, and what happened in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.api import MeterAuthError, MeterConnectionError
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import StoreError
from meter_pipeline.store.warehouse.ledger_tables import read_ledger_table
from meter_pipeline.sync import SelectionError
from meter_pipeline.sync.report import Silent
from meter_pipeline_tests.behaviour.station import Station, insert_drifting


def ending(station: Station) -> tuple[str | None, int, str | None]:
    """How the last sync ended, which the warehouse's table has to say as well."""
    last = station.ledger.last_sync()
    assert last is not None
    reported = (last["ended_by"], last["exit_code"], last["problem"])
    rows = read_ledger_table(station.ledger, "syncs").to_pylist()
    latest = max(rows, key=lambda row: row["started_at"])
    assert (latest["ended_by"], latest["exit_code"], latest["problem"]) == reported
    assert latest["finished_at"] is not None
    return reported


def test_a_sync_that_came_to_its_end_was_ended_by_nothing(station: Station, empty_sandbox: Sandbox) -> None:
    insert_drifting(empty_sandbox, 4)
    station.sync()
    assert ending(station) == (None, 0, None)
    empty_sandbox.insert_job("Alpha", items=[{"id": 1}], item_count=7)
    empty_sandbox.insert_job("Alpha", items=[{"id": 1}], item_count=8)
    station.sync()
    cause, code, problem = ending(station)
    assert (cause, code) == (None, 1)
    assert "is held: the API counted" in (problem or "")
    assert (problem or "").endswith("; and 1 more")


def test_an_api_that_does_not_answer_is_a_connection(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    insert_drifting(empty_sandbox, 4)
    station = make_station(empty_sandbox, base_url="http://127.0.0.1:9", max_attempts=1)
    with pytest.raises(MeterConnectionError):
        station.sync()
    cause, code, problem = ending(station)
    assert (cause, code) == ("connection", 2)
    assert "127.0.0.1" in (problem or "") or "onnect" in (problem or "")


def test_an_api_that_goes_away_half_way_is_a_connection(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    insert_drifting(empty_sandbox, 8)
    station = make_station(empty_sandbox, max_attempts=1)
    empty_sandbox.set_faults(drop_before=1.0, path="/jobs/.+")
    report = station.sync()
    assert report.stopped is not None
    assert ending(station) == ("connection", 1, report.stopped)


def test_a_wrong_key_is_a_configuration(make_station: Callable[..., Station], empty_sandbox: Sandbox) -> None:
    station = make_station(empty_sandbox, api_key="sk_live_wrong")
    with pytest.raises(MeterAuthError):
        station.sync()
    assert ending(station)[:2] == ("configuration", 2)
    assert "sk_live_wrong" not in (ending(station)[2] or "")


def test_a_name_that_is_not_there_is_usage(station: Station) -> None:
    with pytest.raises(SelectionError):
        station.sync(strategies=["nope"])
    assert ending(station) == ("usage", 2, "no strategy 'nope': see `meter-pipeline strategies list`")


class _Stop(Silent):
    """Raises what is to end the sync when the first jobs are about to be loaded."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action

    def total(self, jobs: int) -> None:
        """Acts."""
        self._action()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_one(station: Station, empty_sandbox: Sandbox, error: type[BaseException]) -> None:
    insert_drifting(empty_sandbox, 4)

    def stop() -> None:
        raise error

    with pytest.raises(error):
        station.sync(progress=_Stop(stop))
    assert ending(station) == ("interrupt", 130, "interrupted")
    assert station.sync().exit_code == 0
    assert ending(station) == (None, 0, None)


def test_a_fault_of_ours_is_one(station: Station, empty_sandbox: Sandbox) -> None:
    insert_drifting(empty_sandbox, 4)
    with pytest.raises(ZeroDivisionError):
        station.sync(progress=_Stop(lambda: 1 // 0))
    cause, code, problem = ending(station)
    assert (cause, code) == ("fault", 1)
    assert (problem or "").startswith("ZeroDivisionError: ")


def test_a_lake_that_is_gone_is_a_matter_of_the_strategies_and_named(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path
) -> None:
    insert_drifting(empty_sandbox, 4)
    lake = station.folder / "lake"

    def take_away() -> None:
        shutil.rmtree(lake)
        lake.write_text("no folder")

    report = station.sync(progress=_Stop(take_away))
    assert report.exit_code == 1
    assert {problem.slug for problem in report.problems} == {"alpha", "beta"}
    assert not any(problem.is_ours for problem in report.problems)
    cause, code, problem = ending(station)
    assert (cause, code) == (None, 1)
    assert str(lake) in (problem or "")


def test_a_ledger_that_cannot_be_written_is_a_matter_of_the_store(
    station: Station, empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_drifting(empty_sandbox, 4)

    def fail(*_: object) -> None:
        raise StoreError("the ledger is full")

    monkeypatch.setattr(station.ledger, "record_walk", fail)
    with pytest.raises(StoreError):
        station.sync()
    assert ending(station) == ("store", 2, "the ledger is full")
