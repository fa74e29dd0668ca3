"""What goes over the wire: dialects, ids, paging, checks on input, and the variants behind switches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.sandbox.calls import Calls

UNKNOWN = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture
def shop(empty_sandbox: Sandbox) -> Sandbox:
    """One strategy with one schedule and three finished jobs."""
    strategy = empty_sandbox.add_strategy("Shop", "https://shop.example/", items=[{"a": 1}])
    schedule = empty_sandbox.add_schedule(strategy, schedule_id="11111111-1111-4111-8111-111111111111")
    for number in range(3):
        empty_sandbox.insert_job("Shop", items=[{"n": number}, {"n": 9}], schedule=schedule,
                                 completed_at=f"2026-03-01T0{number}:00:00Z")  # fmt: skip
    return empty_sandbox


@pytest.mark.parametrize(
    ("style", "dialect", "strategy", "schedule", "row", "job"),
    [
        ("auto", "/v1", {"id"}, {"id"}, {"id"}, {"id"}),
        ("auto", "/api", {"strategy_id"}, {"schedule_id"}, {"id"}, {"job_id"}),
        ("id", "/api", {"id"}, {"id"}, {"id"}, {"id"}),
        ("typed", "/v1", {"strategy_id"}, {"schedule_id"}, {"job_id"}, {"job_id"}),
        ("both", "/v1", {"id", "strategy_id"}, {"id", "schedule_id"}, {"id", "job_id"}, {"id", "job_id"}),
    ],
)
def test_ids_are_under_the_keys_of_the_dialect_or_of_the_switch(
    shop: Sandbox, style: str, dialect: str, strategy: set[str], schedule: set[str], row: set[str], job: set[str]
) -> None:
    shop.set_faults(id_style=style)
    calls = Calls(shop, dialect)

    def keys(value: dict[str, Any], noun: str) -> set[str]:
        return set(value) & {"id", noun}

    rows = calls.get("/jobs").json()
    assert keys(calls.get("/strategies").json()[0], "strategy_id") == strategy
    assert keys(calls.get("/schedules").json()[0], "schedule_id") == schedule
    assert keys(rows[0], "job_id") == row
    job_id = rows[0].get("id") or rows[0]["job_id"]
    assert keys(calls.get(f"/jobs/{job_id}").json(), "job_id") == job


def test_compare_and_history_have_two_forms_each_of_which_can_be_switched_off(shop: Sandbox) -> None:
    calls = Calls(shop, "/v1")
    strategy = next(iter(shop.world.strategies))
    newest, older, _ = (row["id"] for row in calls.get("/jobs").json())
    body = {"job_id": newest, "other_job_id": older}
    verdict = calls.post("/jobs/compare", body).json()
    assert verdict == calls.get(f"/jobs/{newest}/compare/{older}").json()
    assert (verdict["content_hash_match"], verdict["semantic_similarity"]) == (False, 0.5)
    assert calls.post("/jobs/compare", {"job_ids": [newest, newest]}).json()["content_hash_match"] is True
    history = calls.get(f"/strategies/{strategy}/history").json()
    assert history == calls.get(f"/jobs/strategies/{strategy}/history").json()
    assert [entry["has_changes"] for entry in history] == [True, True, True]

    shop.set_faults(compare_form="get", history_path="jobs")
    assert calls.post("/jobs/compare", body).status_code == 404
    assert calls.get(f"/strategies/{strategy}/history").status_code == 404
    shop.set_faults(compare_form="post", history_path="strategies")
    assert calls.get(f"/jobs/{newest}/compare/{older}").status_code == 404
    assert calls.get(f"/jobs/strategies/{strategy}/history").status_code == 404


def test_a_prefix_can_be_switched_off(shop: Sandbox) -> None:
    shop.set_faults(no_v1=True)
    assert [Calls(shop, prefix).get("/jobs").status_code for prefix in ("/v1", "/api")] == [404, 200]
    shop.set_faults(no_v1=False, no_api=True)
    assert [Calls(shop, prefix).get("/jobs").status_code for prefix in ("/v1", "/api")] == [200, 404]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/strategies/generate", {"url": "https://a.example/", "description": "", "name": "n"}, 400),
        ("POST", "/strategies/generate", {"url": "no url", "description": "d", "name": "n"}, 422),
        ("POST", "/strategies/generate", [], 400),
        ("GET", f"/strategies/{UNKNOWN}", None, 404),
        ("POST", "/jobs", {}, 400),
        ("POST", "/jobs", {"strategy_id": "nope", "url": "https://a.example/"}, 400),
        ("POST", "/jobs", {"strategy_id": UNKNOWN, "url": "https://a.example/"}, 404),
        (
            "POST",
            "/jobs",
            {"strategy_id": "STRATEGY", "url": "https://a.example/", "urls": ["https://a.example/"]},
            400,
        ),
        ("POST", "/schedules", {"strategy_id": "STRATEGY", "url": "https://a.example/"}, 400),
        ("POST", "/schedules", {"strategy_id": "STRATEGY", "url": "https://a.example/", "interval_seconds": 59}, 400),
        ("POST", "/schedules", {"strategy_id": "STRATEGY", "url": "https://a.example/", "cron_expression": "x"}, 422),
        ("GET", "/jobs?limit=x", None, 422),
        ("GET", "/jobs?limit=0", None, 422),
        ("GET", "/jobs?status=lost", None, 422),
        ("GET", "/jobs?since=yesterday", None, 422),
        ("GET", "/jobs/nope", None, 400),
        ("GET", f"/jobs/{UNKNOWN}", None, 404),
        ("GET", f"/schedules/{UNKNOWN}/changes", None, 404),
        ("DELETE", f"/schedules/{UNKNOWN}", None, 404),
        ("GET", "/nothing", None, 404),
        ("PUT", "/jobs", None, 405),
        ("POST", "/webhooks/test", {}, 400),
        ("POST", "/webhooks/test", {"webhook_url": "no url"}, 422),
    ],
)
def test_bad_requests_are_answered_with_a_detail(shop: Sandbox, method: str, path: str, body: Any, status: int) -> None:
    if isinstance(body, dict) and body.get("strategy_id") == "STRATEGY":
        body = {**body, "strategy_id": next(iter(shop.world.strategies))}
    answer = Calls(shop).session.request(method, f"{shop.url}/api{path}", json=body)
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])


def test_a_post_needs_its_content_type_and_every_call_the_key(shop: Sandbox) -> None:
    calls = Calls(shop)
    assert calls.session.post(shop.url + "/v1/jobs", data=b"{}").status_code == 400
    calls.session.headers["Authorization"] = "Bearer sk_live_other"
    assert calls.get("/jobs").json() == {"detail": "Invalid API key"}
    del calls.session.headers["Authorization"]
    assert calls.get("/jobs").json() == {"detail": "Missing API key"}
    shop.set_faults(detail_list=True)
    assert calls.get("/jobs").json()["detail"][0]["msg"] == "Missing API key"


def test_lists_are_paged_filtered_clamped_and_wrapped(shop: Sandbox) -> None:
    calls = Calls(shop)
    ids = [row["id"] for row in calls.get("/jobs").json()]
    assert [row["id"] for row in calls.get("/jobs", limit=2, offset=1).json()] == ids[1:]
    assert calls.get("/jobs", offset=3).json() == []
    assert len(calls.get("/jobs", since="2026-03-01T01:00:00+00:00").json()) == 2
    assert calls.get("/jobs", status="failed").json() == []
    assert len(calls.get("/jobs", schedule_id="11111111-1111-4111-8111-111111111111").json()) == 3
    shop.set_faults(max_limit=2, envelope="plural", list_results=True, schedule_ids=False)
    page = calls.get("/jobs", limit=50).json()["jobs"]
    assert [row["results"][0] for row in page] == [{"n": 2}, {"n": 1}]
    assert "schedule_id" not in page[0]


@pytest.mark.parametrize(
    ("shape", "results"),
    [
        ("array", [{"n": 0}, {"n": 9}]),
        ("wrapped", {"listings": [{"n": 0}, {"n": 9}]}),
        ("wrapped_list", [{"listings": [{"n": 0}, {"n": 9}]}]),
        ("object", {"n": 0}),
        ("nested", [{"item": {"data": {"n": 0}}}, {"item": {"data": {"n": 9}}}]),
        ("null", None),
        ("scalar", "2 rows"),
        ("scalars", ["row 0", "row 1"]),
    ],
)
def test_results_come_in_the_shape_the_switch_says(shop: Sandbox, shape: str, results: object) -> None:
    shop.set_faults(results_shape=shape)
    job = Calls(shop).get(f"/jobs/{shop.world.jobs[0].job_id}").json()
    assert (job["results"], job["item_count"]) == (results, 2)


@pytest.mark.parametrize(
    ("style", "text"),
    [("z", "2026-03-01T00:00:00Z"), ("naive", "2026-03-01T00:00:00"), ("offset", "2026-03-01T00:00:00+00:00"),
     ("fraction", "2026-03-01T00:00:00.000000Z")],
)  # fmt: skip
def test_times_are_printed_as_the_switch_says(shop: Sandbox, style: str, text: str) -> None:
    shop.set_faults(timestamps=style)
    assert Calls(shop).get(f"/jobs/{shop.world.jobs[0].job_id}").json()["completed_at"] == text


@pytest.mark.parametrize(("place", "index"), [("first", 0), ("middle", 6), ("last", -1)])
def test_results_stand_where_the_switch_says(shop: Sandbox, place: str, index: int) -> None:
    shop.set_faults(results_place=place)
    assert list(Calls(shop).get(f"/jobs/{shop.world.jobs[0].job_id}").json())[index] == "results"


def test_generate_replays_its_answer_for_a_used_key(shop: Sandbox) -> None:
    calls = Calls(shop)
    calls.session.headers["Idempotency-Key"] = "k1"
    body = {"url": "https://a.example/", "description": "d", "name": "n"}
    first, second = calls.post("/strategies/generate", body), calls.post("/strategies/generate", body)
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["X-Strategy-Quota-Used"] == "1"
    assert calls.post("/strategies/generate", {**body, "name": "other"}).status_code == 422
    calls.session.headers["Idempotency-Key"] = "k2"
    shop.set_faults(quota=1)
    assert calls.post("/strategies/generate", body).status_code == 403


def test_deletes_answer_with_a_body_or_without(shop: Sandbox) -> None:
    calls = Calls(shop)
    assert calls.delete("/schedules/11111111-1111-4111-8111-111111111111").json() == {"status": "deleted"}
    shop.set_faults(delete_204=True)
    answer = calls.delete(f"/strategies/{next(iter(shop.world.strategies))}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert len(calls.get("/jobs").json()) == 3


def test_a_failed_execute_can_be_an_error_and_the_clock_alone_can_move_jobs(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    sandbox = make_sandbox(worlds=(), faults={"execute_failed_status": "502", "poll_steps": "0"})

    def broken(url: str, at: float) -> list[object]:
        raise RuntimeError("no such page")

    strategy = sandbox.add_strategy("Broken", page=broken)
    calls = Calls(sandbox)
    body = {"strategy_id": strategy, "url": "https://a.example/"}
    assert calls.post("/jobs/execute", body).json() == {"detail": "Job failed: no such page"}
    job_id = calls.post("/jobs", body).json()["job_id"]
    assert [calls.get(f"/jobs/{job_id}").json()["status"] for _ in range(3)] == ["pending"] * 3
    sandbox.advance(60)
    assert calls.get(f"/jobs/{job_id}").json()["status"] == "failed"
