"""An answer about another resource than the requested one is an error, is retried, and is never used as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.api import MeterAmbiguous, MeterBadResponse, MeterClient, MeterWrongResource
from meter_pipeline.api.answers import Mismatch, require
from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.api.scripted import Answer, Asked, ScriptedServer

Serve = Callable[..., ScriptedServer]
Connect = Callable[..., MeterClient]

ANSWERS: dict[str, tuple[Callable[[MeterClient], Any], Any, Any]] = {
    "job": (lambda client: client.job("b1"), {"job_id": "g1"}, {"job_id": "b1"}),
    "job with its items": (
        lambda client: client.job_body("b1").close(),
        {"id": "g1", "results": [{"a": 1}]},
        {"id": "b1", "results": [{"a": 1}]},
    ),
    "strategy": (lambda client: client.strategy("b1"), {"id": "g1"}, {"id": "b1"}),
    "history": (
        lambda client: client.strategy_history("b1"),
        [{"job_id": "j", "strategy_id": "g1"}],
        [{"job_id": "j", "strategy_id": "b1"}, {"job_id": "k"}],
    ),
    "comparison": (
        lambda client: client.compare_jobs("a1", "b1"),
        {"job_id": "a1", "other_job_id": "g1"},
        {"job_id": "a1", "other_job_id": "b1"},
    ),
    "schedule's changes": (
        lambda client: client.changes("b1", mark_seen=False).close(),
        {"schedule_id": "g1", "changes": []},
        {"schedule_id": "b1", "changes": []},
    ),
    "job of another schedule among the changes": (
        lambda client: client.changes("b1", mark_seen=False).close(),
        {"changes": [{"job_id": "j", "schedule_id": "g1", "results": [1]}]},
        {"changes": [{"job_id": "j", "schedule_id": "b1", "results": [1]}, {"job_id": "k", "schedule_id": None}]},
    ),
    "updated schedule": (
        lambda client: client.update_schedule("b1", enabled=False),
        {"schedule_id": "g1"},
        {"schedule_id": "b1"},
    ),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_about_another_resource_is_retried(serve: Serve, connect: Connect, kind: str) -> None:
    ask, wrong, right = ANSWERS[kind]
    server = serve(Answer(json=wrong), Answer(json=right))
    ask(connect(server))
    assert len(server.asked) == 2
    assert all("no-cache" in asked.headers["Cache-Control"] for asked in server.asked)


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_stays_wrong_is_an_error_with_both_ids(serve: Serve, connect: Connect, kind: str) -> None:
    ask, wrong, _ = ANSWERS[kind]
    with pytest.raises(MeterWrongResource, match=r"g1, not .* b1 that was asked for.*cache or proxy") as caught:
        ask(connect(serve(Answer(json=wrong)), max_attempts=3))
    assert caught.value.attempts == 3
    assert isinstance(caught.value, MeterBadResponse)


def test_a_refined_strategy_need_not_be_named_but_not_be_another(serve: Serve, connect: Connect) -> None:
    assert connect(serve(Answer(json={"attempts": 2}))).refine_strategy("s1", "more").strategy_id == "s1"
    with pytest.raises(MeterAmbiguous, match="strategy s2, not strategy s1"):
        connect(serve(Answer(json={"id": "s2"}))).refine_strategy("s1", "more")


@pytest.mark.parametrize("kind", ["job", "batch", "schedule"])
def test_what_was_made_of_another_strategy_is_not_taken_for_ours(serve: Serve, connect: Connect, kind: str) -> None:
    """The answer comes from a cache; the list shows whether our resource was created."""

    def answer(asked: Asked) -> Answer:
        if asked.method == "POST":
            return Answer(json={f"{kind}_id": "g1", "strategy_id": "other"})
        posted = any(earlier.method == "POST" for earlier in server.asked)
        row = {f"{kind}_id": "b1", "job_id": "b1", "strategy_id": "s1", "url": "https://a.example/"}
        if kind == "schedule":
            row["interval_seconds"] = 60  # type: ignore[assignment]
        return Answer(json=[row] if posted and asked.query.get("offset", "0") == "0" else [])

    server = serve(answer)
    client = connect(server)
    if kind == "schedule":
        made: Any = client.create_schedule(strategy_id="s1", url="https://a.example/", interval_seconds=60)
        assert made.schedule_id == "b1"
    elif kind == "job":
        made = client.create_job(strategy_id="s1", url="https://a.example/")
        assert made.job_id == "b1"
    else:
        made = client.create_job(strategy_id="s1", urls=["https://a.example/"])
        assert made.batch_id == "b1"
    assert [asked.method for asked in server.asked].count("POST") == 1


def test_a_uuid_may_be_asked_for_in_another_spelling(serve: Serve, connect: Connect) -> None:
    id_ = "b1d6b9a2-40a0-4a52-9a0b-0c7a4f6f1d21"
    server = serve(Answer(json={"job_id": id_}))
    assert connect(server).job(id_.upper()).job_id == id_
    assert connect(server).job(id_.replace("-", "")).job_id == id_


@given(st.text(), st.text())
def test_an_error_names_any_id_in_one_printable_line(asked: str, answered: str) -> None:
    if asked == answered:
        require("job", asked, answered)
        return
    with pytest.raises(Mismatch) as caught:
        require("job", asked, answered)
    assert caught.value.reason.isprintable()
    assert len(caught.value.reason) < 2_500


def test_a_key_that_another_id_carries_is_scrubbed(serve: Serve, connect: Connect) -> None:
    server = serve(Answer(json={"job_id": "sk_live_canary0123456789"}))
    with pytest.raises(MeterWrongResource) as caught:
        connect(server, max_attempts=1).job("b1")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["/v1", "/api"])
def test_a_cache_that_mixes_answers_up_is_seen_in_either_dialect(
    empty_sandbox: Sandbox, connect: Connect, prefix: str
) -> None:
    plans = [empty_sandbox.add_schedule(empty_sandbox.add_strategy(name)) for name in ("S", "T")]
    jobs = [empty_sandbox.insert_job("S", items=[{"a": n}], schedule=plans[0]) for n in range(2)]
    client = connect(empty_sandbox, prefix=prefix)
    empty_sandbox.set_faults(script=["mix_up", "none"] * 3)
    strategy_id = next(iter(empty_sandbox.world.strategies))
    assert client.job(jobs[1]).job_id == jobs[1]
    assert client.strategy(strategy_id).strategy_id == strategy_id
    with client.changes(plans[0], mark_seen=False) as changes:
        assert {entry.job.job_id for entry in changes.entries} == set(jobs)
    assert [entry.fault for entry in empty_sandbox.log] == ["mix_up", None] * 3
