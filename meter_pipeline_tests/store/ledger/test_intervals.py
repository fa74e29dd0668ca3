"""How often a schedule runs, also where what the API says of it makes no sense."""

from __future__ import annotations

import pytest

from meter_pipeline.api import Schedule
from meter_pipeline.defs.freshness import freshness
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.troubles import find_gaps


@pytest.mark.parametrize("seconds", [10**15, 2**62, -60, 0])
def test_an_interval_that_no_clock_can_hold_is_none_and_definitions_load(tmp_path: object, seconds: int) -> None:
    ledger = Ledger.open(f"{tmp_path}/ledger.sqlite")
    plans = [("odd", seconds), ("usual", 3600)]
    ledger.record_schedules(
        [
            Schedule.from_json({"id": id_, "strategy_id": id_, "enabled": True, "interval_seconds": interval})
            for id_, interval in plans
        ]
    )
    assert freshness(ledger.schedules()).keys() == {"usual"}
    assert find_gaps(ledger) == []
    ledger.close()
