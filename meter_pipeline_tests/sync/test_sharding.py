"""What a process that loads a share sends to its parent."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from meter_pipeline.sync import Problem, StrategyReport, SyncReport
from meter_pipeline.sync.report import Silent
from meter_pipeline.sync.sharding import from_json, merge, to_json
from meter_pipeline.workers import _LineProgress, _LogForwarder, _Process


def test_a_share_adds_to_the_report_of_its_parent() -> None:
    whole = SyncReport(notes=["one"], strategies={"shop": StrategyReport("s", "shop", "Shop", failed=2)})
    share = SyncReport(notes=["one", "two"], problems=[Problem("j", "shop", "unreadable", "why", is_ours=True)])
    share.strategies["shop"] = StrategyReport("s", "shop", "Shop", accepted=3, failed=1)
    merge(whole, from_json(json.loads(json.dumps(to_json(share)))))
    assert (whole.strategies["shop"].accepted, whole.strategies["shop"].failed) == (3, 3)
    assert whole.notes == ["one", "two"]
    assert whole.problems == share.problems


def test_a_traceback_in_a_share_reaches_the_log_of_the_parent(caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    try:
        raise ZeroDivisionError("by accident")
    except ZeroDivisionError:
        _LogForwarder(_LineProgress(out)).emit(logging.makeLogRecord({"msg": "a fault", "exc_info": sys.exc_info()}))
    parent = object.__new__(_Process)
    parent._progress = Silent()
    for line in out.getvalue().splitlines():
        parent._receive(*json.loads(line))
    assert "Traceback" in caplog.text
    assert "ZeroDivisionError: by accident" in caplog.text
