"""The official client, meter-sdk, drives the sandbox through every call it has for the core of the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from meter_sdk import MeterClient, MeterError

from meter_pipeline.sandbox import Sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[MeterClient]:
    with MeterClient(sandbox.api_key, base_url=sandbox.url) as client:
        yield client


def test_strategies_are_generated_listed_refined_updated_and_deleted(client: MeterClient) -> None:
    made = client.generate_strategy("https://tea.example/list", "name and price", "Teas")
    assert set(made) == {"strategy_id", "strategy", "preview_data", "attempts", "scraper_type", "api_parameters"}
    assert made["scraper_type"] == "css"
    assert {"title", "price", "link"} == set(made["preview_data"][0])

    refined = client.refine_strategy(made["strategy_id"], "also the rating")
    assert refined["strategy_id"] == made["strategy_id"]
    assert refined["attempts"] == 2
    assert "rating" in refined["preview_data"][0]

    rows = client.list_strategies(limit=50)
    assert made["strategy_id"] in [row["strategy_id"] for row in rows]
    assert len(client.list_strategies(limit=2, offset=1)) == 2

    config = {"mode": "all", "conditions": [{"field": "price", "operator": "gt", "value": "1000"}]}
    assert client.update_strategy(made["strategy_id"], filter_config=config)["filter_config"] == config
    assert client.get_strategy(made["strategy_id"])["name"] == "Teas"
    assert client.execute_job(made["strategy_id"], "https://tea.example/list")["results"] == []

    client.delete_strategy(made["strategy_id"])
    with pytest.raises(MeterError, match="Strategy not found"):
        client.get_strategy(made["strategy_id"])


def test_every_kind_of_strategy_brings_its_own_shape(client: MeterClient) -> None:
    content = client.extract_content("https://docs.example/", "Docs")
    assert set(content["preview_data"][0]) == {"heading", "level", "content"}
    api = client.generate_strategy("https://tea.example/api", "all", "Tea API", force_api=True)
    assert (api["scraper_type"], "region" in api["api_parameters"]) == ("api", True)
    typed = client.generate_strategy(
        "https://tea.example/typed", "all", "Typed", output_schema={"name": "string", "price": "number"}
    )
    assert isinstance(typed["preview_data"][0]["price"], float)
    wrapped = client.generate_strategy(
        "https://tea.example/wrapped", "all", "Wrapped", output_schema={"teas": [{"name": "string", "grams": "int"}]}
    )
    results = client.execute_job(wrapped["strategy_id"], "https://tea.example/wrapped")["results"]
    assert list(results) == ["teas"]
    assert isinstance(results["teas"][0]["grams"], int)


def test_jobs_run_when_polled_and_are_listed_compared_and_reported_in_history(
    client: MeterClient, sandbox: Sandbox
) -> None:
    strategy_id = client.list_strategies()[0]["strategy_id"]
    made = client.create_job(strategy_id, url="https://books.example/new")
    assert made["status"] == "pending"
    assert client.get_job(made["job_id"])["status"] == "running"
    done = client.wait_for_job(made["job_id"], poll_interval=0.01)
    assert done["item_count"] == len(done["results"]) == 40

    sandbox.advance(timedelta(days=3))
    other = client.execute_job(strategy_id, "https://books.example/new")
    verdict = client.compare_jobs(made["job_id"], other["job_id"])
    assert verdict["content_hash_match"] is False
    assert verdict["structural_match"] is True
    assert 0 < verdict["semantic_similarity"] < 1
    assert verdict["item_count_diff"] == 0

    listed = client.list_jobs(strategy_id=strategy_id, status="completed", since="24h", limit=100)
    assert {row["strategy_id"] for row in listed} == {strategy_id}
    assert [row["created_at"] for row in listed] == sorted((row["created_at"] for row in listed), reverse=True)
    history = client.get_strategy_history(strategy_id)
    assert {"job_id", "status", "item_count", "has_changes", "created_at"} == set(history[0])
    assert history[-1]["job_id"] == made["job_id"]


def test_a_batch_has_no_job_ids_but_progress(client: MeterClient) -> None:
    strategy_id = client.list_strategies()[0]["strategy_id"]
    batch = client.create_job(strategy_id, urls=["https://books.example/a", "https://books.example/b"])
    assert batch["job_count"] == 2
    assert "job_id" not in batch
    client.get_batch_progress(batch["batch_id"])
    progress = client.get_batch_progress(batch["batch_id"])
    assert (progress["total"], progress["completed"], progress["progress_percent"]) == (2, 2, 100.0)
    assert [row["batch_id"] for row in client.list_jobs(limit=2)] == [batch["batch_id"]] * 2


def test_a_failed_scrape_fails_the_wait(client: MeterClient, sandbox: Sandbox) -> None:
    def broken(url: str, at: float) -> list[object]:
        raise RuntimeError("Target answered 503")

    strategy_id = sandbox.add_strategy("Broken", "https://broken.example/", page=broken)
    job = client.create_job(strategy_id, url="https://broken.example/")
    with pytest.raises(MeterError, match="Target answered 503"):
        client.wait_for_job(job["job_id"], poll_interval=0.01)
    failed = client.execute_job(strategy_id, "https://broken.example/")
    assert (failed["status"], failed["results"], failed["error"]) == ("failed", None, "Target answered 503")


def test_schedules_are_created_changed_and_deleted_and_show_their_secret_once(client: MeterClient) -> None:
    strategy_id = client.list_strategies()[0]["strategy_id"]
    made = client.create_schedule(
        strategy_id, url="https://books.example/new", interval_seconds=900, webhook_url="http://127.0.0.1:9/none",
        webhook_metadata={"team": "pricing"}, parameters={"page": 2},
    )  # fmt: skip
    assert made["webhook_secret"].startswith("whsec_")
    assert made["webhook_type"] == "standard"
    row = next(one for one in client.list_schedules() if one["schedule_id"] == made["schedule_id"])
    assert row["webhook_secret"] is None
    assert row["next_run_at"] == "2026-03-02T06:15:00Z"

    schedule_id = made["schedule_id"]
    fresh = client.regenerate_webhook_secret(schedule_id)
    assert fresh["webhook_secret"] not in (None, made["webhook_secret"])
    changed = client.update_schedule(schedule_id, cron_expression="30 5 * * 1-5", urls=["https://books.example/a"])
    assert (changed["schedule_type"], changed["interval_seconds"], changed["url"]) == ("cron", None, None)
    assert changed["next_run_at"] == "2026-03-03T05:30:00Z"
    assert client.update_schedule(schedule_id, webhook_secret="")["webhook_secret"].startswith("whsec_")
    assert client.update_schedule(schedule_id, enabled=False)["next_run_at"] is None
    client.delete_schedule(schedule_id)
    with pytest.raises(MeterError, match="Schedule not found"):
        client.get_schedule_changes(schedule_id)


def test_changes_are_previewed_narrowed_consumed_and_kept_in_the_changelog(
    client: MeterClient, sandbox: Sandbox
) -> None:
    sandbox.advance(timedelta(days=1, minutes=5))
    schedule_id = client.list_schedules()[0]["schedule_id"]
    preview = client.get_schedule_changes(schedule_id, mark_seen=False)
    assert preview["marked_seen"] is False
    assert preview["count"] == len(preview["changes"]) > 3
    title = preview["changes"][0]["results"][0]["title"]
    narrow = client.get_schedule_changes(schedule_id, mark_seen=False, filter=f'+"{title}"')
    assert [entry["item_count"] for entry in narrow["changes"]] == [1] * narrow["count"]

    taken = client.get_schedule_changes(schedule_id)
    assert [one["job_id"] for one in taken["changes"]] == [one["job_id"] for one in preview["changes"]]
    assert client.get_schedule_changes(schedule_id)["count"] == 0
    log = client.get_schedule_changelog(schedule_id, limit=100)["entries"]
    assert [one["job_id"] for one in log] == [one["job_id"] for one in reversed(taken["changes"])]
    assert all(len(one["new_items"]) == one["new_items_count"] for one in log)
    assert "new_items" not in client.get_schedule_changelog(schedule_id, include_items=False)["entries"][0]


def test_watch_makes_a_strategy_and_its_schedule(client: MeterClient) -> None:
    made = client.watch("https://tea.example/prices", "tea prices", interval_seconds=1800)
    assert made["next_run_at"] == "2026-03-02T06:30:00Z"
    assert made["schedule_id"] in [one["schedule_id"] for one in client.list_schedules()]


def test_a_wrong_key_is_refused(sandbox: Sandbox) -> None:
    with MeterClient("sk_live_wrong", base_url=sandbox.url) as client, pytest.raises(MeterError, match="Invalid API"):
        client.list_strategies()
