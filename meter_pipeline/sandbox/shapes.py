"""Strategies, schedules and jobs as JSON, in both dialects and all variants that the switches know."""

from __future__ import annotations

from typing import Any

import orjson

from meter_pipeline.sandbox.changes import pick_first_rows
from meter_pipeline.sandbox.clock import format_instant
from meter_pipeline.sandbox.content import Content, Visit
from meter_pipeline.sandbox.records import COMPLETED, Job, Schedule, Strategy
from meter_pipeline.sandbox.world import World

#: Where the early documents print plain `id`; everything else is typed (`job_id`, ...) unless a switch changes it.
_PLAIN = {("v1", "strategy row"), ("v1", "schedule"), ("v1", "job"), ("v1", "job row"), ("api", "job row")}


def render_id(world: World, dialect: str, form: str, value: str) -> dict[str, Any]:
    """The id under the key or keys that the dialect and the switch choose; `form` starts with the resource's noun."""
    typed = form.split()[0] + "_id"
    style = world.faults.id_style
    if style == "auto":
        style = "id" if (dialect, form) in _PLAIN else "typed"
    return {"id": value, typed: value} if style == "both" else {"id" if style == "id" else typed: value}


def join_json(items: list[bytes]) -> orjson.Fragment:
    """JSON texts as a JSON array."""
    return orjson.Fragment(b"[" + b",".join(items) + b"]")


def render_strategy(world: World, strategy: Strategy, dialect: str, *, row: bool = False) -> dict[str, Any]:
    """A strategy, as a row of a list or as a whole object."""
    style = world.faults.timestamps
    body = render_id(world, dialect, "strategy row" if row else "strategy", strategy.strategy_id)
    body |= {
        "name": strategy.name,
        "description": strategy.description,
        "url": strategy.url,
        "preview_data": render_preview(strategy),
    }
    if dialect == "api":
        body["scraper_type"] = strategy.scraper_type
        if strategy.filter_config is not None:
            body["filter_config"] = strategy.filter_config
    if not row:
        body |= {"strategy": render_plan(strategy), "attempts": strategy.attempts}
        if dialect == "api":
            body["api_parameters"] = strategy.api_parameters
    return body | {"created_at": format_instant(strategy.created_at, style),
                   "updated_at": format_instant(strategy.updated_at, style)}  # fmt: skip


def render_generated(strategy: Strategy) -> dict[str, Any]:
    """The answer to generate and refine."""
    return {"strategy_id": strategy.strategy_id, "strategy": render_plan(strategy),
            "preview_data": render_preview(strategy), "attempts": strategy.attempts,
            "scraper_type": strategy.scraper_type, "api_parameters": strategy.api_parameters}  # fmt: skip


def render_preview(strategy: Strategy) -> orjson.Fragment:
    """The strategy's first rows, as JSON."""
    if strategy.preview is None:
        visit = Visit(strategy.url, strategy.updated_at)
        strategy.preview = [] if strategy.page.error(visit) else pick_first_rows(strategy.page.content(visit))
    return join_json(strategy.preview)


def render_plan(strategy: Strategy) -> dict[str, Any]:
    """The opaque extraction plan."""
    if strategy.scraper_type == "api":
        return {"endpoint": strategy.url, "parameters": strategy.api_parameters or {}}
    return {"container": {"css": "li.item"}, "fields": {"title": {"css": "h3"}}}


def render_schedule(world: World, schedule: Schedule, dialect: str, *, secret: bool = False) -> dict[str, Any]:
    """A schedule. Only the answer that creates a webhook secret shows it."""
    style = world.faults.timestamps
    body = render_id(world, dialect, "schedule", schedule.schedule_id)
    body |= {"strategy_id": schedule.strategy_id, "url": schedule.url}
    if dialect == "api":
        body["urls"] = schedule.urls
    body |= {
        "schedule_type": "cron" if schedule.cron_expression else "interval",
        "interval_seconds": schedule.interval_seconds,
        "cron_expression": schedule.cron_expression, "enabled": schedule.enabled, "webhook_url": schedule.webhook_url,
    }  # fmt: skip
    if dialect == "api":
        body |= {"webhook_metadata": schedule.webhook_metadata,
                 "webhook_secret": schedule.webhook_secret if secret else None,
                 "webhook_type": schedule.webhook_type, "parameters": schedule.parameters}  # fmt: skip
    elif secret and schedule.webhook_secret:
        body["webhook_secret"] = schedule.webhook_secret
    for key in ("next_run_at", "last_run_at", "created_at", "updated_at"):
        body[key] = format_instant(getattr(schedule, key), style)
    return body


def render_results(world: World, content: Content) -> bytes:
    """`results` in the shape that the switch chooses, as JSON text."""
    shape, items = world.faults.results_shape, content.items
    if shape == "array":
        return content.text
    if shape in ("wrapped", "wrapped_list"):
        inner = b'{"listings":[' + b",".join(items) + b"]}"
        return inner if shape == "wrapped" else b"[" + inner + b"]"
    if shape == "object":
        return items[0] if items else b"{}"
    if shape == "nested":
        return b"[" + b",".join(b'{"item":{"data":' + item + b"}}" for item in items) + b"]"
    if shape == "scalars":
        return orjson.dumps([f"row {number}" for number in range(len(items))])
    return b"null" if shape == "null" else b'"%d rows"' % len(items)


def render_job(
    world: World, job: Job, dialect: str, *, row: bool = False, content: Content | None = None
) -> dict[str, Any]:
    """A job object; a row of a list has no `results` unless a switch adds them."""
    faults, digest = world.faults, world.digest(job)
    body = render_id(world, dialect, "job row" if row else "job", job.job_id)
    body["strategy_id"] = job.strategy_id
    if faults.schedule_ids:
        body |= {"schedule_id": job.schedule_id, "batch_id": job.batch_id}
    body |= {"url": job.url, "status": job.status}
    results: dict[str, Any] = {}
    if not row or faults.list_results:
        results["results"] = None
        if job.status == COMPLETED:
            results["results"] = orjson.Fragment(render_results(world, content or world.content(job)))
    if faults.results_place == "middle":
        body |= results
    body |= {"item_count": digest.count, "content_hash": digest.content_hash,
             "structural_signature": digest.signature, "error": job.error}  # fmt: skip
    if job.parameters is not None:
        body["parameters"] = job.parameters
    for key in ("started_at", "completed_at", "created_at"):
        body[key] = format_instant(getattr(job, key), faults.timestamps)
    body |= job.extra or {}
    if faults.results_place == "first":
        return results | body
    return body | results if faults.results_place == "last" else body


def render_job_row(world: World, job: Job, dialect: str) -> bytes:
    """A job as a row of a list, as JSON text; kept for jobs that no longer change."""
    key = f"{dialect} {world.edition}"
    kept = job.rows.get(key)
    if kept is None:
        kept = orjson.dumps(render_job(world, job, dialect, row=True))
        if job.is_terminal and not world.faults.list_results:
            job.rows.clear()
            job.rows[key] = kept
    return kept


def render_payload(world: World, schedule: Schedule, job: Job, changed: bool) -> bytes:
    """The body of a webhook."""
    body: dict[str, Any] = {
        "job_id": job.job_id,
        "schedule_id": schedule.schedule_id,
        "status": job.status,
        "url": job.url,
    }
    if job.status == COMPLETED:
        digest = world.digest(job)
        body |= {"results": orjson.Fragment(render_results(world, world.content(job))), "item_count": digest.count,
                 "has_changes": changed, "content_hash": digest.content_hash}  # fmt: skip
    else:
        body["error"] = job.error
    body |= {"completed_at": format_instant(job.completed_at, world.faults.timestamps),
             "metadata": schedule.webhook_metadata}  # fmt: skip
    return orjson.dumps(body)
