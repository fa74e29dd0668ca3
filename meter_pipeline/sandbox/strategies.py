"""The strategy endpoints: generate, refine, list, get, update, delete, history, and watch."""

from __future__ import annotations

from typing import Any

import orjson

from meter_pipeline.sandbox import shapes
from meter_pipeline.sandbox.changes import history
from meter_pipeline.sandbox.clock import format_instant
from meter_pipeline.sandbox.content import Page
from meter_pipeline.sandbox.messages import (
    Headers,
    Refusal,
    Reply,
    Request,
    address,
    listed,
    mapping,
    needed,
    page,
    rhythm,
    text,
    told,
)
from meter_pipeline.sandbox.pages import SectionPage
from meter_pipeline.sandbox.plans import PlannedPage
from meter_pipeline.sandbox.records import Strategy

_KEPT = 86400  # seconds an answer is kept under its Idempotency-Key


def generate(request: Request) -> Reply:
    """POST /strategies/generate; with an Idempotency-Key the same call gets the same answer for a day."""
    body = request.json()
    world, key = request.world, request.header(b"idempotency-key")
    if key and (kept := world.replies.get(key)) and world.now - kept[0] < _KEPT:
        if kept[1] != request.payload:
            raise Refusal(422, "Idempotency-Key was used with a different body")
        return Reply(201, kept[2], [(b"idempotent-replayed", b"true"), *_quota(request)])
    answer = orjson.dumps(shapes.generated(_make(request, body)))
    if key:
        world.replies[key] = world.now, request.payload, answer
    return Reply(201, answer, _quota(request))


def _make(request: Request, body: dict[str, Any]) -> Strategy:
    world = request.world
    url = address(needed(body, "url"))
    is_content = text(body, "scraper_type") == "content"
    description = text(body, "description", required=True, empty=is_content) or ""
    name = needed(body, "name")
    if world.faults.quota >= 0 and world.generated >= world.faults.quota:
        raise Refusal(403, "Strategy quota exceeded", _quota(request))
    world.generated += 1
    is_api = bool(body.get("force_api"))
    made: Page | None = SectionPage(world.seed) if is_content else None
    return world.add_strategy(
        name, url, description=description, page=made, created_at=float(int(world.now)),
        output_schema=mapping(body, "output_schema"), filter_config=mapping(body, "filter_config"),
        scraper_type="content" if is_content else "api" if is_api else "css",
        api_parameters={"page": 1, "region": "eu"} if is_api else None,
    )  # fmt: skip


def _quota(request: Request) -> Headers:
    world = request.world
    values = {"used": world.generated, "limit": world.faults.quota, "tier": "pro"}
    return [(f"x-strategy-quota-{key}".encode(), str(value).encode()) for key, value in values.items()]


def refine(request: Request) -> Reply:
    """POST /strategies/{id}/refine: the strategy keeps its id, its rows gain a field."""
    one = request.strategy(request.names[0])
    needed(request.json(), "feedback")
    if isinstance(one.page, PlannedPage):
        one.page = one.page.refined()
    one.attempts += 1
    one.updated_at, one.preview = float(int(request.world.now)), None
    return told(shapes.generated(one))


def index(request: Request) -> Reply:
    """GET /strategies, newest first."""
    world = request.world
    limit, offset = page(request.query, world.faults.max_limit)
    newest = sorted(world.strategies.values(), key=lambda one: one.created_at, reverse=True)
    rows = [orjson.dumps(shapes.strategy(world, one, request.dialect, row=True))
            for one in newest[offset : offset + limit]]  # fmt: skip
    return listed(request, rows, "strategies")


def show(request: Request) -> Reply:
    """GET /strategies/{id}."""
    return told(shapes.strategy(request.world, request.strategy(request.names[0]), request.dialect))


def update(request: Request) -> Reply:
    """PATCH /strategies/{id}: the filter for coming runs."""
    one = request.strategy(request.names[0])
    one.filter_config = mapping(request.json(), "filter_config") or None
    one.updated_at = float(int(request.world.now))
    return told(shapes.strategy(request.world, one, request.dialect))


def delete(request: Request) -> Reply:
    """DELETE /strategies/{id}: its schedules go, its jobs stay."""
    request.world.delete_strategy(request.strategy(request.names[0]))
    return deleted(request)


def deleted(request: Request) -> Reply:
    """The answer to a DELETE that worked."""
    return Reply(204, b"") if request.world.faults.delete_204 else told({"status": "deleted"})


def past(request: Request) -> Reply:
    """GET /strategies/{id}/history, newest first."""
    world = request.world
    where = "jobs" if "/jobs/" in request.path else "strategies"
    if world.faults.history_path not in ("both", where):
        raise Refusal(404, "Not Found")
    style = world.faults.timestamps
    rows = [
        orjson.dumps({"job_id": job.job_id, "status": job.status, "item_count": world.digest(job).count,
                      "has_changes": changed, "created_at": format_instant(job.created_at, style)})
        for job, changed in history(world, request.strategy(request.names[0]))
    ]  # fmt: skip
    return listed(request, rows, "history")


def watch(request: Request) -> Reply:
    """POST /watch: a strategy and its schedule in one call."""
    world, body = request.world, request.json()
    interval, _ = rhythm({"interval_seconds": body.get("interval_seconds", 3600)})
    webhook_url = text(body, "webhook_url")
    one = _make(request, {"name": f"Watch {body.get('url')}", **body})
    plan = world.add_schedule(
        one.strategy_id, url=one.url, interval_seconds=interval,
        webhook_url=address(webhook_url, "webhook_url") if webhook_url else None,
        webhook_metadata=mapping(body, "webhook_metadata"), webhook_secret=text(body, "webhook_secret"),
        webhook_type=text(body, "webhook_type"),
    )  # fmt: skip
    answer = {"strategy_id": one.strategy_id, "schedule_id": plan.schedule_id, "preview_data": shapes.preview(one),
              "next_run_at": format_instant(plan.next_run_at, world.faults.timestamps)}  # fmt: skip
    return told(answer, 201, _quota(request))
