"""Every endpoint against the sandbox in both dialects, lists that move, and answers no sandbox would give."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from meter_pipeline.api import (
    MeterBadRequest,
    MeterBadResponse,
    MeterClient,
    MeterError,
    MeterNotFound,
)
from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.api.scripted import NOT_FOUND, Answer, Asked, ScriptedServer

Serve = Callable[..., ScriptedServer]
Connect = Callable[..., MeterClient]


@pytest.fixture(params=["/v1", "/api"])
def client(request: pytest.FixtureRequest, sandbox: Sandbox, connect: Connect) -> MeterClient:
    """A client of a sandbox in which two days have passed, in either dialect."""
    sandbox.world.advance(timedelta(days=2))
    return connect(sandbox, prefix=request.param)


def completed(client: MeterClient) -> list[str]:
    strategy_id = next(client.strategies()).strategy_id
    pages = client.job_pages(strategy_id=strategy_id, status="completed", page_size=10)
    return [job.job_id for page in pages for job in page]


def test_strategies_are_listed_read_refined_and_deleted(client: MeterClient) -> None:
    made = client.generate_strategy(url="https://x.example", description="titles", name="Titles")
    assert made.preview
    assert client.refine_strategy(made.strategy_id, "prices too").strategy_id == made.strategy_id
    assert client.strategy(made.strategy_id).name == "Titles"
    assert made.strategy_id in {strategy.strategy_id for strategy in client.strategies()}
    client.delete_strategy(made.strategy_id)
    with pytest.raises(MeterNotFound):
        client.strategy(made.strategy_id)


def test_schedules_are_made_changed_and_deleted(client: MeterClient) -> None:
    strategy_id = next(client.strategies()).strategy_id
    made = client.create_schedule(strategy_id=strategy_id, url="https://x.example", cron_expression="0 6 * * *")
    assert made.cron_expression == "0 6 * * *"
    changed = client.update_schedule(made.schedule_id, enabled=False, interval_seconds=900)
    assert (changed.enabled, changed.interval_seconds) == (False, 900)
    client.delete_schedule(made.schedule_id)
    assert made.schedule_id not in {schedule.schedule_id for schedule in client.schedules()}
    with pytest.raises(MeterBadRequest, match="colour cannot be changed"):
        client.update_schedule(made.schedule_id, colour="red")


def test_jobs_are_run_listed_read_and_compared(client: MeterClient) -> None:
    strategy_id = next(client.strategies()).strategy_id
    job = client.execute_job(strategy_id=strategy_id, url="https://books.example/new")
    assert job.is_completed
    with client.job_body(job.job_id) as body:
        items = [item for batch in body.batches(7) for item in batch]
    assert len(items) == body.job.item_count == job.item_count
    assert client.job(job.job_id).content_hash == job.content_hash
    other = completed(client)[1]
    comparison = client.compare_jobs(job.job_id, other)
    assert (comparison.job_id, comparison.other_job_id) == (job.job_id, other)
    assert comparison.content_hash_match is not None
    history = client.strategy_history(strategy_id)
    assert job.job_id in {entry.job_id for entry in history}


def test_previewing_changes_leaves_them_and_marking_takes_them(client: MeterClient) -> None:
    schedule_id = client.schedules()[0].schedule_id
    with client.changes(schedule_id, mark_seen=False) as first, client.changes(schedule_id, mark_seen=True) as second:
        assert first.count == second.count == len(first.entries) > 0
        assert [entry.job.job_id for entry in first.entries] == [entry.job.job_id for entry in second.entries]
        assert all(entry.body is not None for entry in first.entries)
    assert client.changes(schedule_id, mark_seen=False).entries == ()


def test_a_missing_resource_is_not_found_in_either_form(client: MeterClient) -> None:
    missing = "00000000-0000-4000-8000-000000000000"
    for ask in (
        lambda: client.job_body(missing),
        lambda: client.compare_jobs(missing, missing),
        lambda: client.strategy_history(missing),
        lambda: client.changes(missing, mark_seen=False),
        lambda: client.delete_strategy(missing),
    ):
        with pytest.raises(MeterNotFound, match="not found"):
            ask()


def test_pages_have_every_job_once(client: MeterClient) -> None:
    found = [job.job_id for page in client.job_pages(page_size=7) for job in page]
    whole = [job.job_id for page in client.job_pages() for job in page]
    assert sorted(found) == sorted(whole)
    assert len(set(found)) == len(found) > 100
    assert len(next(client.job_pages(page_size=7))) == 7


def test_a_relative_time_is_made_absolute(serve: Serve, connect: Connect) -> None:
    server = serve(Answer(json=[]))
    client = connect(server)
    for since in ("24h", datetime(2026, 3, 2, 8, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 3, 2), None):
        list(client.job_pages(since=since))
    asked = [request.query.get("since") for request in server.asked]
    assert asked[1:] == ["2026-03-02T06:00:00Z", "2026-03-02T00:00:00Z", None]
    assert asked[0].endswith("Z")


def test_compare_and_history_try_the_other_form_and_remember_it(serve: Serve, connect: Connect) -> None:
    old = {"POST /api/jobs/compare": {"content_hash_match": True}, "GET /api/strategies/s/history": [{"job_id": "j"}]}

    def answer(asked: Asked) -> Answer:
        found = old.get(f"{asked.method} {asked.path}")
        return NOT_FOUND if found is None else Answer(json=found)

    server = serve(answer)
    client = connect(server, prefix="/api")
    assert client.compare_jobs("a", "b").content_hash_match is True
    assert client.strategy_history("s")[0].job_id == "j"
    assert len(server.asked) == 4
    assert client.compare_jobs("a", "b").content_hash_match is True
    assert client.strategy_history("s")[0].job_id == "j"
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    "refusal", [NOT_FOUND, Answer(404, body=b"<h1>404</h1>"), Answer(405), Answer(410), Answer(body=b"<html>")]
)
def test_auto_falls_back_to_api_and_asks_only_once(serve: Serve, connect: Connect, refusal: Answer) -> None:
    server = serve(lambda asked: refusal if asked.path.startswith("/v1") else Answer(json=[]))
    client = connect(server, prefix="auto")
    with ThreadPoolExecutor(8) as threads:
        assert {dialect.prefix for dialect in threads.map(lambda _: client.probe(), range(8))} == {"/api"}
    assert server.paths() == ["GET /v1/strategies", "GET /api/strategies"]
    assert list(client.strategies()) == []


def test_auto_says_when_the_address_is_no_meter(serve: Serve, connect: Connect) -> None:
    with pytest.raises(MeterNotFound, match="neither /v1 nor /api is known there; check METER_BASE_URL"):
        connect(serve(NOT_FOUND), prefix="auto").probe()
    with pytest.raises(MeterBadResponse, match="check METER_BASE_URL"):
        connect(serve(Answer(body=b"<html>welcome</html>")), prefix="auto").probe()


def test_a_limit_that_is_refused_is_lowered(serve: Serve, connect: Connect) -> None:
    jobs = [{"id": f"j{number}"} for number in range(50)]

    def answer(asked: Asked) -> Answer:
        limit, offset = int(asked.query["limit"]), int(asked.query["offset"])
        return Answer(422, {"detail": "limit"}) if limit > 20 else Answer(json=jobs[offset : offset + limit])

    found = [job.job_id for page in connect(serve(answer)).job_pages() for job in page]
    assert found == [job["id"] for job in jobs]


def test_big_rows_make_small_pages(serve: Serve, connect: Connect) -> None:
    jobs = [{"id": f"j{number}", "results": ["x" * 300_000]} for number in range(60)]

    def answer(asked: Asked) -> Answer:
        limit, offset = int(asked.query["limit"]), int(asked.query["offset"])
        return Answer(json=jobs[offset : offset + limit])

    server = serve(answer)
    found = [job for page in connect(server, spool_bytes=2**20).job_pages(page_size=40) for job in page]
    assert [job.job_id for job in found] == [job["id"] for job in jobs]
    assert all("results" not in job.raw for job in found)
    assert int(server.asked[0].query["limit"]) == 40
    assert int(server.asked[1].query["limit"]) < 20


def test_schedules_beyond_a_page_are_not_overlooked(serve: Serve, connect: Connect) -> None:
    schedules = [{"id": f"s{number}"} for number in range(45)]

    def answer(asked: Asked) -> Answer:
        limit, offset = int(asked.query.get("limit", 20)), int(asked.query.get("offset", 0))
        return Answer(json=schedules[offset : offset + limit])

    server = serve(answer)
    assert len(connect(server).schedules()) == 45
    whole = serve(lambda asked: Answer(json=schedules))
    assert len(connect(whole).schedules()) == 45
    assert len(whole.asked) == 2


def test_rows_a_server_should_have_left_out_are_left_out(serve: Serve, connect: Connect) -> None:
    jobs = [{"id": "a", "schedule_id": "s1"}, {"id": "b", "schedule_id": "s2"}, {"id": "c"}]
    server = serve(lambda asked: Answer(json=jobs[int(asked.query["offset"]) :]))
    found = [job.job_id for page in connect(server).job_pages(schedule_id="s1") for job in page]
    assert found == ["a", "c"]


@pytest.mark.parametrize("mount", ["", "/", "/meter", "/meter/"])
def test_the_base_url_may_have_a_path(serve: Serve, connect: Connect, mount: str) -> None:
    server = serve(Answer(json={"job_id": "a b/c?d", "strategy_id": "s"}))
    client = connect(server, base_url=server.url + mount)
    client.job("a b/c?d")
    client.strategy("s")
    base = mount.rstrip("/")
    assert server.paths() == [f"GET {base}/v1/jobs/a%20b%2Fc%3Fd", f"GET {base}/v1/strategies/s"]


def test_a_prefix_in_the_base_url_is_the_prefix(serve: Serve, connect: Connect) -> None:
    server = serve(Answer(json={"id": "s"}))
    connect(server, base_url=server.url + "/api/", prefix="auto").strategy("s")
    assert server.paths() == ["GET /api/strategies/s"]


def test_a_proxy_from_the_environment_is_used_by_both_ways(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(Answer(json={"job_id": "j1", "strategy_id": "s1", "results": [1]}))
    monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://user:secret@"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    client = connect(proxy, base_url="http://meter.invalid")
    client.job("j1")
    client.strategy("s1")
    assert [asked.headers["Host"] for asked in proxy.asked] == ["meter.invalid", "meter.invalid"]
    assert all(asked.headers["Proxy-Authorization"].startswith("Basic ") for asked in proxy.asked)


def test_connections_are_kept_and_shared_by_threads(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.world.advance(timedelta(days=1))
    client = connect(sandbox)
    jobs = completed(client)
    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(lambda job_id: sum(map(len, client.job_body(job_id).batches())), jobs * 3))
    assert all(counts)


def test_everything_arrives_through_faults(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.world.advance(timedelta(days=1))
    expected = completed(connect(sandbox))
    sandbox.set_faults(all=0.2, retry_after=0, slow_seconds=0)
    client = connect(sandbox, max_attempts=12)
    assert sorted(completed(client)) == sorted(expected)
    for job_id in expected:
        with client.job_body(job_id) as body:
            assert sum(map(len, body.batches())) == body.job.item_count


def test_a_job_that_always_fails_is_the_only_one_that_fails(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.world.advance(timedelta(days=1))
    client = connect(sandbox, max_attempts=2)
    first, second, third = completed(client)[:3]
    sandbox.set_faults(fail_jobs=[first], garbage_jobs=[second])
    for job_id in (first, second):
        with pytest.raises(MeterError):
            client.job_body(job_id)
    assert client.job(third).is_completed


def test_a_big_body_is_not_held_in_memory(serve: Serve) -> None:
    item = b'{"title": "Tide \\"Tables\\" \xc3\xa9", "price": "12.50", "tags": ["a", "b", {"c": 1}]}'
    body = b'{"job_id": "j1", "results": [' + b",".join([item] * 600_000) + b'], "item_count": 600000}'
    server = serve(Answer(body=body))
    script = f"""
        import resource
        from meter_pipeline.api import MeterClient
        with MeterClient("sk_live_x", base_url="{server.url}", prefix="/v1") as client:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            with client.job_body("j1") as body:
                items = sum(len(batch) for batch in body.batches())
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(items, body.size, (after - before) // 1024)
    """
    printed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True, env=os.environ
    ).stdout.split()
    assert [int(printed[0]), int(printed[1])] == [600_000, len(body)]
    assert int(printed[2]) < 80, f"{printed[2]} MB for a body of {len(body) // 2**20} MB"


def test_ids_that_would_change_the_path_are_refused(serve: Serve, connect: Connect) -> None:
    server = serve(Answer(json={}))
    for wrong in ("", ".", ".."):
        with pytest.raises(MeterBadRequest, match="not a valid identifier"):
            connect(server).job(wrong)
    assert server.asked == []


def test_an_answer_without_an_id_is_a_bad_response(serve: Serve, connect: Connect) -> None:
    answers: dict[str, Any] = {
        "strategies": {"name": "x"},
        "jobs": {"status": "completed"},
    }
    server = serve(lambda asked: Answer(json=answers[asked.path.split("/")[2]]))
    client = connect(server, max_attempts=1)
    for ask in (lambda: client.strategy("s"), lambda: client.job("j")):
        with pytest.raises(MeterBadResponse, match="with neither"):
            ask()


def test_rows_without_an_id_are_left_out_of_lists_and_reported_once(serve: Serve, connect: Connect) -> None:
    bad = {"name": "nameless", "api_key": "s3cret"}

    def answer(asked: Asked) -> Answer:
        noun = asked.path.split("/")[2]
        if "/changes" in asked.path:
            return Answer(json={"changes": [bad, {"job_id": "j"}]})
        if "/history" in asked.path:
            return Answer(json=[bad, {"job_id": "j"}])
        start, limit = int(asked.query.get("offset", 0)), int(asked.query.get("limit", 100))
        listed = [bad if number % 3 == 0 else {"id": f"{noun} {number}"} for number in range(50)]
        listed = [bad | {"created_at": str(n)} if row is bad else row for n, row in enumerate(listed)]
        return Answer(json=listed[start : start + min(limit, 7)])

    client = connect(serve(answer))
    wanted = [number for number in range(50) if number % 3]
    assert [row.strategy_id for row in client.strategies()] == [f"strategies {number}" for number in wanted]
    unusable = client.take_unusable()
    assert len(unusable) == 17
    assert str(unusable[1]) == (
        "a row of strategies cannot be used (an object with neither strategy_id nor id): "
        "name 'nameless', created_at '3'"
    )
    assert client.take_unusable() == []
    jobs = [job.job_id for page in client.job_pages() for job in page]
    assert jobs == [f"jobs {number}" for number in wanted]
    assert len(client.take_unusable()) == 17
    changes = client.changes("s", mark_seen=False)
    assert ([entry.job.job_id for entry in changes.entries], len(changes.unusable)) == (["j"], 1)
    assert [entry.job_id for entry in client.strategy_history("s")] == ["j"]
    assert [row.noun for row in client.take_unusable()] == ["history"]


def test_a_page_of_nothing_but_rows_without_an_id_does_not_end_a_list(serve: Serve, connect: Connect) -> None:
    def answer(asked: Asked) -> Answer:
        start, limit = int(asked.query.get("offset", 0)), int(asked.query.get("limit", 100))
        listed = [{"n": number} if 10 <= number < 40 else {"job_id": f"j{number}"} for number in range(60)]
        return Answer(json=listed[start : start + min(limit, 5)])

    client = connect(serve(answer))
    assert len([job for page in client.job_pages() for job in page]) == 30
    assert len(client.take_unusable()) == 30
