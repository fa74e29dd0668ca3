"""A sync that is stopped, or sleeps with its machine, loses nothing but its turn."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger import claims
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline_tests.behaviour.sleeping import fall_asleep, wake
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, flagging, insert_drifting

# Real processes that are stopped, and clocks: not beside other tests.
pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "postgres_url", "pooled_url"])
def other(request: pytest.FixtureRequest, make_station: Callable[..., Station], empty_sandbox: Sandbox) -> Station:
    """A station on the ledger and the lake of the command that falls asleep."""
    station = make_station(empty_sandbox, "data")
    if request.param != "sqlite":
        station.ledger.close()
        url = request.getfixturevalue(request.param)
        station.ledger = Ledger.open(url)
        station.lake = Lake.open(str(station.folder / "lake"))
    station.environment = {  # type: ignore[attr-defined]
        "METER_API_KEY": empty_sandbox.api_key,
        "METER_BASE_URL": empty_sandbox.url,
        "METER_DATA_DIR": str(station.folder),
        "METER_PROCESSES": "1",
        **({} if request.param == "sqlite" else {"METER_LEDGER_URL": url}),
    }
    return station


def test_others_go_on_without_a_sync_that_is_stopped_and_it_ends_with_one_line(
    other: Station,
    make_station: Callable[..., Station],
    empty_sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert_drifting(empty_sandbox, 8, names=("Alpha",))
    output = tmp_path / "output"
    sleeper = fall_asleep(output, other.environment)  # type: ignore[attr-defined]
    try:
        # At first it may only be slow.
        report = other.sync(config=flagging("alpha"))
        assert (report.jobs, report.skipped) == (0, ["alpha"])
        assert f"meter-pipeline sync (process {sleeper.pid} on " in report.holders["alpha"]
        assert [(row.name, row.skips, has_lapsed) for row, has_lapsed in other.ledger.claims.read()] == [
            ("alpha", 1, False)
        ]
        monkeypatch.setattr(claims, "LAPSE", timedelta(0))
        assert [has_lapsed for _, has_lapsed in other.ledger.claims.read()] == [True]
        report = other.sync(config=flagging("alpha"))
        assert (report.jobs, report.skipped, report.exit_code) == (8, [], 0)
        monkeypatch.undo()
    finally:
        code = wake(sleeper)
    printed = output.read_text().splitlines()
    assert code == 1
    line = "alpha: given up in this sync, since another process has loaded this strategy meanwhile: sync again"
    assert [text for text in printed if "alpha" in text] == [line], printed
    assert not any("Traceback" in text for text in printed)
    whole = make_station(empty_sandbox, "whole")
    whole.sync(config=flagging("alpha"))
    assert_whole(other)
    assert_equal(other, whole)
    last = other.ledger.last_sync()
    assert last is not None
    assert (last["exit_code"], other.ledger.claims.read()) == (0, [])
    assert other.sync(config=flagging("alpha")).jobs == 0
