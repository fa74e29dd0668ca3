"""The API key is in no file, log, error or report, whether syncs succeed or fail."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from meter_pipeline.api import MeterError
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish
from meter_pipeline_tests.behaviour.station import Station, insert_drifting

CANARY = "sk_live_canary0123456789abcdef"


def test_the_api_key_is_nowhere(
    make_station: Callable[..., Station],
    make_sandbox: Callable[..., Sandbox],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox = make_sandbox(worlds=(), api_key=CANARY)
    ids = insert_drifting(sandbox, 8)
    # A server that repeats the key in its responses.
    sandbox.insert_job("Alpha", body=f'{{"detail": "you sent Bearer {CANARY}", '.encode())
    sandbox.insert_job("Alpha", status="failed", error=f"403 for Authorization: Bearer {CANARY}")
    sandbox.insert_job("Beta", items=[{"title": f"your key is {CANARY}"}], note=CANARY)
    sandbox.add_strategy(f"Strategy of {CANARY}", f"https://echo.example/?key={CANARY}")
    sandbox.add_schedule("Alpha", interval_seconds=3600, webhook_url=f"https://hook.example/{CANARY}")
    station = make_station(sandbox, max_attempts=2)
    reports = [station.sync()]
    sandbox.set_faults(fail_jobs={ids[0]}, rate_502=0.3)
    reports.append(station.sync(jobs=ids[:3], again=True))
    publish(station.ledger, station.lake, station.folder / "warehouse.duckdb")
    errors = []
    for wrong in ({"api_key": CANARY + "wrong"}, {"base_url": "http://127.0.0.1:9"}, {"base_url": sandbox.url + "/no"}):
        with pytest.raises(MeterError) as raised:
            make_station(sandbox, "wrong", max_attempts=1, **wrong).sync()
        errors.append(repr(raised.value) + str(raised.value) + repr(vars(raised.value)))
        # With everything that is chained to it, as a log with a traceback would have it.
        errors.append("".join(traceback.format_exception(raised.value)))
    screen = capfd.readouterr()
    texts = [*errors, caplog.text, screen.out, screen.err, repr(station.client), json.dumps(station.ledger.last_sync())]
    texts += [json.dumps(report.as_dict()) + repr(report) for report in reports]
    texts += [
        str(row) for name in ("jobs", "syncs", "facts", "versions", "intents") for row in station.ledger.rows(name)
    ]
    texts += [str(station.read("raw", slug).to_pylist()) for slug in station.slugs]
    assert not [text for text in texts if CANARY in text]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert set(station.jobs("unreadable"))
