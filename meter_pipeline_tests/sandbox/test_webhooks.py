"""Webhooks are really posted: with their secret, for failures too, again after a refusal, and doubled or shuffled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.sandbox.calls import Calls


class Receiver:
    """An HTTP server that keeps every post; `refusals` of them are answered with 503 first."""

    def __init__(self) -> None:
        self.posts: list[tuple[str | None, dict[str, Any]]] = []
        self.refusals = 0
        receiver = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                refused = receiver.refusals > 0
                receiver.refusals -= refused
                if not refused:
                    receiver.posts.append((self.headers["X-Webhook-Secret"], json.loads(body)))
                self.send_response(503 if refused else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def hooked(sandbox: Sandbox, receiver: Receiver, **fields: Any) -> str:
    strategy = sandbox.add_strategy("S", "https://s.example/", items=[{"a": 1}])
    return sandbox.add_schedule(strategy, webhook_url=receiver.url, webhook_secret="whsec_known", **fields)


def test_runs_are_posted_with_secret_and_metadata_and_say_whether_anything_changed(
    empty_sandbox: Sandbox, receiver: Receiver
) -> None:
    plan = hooked(empty_sandbox, receiver, interval_seconds=3600, webhook_metadata={"team": "pricing"})
    empty_sandbox.advance(hours=2.5)
    assert empty_sandbox.drain_webhooks()
    (secret, first), (_, second) = receiver.posts
    assert secret == "whsec_known"
    assert first["schedule_id"] == plan
    assert (first["status"], first["results"], first["item_count"]) == ("completed", [{"a": 1}], 1)
    assert first["metadata"] == {"team": "pricing"}
    assert (first["has_changes"], second["has_changes"]) == (True, False)


def test_failures_are_posted_and_unchanged_runs_can_be_left_out(empty_sandbox: Sandbox, receiver: Receiver) -> None:
    plan = hooked(empty_sandbox, receiver)
    empty_sandbox.set_faults(webhook_unchanged=False)
    for fields in ({"items": [1]}, {"items": [1]}, {"status": "failed", "error": "Target answered 503"}):
        empty_sandbox.advance(60)
        empty_sandbox.insert_job("S", schedule=plan, **fields)
    assert empty_sandbox.drain_webhooks()
    assert [body["status"] for _, body in receiver.posts] == ["completed", "failed"]
    failure = receiver.posts[1][1]
    assert failure["error"] == "Target answered 503"
    assert not {"results", "has_changes"} & set(failure)


def test_a_refused_post_is_tried_again_and_a_dead_receiver_given_up(empty_sandbox: Sandbox, receiver: Receiver) -> None:
    plan = hooked(empty_sandbox, receiver)
    empty_sandbox.set_faults(webhook_backoff=0.001)
    receiver.refusals = 2
    empty_sandbox.insert_job("S", schedule=plan)
    assert empty_sandbox.drain_webhooks()
    assert [one.status for one in empty_sandbox.deliveries] == [503, 503, 200]
    empty_sandbox.world.schedules[plan].webhook_url = "http://127.0.0.1:9/nobody"
    empty_sandbox.insert_job("S", schedule=plan)
    assert empty_sandbox.drain_webhooks()
    assert [one.status for one in empty_sandbox.deliveries[3:]] == [0, 0, 0, 0]


def test_posts_can_come_twice_and_out_of_order(empty_sandbox: Sandbox, receiver: Receiver) -> None:
    plan = hooked(empty_sandbox, receiver, interval_seconds=60)
    empty_sandbox.set_faults(webhook_duplicates=0.3, webhook_reorder=0.5)
    empty_sandbox.advance(100 * 60 + 30)
    assert empty_sandbox.drain_webhooks()
    ids = [body["job_id"] for _, body in receiver.posts]
    ran = [job.job_id for job in empty_sandbox.world.schedules[plan].jobs]
    assert set(ids) == set(ran)
    assert 110 < len(ids) < 150
    assert list(dict.fromkeys(ids)) != ran


def test_the_test_call_posts_and_reports(empty_sandbox: Sandbox, receiver: Receiver) -> None:
    calls = Calls(empty_sandbox)
    good = calls.post("/webhooks/test", {"webhook_url": receiver.url}).json()
    assert (good["success"], good["status_code"]) == (True, 200)
    bad = calls.post("/webhooks/test", {"webhook_url": "http://127.0.0.1:9/"}).json()
    assert (bad["success"], bad["status_code"]) == (False, 0)
    assert len(receiver.posts) == 1
