"""The schedule endpoints: create, list, update, delete, unseen changes, changelog, webhook secret and test."""

from __future__ import annotations

from typing import Any

import orjson

from meter_pipeline.sandbox import shapes
from meter_pipeline.sandbox.changes import changelog, flag, new_and_removed, unseen
from meter_pipeline.sandbox.clock import format_instant
from meter_pipeline.sandbox.content import Content
from meter_pipeline.sandbox.messages import (
    Refusal,
    Reply,
    Request,
    address,
    addresses,
    listed,
    mapping,
    needed,
    page,
    rhythm,
    text,
    told,
    truth,
)
from meter_pipeline.sandbox.records import COMPLETED, Job, Schedule
from meter_pipeline.sandbox.strategies import deleted


def create(request: Request) -> Reply:
    """POST /schedules; the only answer, but for a new secret, that shows the webhook secret."""
    world, body = request.world, request.json()
    one = request.strategy(needed(body, "strategy_id"))
    url, urls = addresses(body)
    interval, cron = rhythm(body)
    hook = text(body, "webhook_url")
    plan = world.add_schedule(
        one.strategy_id, url=url, urls=urls, interval_seconds=interval, cron_expression=cron,
        webhook_url=address(hook, "webhook_url") if hook else None,
        webhook_metadata=mapping(body, "webhook_metadata"), webhook_secret=text(body, "webhook_secret") or None,
        webhook_type=_hook_type(hook, text(body, "webhook_type")), parameters=mapping(body, "parameters"),
    )  # fmt: skip
    return told(shapes.schedule(world, plan, request.dialect, secret=True), 201)


def _hook_type(url: str | None, given: str | None) -> str | None:
    if given or not url:
        return given
    return "slack" if "hooks.slack.com" in url else "standard"


def index(request: Request) -> Reply:
    """GET /schedules: all of them, no paging."""
    world = request.world
    rows = [orjson.dumps(shapes.schedule(world, one, request.dialect)) for one in world.schedules.values()]
    return listed(request, rows, "schedules")


def update(request: Request) -> Reply:
    """PATCH /schedules/{id}: url displaces urls, interval displaces cron, and the reverse."""
    world, body = request.world, request.json()
    plan = request.schedule(request.names[0])
    url, urls = addresses(body, required=False)
    interval, cron = rhythm(body, required=False)
    enabled = body.get("enabled", plan.enabled)
    if not isinstance(enabled, bool):
        raise Refusal(400, "enabled must be true or false")
    changes = _hook_changes(request, plan, body)
    if url or urls:
        plan.url, plan.urls = url, urls
    if interval is not None or cron:
        plan.interval_seconds, plan.cron_expression, plan.runs = interval, cron, True
    for key, value in changes.items():
        setattr(plan, key, value)
    if interval is not None or cron or enabled != plan.enabled:
        plan.enabled = enabled
        world.plan(plan)
    plan.updated_at = float(int(world.now))
    return told(shapes.schedule(world, plan, request.dialect, secret=body.get("webhook_secret") == ""))


def _hook_changes(request: Request, plan: Schedule, body: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if hook := text(body, "webhook_url"):
        changes["webhook_url"] = address(hook, "webhook_url")
        changes["webhook_type"] = _hook_type(hook, None)
        changes["webhook_secret"] = plan.webhook_secret or request.world.new_secret()
    for key in ("webhook_metadata", "parameters"):
        if body.get(key) is not None:
            changes[key] = mapping(body, key)
    if given := text(body, "webhook_type"):
        changes["webhook_type"] = given
    if (secret := text(body, "webhook_secret")) is not None:
        changes["webhook_secret"] = secret or request.world.new_secret()
    return changes


def delete(request: Request) -> Reply:
    """DELETE /schedules/{id}: its jobs stay."""
    request.world.delete_schedule(request.schedule(request.names[0]))
    return deleted(request)


def changes(request: Request) -> Reply:
    """GET /schedules/{id}/changes: flags what it shows unless `mark_seen` is false."""
    world, query = request.world, request.query
    plan = request.schedule(request.names[0])
    mark_seen = truth(query, "mark_seen", True)
    found = unseen(world, plan, query.get("filter"))
    body: dict[str, Any] = {"changes": [_entry(request, job, content) for job, content in found.shown],
                            "count": len(found.shown)}  # fmt: skip
    if world.faults.marked_key:
        body[world.faults.marked_key] = mark_seen
    body["schedule_id"] = plan.schedule_id
    reply = told(body)
    if mark_seen:
        flag(plan, found.flagged)
        request.marked = tuple(job.job_id for job in found.flagged)
    elif world.faults.change_before_flag > 0:
        world.faults.change_before_flag -= 1
        world.surprise(schedule=plan)
    return reply


def _entry(request: Request, job: Job, content: Content | None) -> dict[str, Any]:
    world = request.world
    row = shapes.job(world, job, "api", content=content)
    row = {"job_id": job.job_id, **{key: value for key, value in row.items() if key not in ("id", "job_id")}}
    if not world.faults.changes_results:
        row.pop("results", None)
    if content is not None and content is not world.content(job):
        row["item_count"] = len(content.items)
    return row


def log_of_changes(request: Request) -> Reply:
    """GET /schedules/{id}/changelog: every run that changed something, newest first; reading flags nothing."""
    world, query = request.world, request.query
    plan = request.schedule(request.names[0])
    limit, offset = page(query, min(100, world.faults.max_limit))
    with_items = truth(query, "include_items", True)
    entries = []
    for job in changelog(world, plan)[offset : offset + limit]:
        new, removed = new_and_removed(world, plan, job, query.get("filter"))
        entry: dict[str, Any] = {"job_id": job.job_id, "url": job.url, "item_count": world.digest(job).count,
                 "completed_at": format_instant(job.completed_at, world.faults.timestamps),
                 "new_items_count": len(new), "removed_items_count": len(removed)}  # fmt: skip
        if with_items:
            entry |= {"new_items": shapes.raw_list(new), "removed_items": shapes.raw_list(removed)}
        entries.append(entry)
    return told({"entries": entries})


def new_secret(request: Request) -> Reply:
    """POST /schedules/{id}/webhook-secret/regenerate."""
    plan = request.schedule(request.names[0])
    if not plan.webhook_url:
        raise Refusal(400, "Schedule has no webhook URL")
    plan.webhook_secret = request.world.new_secret()
    return told({"schedule_id": plan.schedule_id, "webhook_secret": plan.webhook_secret})


def test_payload(body: dict[str, Any], now: float) -> tuple[str, bytes]:
    """Where POST /webhooks/test posts to, and what."""
    url = address(needed(body, "webhook_url"), "webhook_url")
    nobody = "00000000-0000-4000-8000-000000000000"
    told_then = {"job_id": nobody, "schedule_id": nobody, "status": COMPLETED, "url": "https://example.com",
                 "results": [{"title": "Webhook test"}],
                 "item_count": 1, "has_changes": True, "completed_at": format_instant(float(int(now))),
                 "metadata": None}  # fmt: skip
    return url, orjson.dumps(told_then)
