"""The schedule endpoints: create, list, update, delete, unseen changes, changelog, webhook secret and test."""

from __future__ import annotations

from typing import Any

import orjson

from meter_pipeline.sandbox import shapes
from meter_pipeline.sandbox.changes import find_new_and_removed, find_unseen, flag, list_changed_runs
from meter_pipeline.sandbox.clock import format_instant
from meter_pipeline.sandbox.content import Content
from meter_pipeline.sandbox.messages import (
    Refusal,
    Reply,
    Request,
    check_url,
    json_reply,
    list_reply,
    read_boolean,
    read_object,
    read_page,
    read_rhythm,
    read_text,
    read_urls,
    require_text,
)
from meter_pipeline.sandbox.records import COMPLETED, Job, Schedule
from meter_pipeline.sandbox.strategies import delete_reply


def create(request: Request) -> Reply:
    """POST /schedules; only this answer, and that of a new secret, show the webhook secret."""
    world, body = request.world, request.json()
    strategy = request.strategy(require_text(body, "strategy_id"))
    url, urls = read_urls(body)
    interval, cron = read_rhythm(body)
    hook = read_text(body, "webhook_url")
    schedule = world.add_schedule(
        strategy.strategy_id, url=url, urls=urls, interval_seconds=interval, cron_expression=cron,
        webhook_url=check_url(hook, "webhook_url") if hook else None,
        webhook_metadata=read_object(body, "webhook_metadata"),
        webhook_secret=read_text(body, "webhook_secret") or None,
        webhook_type=_hook_type(hook, read_text(body, "webhook_type")), parameters=read_object(body, "parameters"),
    )  # fmt: skip
    return json_reply(shapes.render_schedule(world, schedule, request.dialect, secret=True), 201)


def _hook_type(url: str | None, given: str | None) -> str | None:
    if given or not url:
        return given
    return "slack" if "hooks.slack.com" in url else "standard"


def index(request: Request) -> Reply:
    """GET /schedules: all of them, no paging."""
    world = request.world
    rows = [
        orjson.dumps(shapes.render_schedule(world, schedule, request.dialect)) for schedule in world.schedules.values()
    ]
    return list_reply(request, rows, "schedules")


def update(request: Request) -> Reply:
    """PATCH /schedules/{id}: url replaces urls and interval replaces cron, and the reverse."""
    world, body = request.world, request.json()
    schedule = request.schedule(request.names[0])
    url, urls = read_urls(body, required=False)
    interval, cron = read_rhythm(body, required=False)
    enabled = body.get("enabled", schedule.enabled)
    if not isinstance(enabled, bool):
        raise Refusal(400, "enabled must be true or false")
    changes = _hook_changes(request, schedule, body)
    if url or urls:
        schedule.url, schedule.urls = url, urls
    if interval is not None or cron:
        schedule.interval_seconds, schedule.cron_expression, schedule.runs = interval, cron, True
    for key, value in changes.items():
        setattr(schedule, key, value)
    if interval is not None or cron or enabled != schedule.enabled:
        schedule.enabled = enabled
        world.plan(schedule)
    schedule.updated_at = float(int(world.now))
    return json_reply(shapes.render_schedule(world, schedule, request.dialect, secret=body.get("webhook_secret") == ""))


def _hook_changes(request: Request, schedule: Schedule, body: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if hook := read_text(body, "webhook_url"):
        changes["webhook_url"] = check_url(hook, "webhook_url")
        changes["webhook_type"] = _hook_type(hook, None)
        changes["webhook_secret"] = schedule.webhook_secret or request.world.new_secret()
    for key in ("webhook_metadata", "parameters"):
        if body.get(key) is not None:
            changes[key] = read_object(body, key)
    if given := read_text(body, "webhook_type"):
        changes["webhook_type"] = given
    if (secret := read_text(body, "webhook_secret")) is not None:
        changes["webhook_secret"] = secret or request.world.new_secret()
    return changes


def delete(request: Request) -> Reply:
    """DELETE /schedules/{id}: its jobs stay."""
    request.world.delete_schedule(request.schedule(request.names[0]))
    return delete_reply(request)


def changes(request: Request) -> Reply:
    """GET /schedules/{id}/changes: marks the shown runs as seen unless `mark_seen` is false."""
    world, query = request.world, request.query
    schedule = request.schedule(request.names[0])
    mark_seen = read_boolean(query, "mark_seen", True)
    found = find_unseen(world, schedule, query.get("filter"))
    body: dict[str, Any] = {"changes": [_entry(request, job, content) for job, content in found.shown],
                            "count": len(found.shown)}  # fmt: skip
    if world.faults.marked_key:
        body[world.faults.marked_key] = mark_seen
    body["schedule_id"] = schedule.schedule_id
    reply = json_reply(body)
    if mark_seen:
        flag(schedule, found.flagged)
        request.marked = tuple(job.job_id for job in found.flagged)
    elif world.faults.change_before_flag > 0:
        world.faults.change_before_flag -= 1
        world.surprise(schedule=schedule)
    return reply


def _entry(request: Request, job: Job, content: Content | None) -> dict[str, Any]:
    world = request.world
    row = shapes.render_job(world, job, "api", content=content)
    row = {"job_id": job.job_id, **{key: value for key, value in row.items() if key not in ("id", "job_id")}}
    if not world.faults.changes_results:
        row.pop("results", None)
    if content is not None and content is not world.content(job):
        row["item_count"] = len(content.items)
    return row


def log_of_changes(request: Request) -> Reply:
    """GET /schedules/{id}/changelog: runs with changed content, newest first; marks nothing as seen."""
    world, query = request.world, request.query
    schedule = request.schedule(request.names[0])
    limit, offset = read_page(query, min(100, world.faults.max_limit))
    with_items = read_boolean(query, "include_items", True)
    entries = []
    for job in list_changed_runs(world, schedule)[offset : offset + limit]:
        new, removed = find_new_and_removed(world, schedule, job, query.get("filter"))
        entry: dict[str, Any] = {"job_id": job.job_id, "url": job.url, "item_count": world.digest(job).count,
                 "completed_at": format_instant(job.completed_at, world.faults.timestamps),
                 "new_items_count": len(new), "removed_items_count": len(removed)}  # fmt: skip
        if with_items:
            entry |= {"new_items": shapes.join_json(new), "removed_items": shapes.join_json(removed)}
        entries.append(entry)
    return json_reply({"entries": entries})


def new_secret(request: Request) -> Reply:
    """POST /schedules/{id}/webhook-secret/regenerate."""
    schedule = request.schedule(request.names[0])
    if not schedule.webhook_url:
        raise Refusal(400, "Schedule has no webhook URL")
    schedule.webhook_secret = request.world.new_secret()
    return json_reply({"schedule_id": schedule.schedule_id, "webhook_secret": schedule.webhook_secret})


def test_payload(body: dict[str, Any], now: float) -> tuple[str, bytes]:
    """The URL and the body of the request that POST /webhooks/test makes."""
    url = check_url(require_text(body, "webhook_url"), "webhook_url")
    no_id = "00000000-0000-4000-8000-000000000000"
    example = {"job_id": no_id, "schedule_id": no_id, "status": COMPLETED, "url": "https://example.com",
                 "results": [{"title": "Webhook test"}],
                 "item_count": 1, "has_changes": True, "completed_at": format_instant(float(int(now))),
                 "metadata": None}  # fmt: skip
    return url, orjson.dumps(example)
