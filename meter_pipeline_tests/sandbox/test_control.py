"""The control surface, and the command that serves until it is asked to stop."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import requests

from meter_pipeline.host.addresses import AddressError
from meter_pipeline.sandbox import Sandbox, serve
from meter_pipeline_tests.sandbox.calls import Calls


@pytest.fixture
def control(empty_sandbox: Sandbox) -> Calls:
    """Calls of the control surface, without a key."""
    calls = Calls(empty_sandbox, "/_sandbox")
    del calls.session.headers["Authorization"]
    return calls


def test_a_world_can_be_built_and_moved_from_outside(control: Calls) -> None:
    strategy = control.post("/strategies", {"name": "S", "url": "https://s.example/", "items": [{"a": 1}]}).json()
    plan = control.post("/schedules", {"strategy": "S", "interval_seconds": 3600}).json()["schedule_id"]
    assert control.post("/advance", {"hours": 2, "minutes": 1}).json() == {"now": "2026-03-02T08:01:00Z", "jobs": 2}
    job = control.post("/jobs", {"strategy": "S", "schedule": plan, "items": [{"a": 2}]}).json()["job_id"]
    state = control.get("/state").json()
    assert (state["jobs"], state["strategies"]) == (3, {strategy["strategy_id"]: "S"})
    assert state["schedules"][plan]["unseen"] == 3
    assert control.delete(f"/jobs/{job}").json() == {"status": "deleted"}
    assert control.post("/advance", {"to": "2026-03-03T00:00:00Z"}).json()["now"] == "2026-03-03T00:00:00Z"
    assert control.post("/clock", {"speed": 0}).json()["speed"] == 0
    assert control.post("/reset").json()["jobs"] == 0
    assert control.get("/deliveries").json() == []


def test_faults_and_log_are_at_hand(control: Calls) -> None:
    assert control.post("/faults", {"rate_500": 1, "fail_jobs": ["x"]}).json()["fail_jobs"] == ["x"]
    assert control.get("/faults").json()["rate_500"] == 1
    Calls(control.sandbox).get("/jobs", limit=5)
    (entry,) = control.get("/log", path="jobs$").json()
    assert (entry["status"], entry["query"], entry["fault"]) == (500, "limit=5", "rate_500")
    assert control.get("/log", after=entry["number"]).json() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"nope": 1}),
        ("/advance", {"weeks": 1}),
        ("/advance", {"seconds": -1}),
        ("/jobs", {"x": 1}),
        ("/jobs", []),
    ],
)
def test_a_wrong_call_is_refused_in_words(control: Calls, path: str, body: object) -> None:
    answer = control.post(path, body)
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_a_taken_port_is_named(empty_sandbox: Sandbox) -> None:
    port = int(empty_sandbox.url.rsplit(":", 1)[1])
    with pytest.raises(AddressError, match=f"cannot listen on 127.0.0.1:{port}.*choose another --port"):
        serve(port=port, worlds=())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_how_to_use_it_and_stops_cleanly(number: signal.Signals) -> None:
    code = "from meter_pipeline.sandbox import serve; serve(port=0, worlds=['newsroom'], days=1, speed=60)"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first, *others = (process.stdout.readline() for _ in range(4))
        url, key = first.split()[3], first.split("key ")[1].split(":")[0]
        answer = requests.get(f"{url}/v1/strategies", headers={"Authorization": f"Bearer {key}"}, timeout=30)
        assert len(answer.json()) == 2
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert "METER_BASE_URL" in "".join(others)
