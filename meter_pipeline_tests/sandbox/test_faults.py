"""Faults: each kind does what it says, chances follow the seed, and wrong switches are refused in words."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import requests

from meter_pipeline.sandbox import Sandbox, SandboxError, parse_faults
from meter_pipeline_tests.sandbox.calls import Calls

Make = Callable[..., Sandbox]
CREATE = {"url": "https://a.example/", "description": "d", "name": "Made"}


def test_each_kind_of_error_is_answered_as_the_service_would(empty_sandbox: Sandbox) -> None:
    empty_sandbox.set_faults(script=["rate_429", "rate_500", "rate_502", "rate_503"], retry_after=0.25)
    calls = Calls(empty_sandbox)
    limited, error, gateway, unavailable = (calls.get("/jobs") for _ in range(4))
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "0.250")
    assert (error.status_code, list(error.json())) == (500, ["detail"])
    assert (gateway.status_code, gateway.text[:6]) == (502, "<html>")
    assert unavailable.status_code == 503
    assert calls.get("/jobs").status_code == 200
    assert [entry.fault for entry in empty_sandbox.log] == ["rate_429", "rate_500", "rate_502", "rate_503", None]


@pytest.mark.parametrize(("kind", "made"), [("drop_before", 0), ("rate_500", 0), ("drop_after", 1), ("error_after", 1)])
def test_a_request_that_fails_was_carried_out_or_not(empty_sandbox: Sandbox, kind: str, made: int) -> None:
    empty_sandbox.set_faults(script=[kind])
    calls = Calls(empty_sandbox)
    if kind.startswith("drop"):
        with pytest.raises(requests.ConnectionError):
            calls.post("/strategies/generate", CREATE)
        assert empty_sandbox.log[-1].status == 0
    else:
        assert calls.post("/strategies/generate", CREATE).status_code == 500
    assert len(calls.get("/strategies").json()) == made


def test_a_dropped_read_of_changes_has_flagged_them(empty_sandbox: Sandbox) -> None:
    plan = empty_sandbox.add_schedule(empty_sandbox.add_strategy("S"))
    job = empty_sandbox.insert_job("S", items=[{"a": 1}], schedule=plan)
    empty_sandbox.set_faults(script=["drop_after"])
    with pytest.raises(requests.ConnectionError):
        Calls(empty_sandbox).get(f"/schedules/{plan}/changes")
    assert empty_sandbox.marks[0].marked == (job,)


def test_a_truncated_body_ends_in_the_middle(empty_sandbox: Sandbox) -> None:
    job = empty_sandbox.insert_job("S", items=[{"text": "x" * 100_000}])
    empty_sandbox.set_faults(truncate=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        Calls(empty_sandbox).get(f"/jobs/{job}")


def test_slow_answers_and_latency_wait(empty_sandbox: Sandbox) -> None:
    empty_sandbox.set_faults(slow=1, slow_seconds=0.05, latency_ms=50)
    began = time.monotonic()
    assert Calls(empty_sandbox).get("/jobs").status_code == 200
    assert time.monotonic() - began >= 0.1


def test_one_job_can_always_fail_or_be_garbage(empty_sandbox: Sandbox) -> None:
    bad, broken, odd, fine = (empty_sandbox.insert_job("S", items=[]) for _ in range(4))
    whole = empty_sandbox.insert_job("S", body=b"<html>not a job</html>")
    empty_sandbox.set_faults(fail_jobs=[bad], garbage_jobs=f"{broken},{odd}")
    calls = Calls(empty_sandbox)
    assert [calls.get(f"/jobs/{bad}").status_code for _ in range(3)] == [500] * 3
    with pytest.raises(requests.exceptions.JSONDecodeError):
        calls.get(f"/jobs/{odd}").json()
    assert calls.get(f"/jobs/{fine}").json()["results"] == []
    assert calls.get(f"/jobs/{whole}").content == b"<html>not a job</html>"


def test_chances_follow_the_seed_and_not_the_order_of_requests(make_sandbox: Make) -> None:
    def met(order: list[int]) -> dict[str, list[int]]:
        sandbox = make_sandbox(worlds=(), seed=3, faults={"rate_500": 0.3, "rate_429": 0.2})
        calls = Calls(sandbox)
        for number in order * 3:
            calls.get("/jobs", offset=number)
        seen: dict[str, list[int]] = {}
        for entry in sandbox.log:
            seen.setdefault(entry.query, []).append(entry.status)
        return seen

    forward = met(list(range(25)))
    assert forward == met(list(range(24, -1, -1)))
    statuses = [status for each in forward.values() for status in each]
    assert 10 < statuses.count(500) < 40
    assert 5 < statuses.count(429) < 30


def test_faults_hit_the_paths_methods_and_number_asked_for(empty_sandbox: Sandbox) -> None:
    calls = Calls(empty_sandbox)
    empty_sandbox.set_faults(rate_503=1, path="/jobs$", method="GET", times=2)
    codes = [
        calls.get("/strategies"),
        calls.get("/jobs"),
        calls.post("/jobs", {}),
        calls.get("/jobs"),
        calls.get("/jobs"),
    ]
    assert [code.status_code for code in codes] == [200, 503, 400, 503, 200]


def test_a_rate_limit_is_reported_in_headers_and_then_enforced(empty_sandbox: Sandbox) -> None:
    empty_sandbox.set_faults(rate_limit=2, rate_window=60)
    first, _, third = (Calls(empty_sandbox).get("/jobs") for _ in range(3))
    assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("2", "1")
    assert third.status_code == 429
    assert float(third.headers["Retry-After"]) > 0
    assert int(third.headers["X-RateLimit-Reset"]) > time.time()


def test_all_spreads_one_rate_over_the_usual_faults(empty_sandbox: Sandbox) -> None:
    empty_sandbox.set_faults(all=0.7)
    assert empty_sandbox.world.faults.rate_502 == pytest.approx(0.1)
    empty_sandbox.clear_faults()
    assert empty_sandbox.world.faults.rate_502 == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rate_5000=1", "no fault is called 'rate_5000': did you mean rate_50"),
        ("rate_500=2", "rate between 0 and 1"),
        ("rate_500=often", "must be a number"),
        ("no_v1=perhaps", "true or false"),
        ("id_style=short", "one of auto, id, typed, both"),
        ("script=explode", "not 'explode'"),
        ("path=(", "not a valid regular expression"),
        ("times=some", "whole number"),
    ],
)
def test_a_wrong_switch_is_refused_in_words(text: str, complaint: str) -> None:
    with pytest.raises(SandboxError, match=complaint.replace("(", r"\(")):
        parse_faults([text])


def test_switches_read_from_the_command_line_fit_their_types(make_sandbox: Make) -> None:
    faults = make_sandbox(
        worlds=(), faults=parse_faults(["no_v1", "times=3", "slow=0.5", "fail_jobs=a,b"])
    ).world.faults
    assert (faults.no_v1, faults.times, faults.slow, faults.fail_jobs) == (True, 3, 0.5, {"a", "b"})


@pytest.mark.parametrize("kind", ["endless", "bomb"])
def test_a_body_without_end_is_sent_till_the_client_has_had_enough(empty_sandbox: Sandbox, kind: str) -> None:
    job = empty_sandbox.insert_job("S", items=[{"a": 1}])
    empty_sandbox.set_faults(**{kind: 1})
    calls = Calls(empty_sandbox)
    with calls.session.get(f"{empty_sandbox.url}/api/jobs/{job}", stream=True) as response:
        taken = b""
        for piece in response.iter_content(100_000):
            taken += piece
            if len(taken) > 1_000_000:
                break
    assert taken.startswith(b'{"')
    assert b'"results":[1,{' in taken
    empty_sandbox.clear_faults()
    assert calls.get(f"/jobs/{job}").json()["results"] == [{"a": 1}]


@pytest.mark.parametrize("kind", ["new", "again"])
def test_a_list_of_jobs_may_have_no_end(empty_sandbox: Sandbox, kind: str) -> None:
    ids = {empty_sandbox.insert_job("S", items=[]) for _ in range(3)}
    empty_sandbox.set_faults(endless_jobs=kind)
    for offset in (3, 10_000_001):
        rows = Calls(empty_sandbox).get("/jobs", offset=offset, limit=3).json()
        assert len({row.get("job_id") or row["id"] for row in rows}) == 3
        assert ({row.get("job_id") or row["id"] for row in rows} == ids) == (kind == "again")


def test_answers_are_mixed_up_with_those_about_another_resource(empty_sandbox: Sandbox) -> None:
    plans = [empty_sandbox.add_schedule(empty_sandbox.add_strategy(name)) for name in ("S", "T")]
    jobs = [empty_sandbox.insert_job(name, items=[], schedule=plan) for name, plan in zip("ST", plans, strict=True)]
    empty_sandbox.set_faults(mix_up=1)
    calls = Calls(empty_sandbox)
    assert calls.get(f"/jobs/{jobs[0]}").json()["job_id"] == jobs[1]
    read = calls.get(f"/schedules/{plans[0]}/changes").json()
    assert [entry["job_id"] for entry in read["changes"]] == [jobs[1]]
    assert empty_sandbox.marks[-1].marked == (jobs[0],)
    assert empty_sandbox.world.schedules[plans[1]].unseen
    assert len(calls.get("/jobs").json()) == 2
