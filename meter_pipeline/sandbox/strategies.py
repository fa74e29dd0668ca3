"""The strategy endpoints: generate, refine, list, get, update, delete, history, and watch."""

from __future__ import annotations

from typing import Any

import orjson

from meter_pipeline.sandbox import shapes
from meter_pipeline.sandbox.changes import list_history
from meter_pipeline.sandbox.clock import format_instant
from meter_pipeline.sandbox.content import Page
from meter_pipeline.sandbox.messages import (
    Headers,
    Refusal,
    Reply,
    Request,
    check_url,
    json_reply,
    list_reply,
    read_object,
    read_page,
    read_rhythm,
    read_text,
    require_text,
)
from meter_pipeline.sandbox.pages import SectionPage
from meter_pipeline.sandbox.plans import PlannedPage
from meter_pipeline.sandbox.records import Strategy

_KEPT_SECONDS = 86400  # how long an answer is kept under its Idempotency-Key


def generate(request: Request) -> Reply:
    """POST /strategies/generate; with an Idempotency-Key the same call gets the same answer for a day."""
    body = request.json()
    world, key = request.world, request.header(b"idempotency-key")
    if key and (kept := world.replies.get(key)) and world.now - kept[0] < _KEPT_SECONDS:
        if kept[1] != request.payload:
            raise Refusal(422, "Idempotency-Key was used with a different body")
        return Reply(201, kept[2], [(b"idempotent-replayed", b"true"), *_quota(request)])
    answer = orjson.dumps(shapes.render_generated(_make(request, body)))
    if key:
        world.replies[key] = world.now, request.payload, answer
    return Reply(201, answer, _quota(request))


def _make(request: Request, body: dict[str, Any]) -> Strategy:
    world = request.world
    url = check_url(require_text(body, "url"))
    is_content = read_text(body, "scraper_type") == "content"
    description = read_text(body, "description", required=True, empty=is_content) or ""
    name = require_text(body, "name")
    if world.faults.quota >= 0 and world.generated >= world.faults.quota:
        raise Refusal(403, "Strategy quota exceeded", _quota(request))
    world.generated += 1
    is_api = bool(body.get("force_api"))
    made: Page | None = SectionPage(world.seed) if is_content else None
    return world.add_strategy(
        name, url, description=description, page=made, created_at=float(int(world.now)),
        output_schema=read_object(body, "output_schema"), filter_config=read_object(body, "filter_config"),
        scraper_type="content" if is_content else "api" if is_api else "css",
        api_parameters={"page": 1, "region": "eu"} if is_api else None,
    )  # fmt: skip


def _quota(request: Request) -> Headers:
    world = request.world
    values = {"used": world.generated, "limit": world.faults.quota, "tier": "pro"}
    return [(f"x-strategy-quota-{key}".encode(), str(value).encode()) for key, value in values.items()]


def refine(request: Request) -> Reply:
    """POST /strategies/{id}/refine: the strategy keeps its id, and its rows have one more field."""
    strategy = request.strategy(request.names[0])
    require_text(request.json(), "feedback")
    if isinstance(strategy.page, PlannedPage):
        strategy.page = strategy.page.refined()
    strategy.attempts += 1
    strategy.updated_at, strategy.preview = float(int(request.world.now)), None
    return json_reply(shapes.render_generated(strategy))


def index(request: Request) -> Reply:
    """GET /strategies, newest first."""
    world = request.world
    limit, offset = read_page(request.query, world.faults.max_limit)
    newest = sorted(world.strategies.values(), key=lambda strategy: strategy.created_at, reverse=True)
    rows = [orjson.dumps(shapes.render_strategy(world, strategy, request.dialect, row=True))
            for strategy in newest[offset : offset + limit]]  # fmt: skip
    return list_reply(request, rows, "strategies")


def show(request: Request) -> Reply:
    """GET /strategies/{id}."""
    return json_reply(shapes.render_strategy(request.world, request.strategy(request.names[0]), request.dialect))


def update(request: Request) -> Reply:
    """PATCH /strategies/{id}: sets the filter of future runs."""
    strategy = request.strategy(request.names[0])
    strategy.filter_config = read_object(request.json(), "filter_config") or None
    strategy.updated_at = float(int(request.world.now))
    return json_reply(shapes.render_strategy(request.world, strategy, request.dialect))


def delete(request: Request) -> Reply:
    """DELETE /strategies/{id}: also deletes its schedules; its jobs stay."""
    request.world.delete_strategy(request.strategy(request.names[0]))
    return delete_reply(request)


def delete_reply(request: Request) -> Reply:
    """The answer to a DELETE that worked."""
    return Reply(204, b"") if request.world.faults.delete_204 else json_reply({"status": "deleted"})


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
        for job, changed in list_history(world, request.strategy(request.names[0]))
    ]  # fmt: skip
    return list_reply(request, rows, "history")


def watch(request: Request) -> Reply:
    """POST /watch: adds a strategy and its schedule."""
    world, body = request.world, request.json()
    interval, _ = read_rhythm({"interval_seconds": body.get("interval_seconds", 3600)})
    webhook_url = read_text(body, "webhook_url")
    strategy = _make(request, {"name": f"Watch {body.get('url')}", **body})
    schedule = world.add_schedule(
        strategy.strategy_id, url=strategy.url, interval_seconds=interval,
        webhook_url=check_url(webhook_url, "webhook_url") if webhook_url else None,
        webhook_metadata=read_object(body, "webhook_metadata"), webhook_secret=read_text(body, "webhook_secret"),
        webhook_type=read_text(body, "webhook_type"),
    )  # fmt: skip
    answer = {"strategy_id": strategy.strategy_id, "schedule_id": schedule.schedule_id, 
              "preview_data": shapes.render_preview(strategy),
              "next_run_at": format_instant(schedule.next_run_at, world.faults.timestamps)}  # fmt: skip
    return json_reply(answer, 201, _quota(request))
