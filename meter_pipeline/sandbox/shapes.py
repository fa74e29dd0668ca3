"""How strategies, schedules and jobs are printed, in either dialect and with every variant the switches know."""

from __future__ import annotations

from typing import Any

import orjson

from meter_pipeline.sandbox.changes import first_rows
from meter_pipeline.sandbox.clock import format_instant
from meter_pipeline.sandbox.content import Content, Visit
from meter_pipeline.sandbox.records import COMPLETED, Job, Schedule, Strategy
from meter_pipeline.sandbox.world import World

#: Where the early documents print plain `id`; everything else is typed (`job_id`, ...) unless a switch says otherwise.
_PLAIN = {("v1", "strategy row"), ("v1", "schedule"), ("v1", "job"), ("v1", "job row"), ("api", "job row")}


def identity(world: World, dialect: str, form: str, value: str) -> dict[str, Any]:
    """The identifier under the key or keys that dialect and switch ask for; `form` starts with the resource's noun."""
    typed = form.split()[0] + "_id"
    style = world.faults.id_style
    if style == "auto":
        style = "id" if (dialect, form) in _PLAIN else "typed"
    return {"id": value, typed: value} if style == "both" else {"id" if style == "id" else typed: value}


def raw_list(items: list[bytes]) -> orjson.Fragment:
    """JSON texts as a JSON array."""
    return orjson.Fragment(b"[" + b",".join(items) + b"]")


def strategy(world: World, one: Strategy, dialect: str, *, row: bool = False) -> dict[str, Any]:
    """A strategy, as a row of the list or by itself."""
    style = world.faults.timestamps
    told = identity(world, dialect, "strategy row" if row else "strategy", one.strategy_id)
    told |= {"name": one.name, "description": one.description, "url": one.url, "preview_data": preview(one)}
    if dialect == "api":
        told["scraper_type"] = one.scraper_type
        if one.filter_config is not None:
            told["filter_config"] = one.filter_config
    if not row:
        told |= {"strategy": plan(one), "attempts": one.attempts}
        if dialect == "api":
            told["api_parameters"] = one.api_parameters
    return told | {"created_at": format_instant(one.created_at, style),
                   "updated_at": format_instant(one.updated_at, style)}  # fmt: skip


def generated(one: Strategy) -> dict[str, Any]:
    """The answer to generate and refine."""
    return {"strategy_id": one.strategy_id, "strategy": plan(one), "preview_data": preview(one),
            "attempts": one.attempts, "scraper_type": one.scraper_type,
            "api_parameters": one.api_parameters}  # fmt: skip


def preview(one: Strategy) -> orjson.Fragment:
    """The first rows the strategy brought."""
    if one.preview is None:
        visit = Visit(one.url, one.updated_at)
        one.preview = [] if one.page.error(visit) else first_rows(one.page.content(visit))
    return raw_list(one.preview)


def plan(one: Strategy) -> dict[str, Any]:
    """The opaque extraction plan."""
    if one.scraper_type == "api":
        return {"endpoint": one.url, "parameters": one.api_parameters or {}}
    return {"container": {"css": "li.item"}, "fields": {"title": {"css": "h3"}}}


def schedule(world: World, one: Schedule, dialect: str, *, secret: bool = False) -> dict[str, Any]:
    """A schedule. The webhook secret is shown only in the answer that makes it."""
    style = world.faults.timestamps
    told = identity(world, dialect, "schedule", one.schedule_id)
    told |= {"strategy_id": one.strategy_id, "url": one.url}
    if dialect == "api":
        told["urls"] = one.urls
    told |= {
        "schedule_type": "cron" if one.cron_expression else "interval", "interval_seconds": one.interval_seconds,
        "cron_expression": one.cron_expression, "enabled": one.enabled, "webhook_url": one.webhook_url,
    }  # fmt: skip
    if dialect == "api":
        told |= {"webhook_metadata": one.webhook_metadata, "webhook_secret": one.webhook_secret if secret else None,
                 "webhook_type": one.webhook_type, "parameters": one.parameters}  # fmt: skip
    elif secret and one.webhook_secret:
        told["webhook_secret"] = one.webhook_secret
    for key in ("next_run_at", "last_run_at", "created_at", "updated_at"):
        told[key] = format_instant(getattr(one, key), style)
    return told


def shaped(world: World, content: Content) -> bytes:
    """`results` in the shape the switch asks for, as JSON text."""
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


def job(world: World, one: Job, dialect: str, *, row: bool = False, content: Content | None = None) -> dict[str, Any]:
    """A job object; a row of a list leaves `results` out unless the switch says otherwise."""
    faults, digest = world.faults, world.digest(one)
    told = identity(world, dialect, "job row" if row else "job", one.job_id)
    told["strategy_id"] = one.strategy_id
    if faults.schedule_ids:
        told |= {"schedule_id": one.schedule_id, "batch_id": one.batch_id}
    told |= {"url": one.url, "status": one.status}
    results: dict[str, Any] = {}
    if not row or faults.list_results:
        results["results"] = None
        if one.status == COMPLETED:
            results["results"] = orjson.Fragment(shaped(world, content or world.content(one)))
    if faults.results_place == "middle":
        told |= results
    told |= {"item_count": digest.count, "content_hash": digest.content_hash,
             "structural_signature": digest.signature, "error": one.error}  # fmt: skip
    if one.parameters is not None:
        told["parameters"] = one.parameters
    for key in ("started_at", "completed_at", "created_at"):
        told[key] = format_instant(getattr(one, key), faults.timestamps)
    told |= one.extra or {}
    if faults.results_place == "first":
        return results | told
    return told | results if faults.results_place == "last" else told


def job_row(world: World, one: Job, dialect: str) -> bytes:
    """A job as a row of a list, as JSON text; kept for jobs that no longer change."""
    key = f"{dialect} {world.edition}"
    kept = one.rows.get(key)
    if kept is None:
        kept = orjson.dumps(job(world, one, dialect, row=True))
        if one.is_terminal and not world.faults.list_results:
            one.rows.clear()
            one.rows[key] = kept
    return kept


def payload(world: World, plan: Schedule, one: Job, changed: bool) -> bytes:
    """The body of a webhook."""
    told: dict[str, Any] = {"job_id": one.job_id, "schedule_id": plan.schedule_id, "status": one.status, "url": one.url}
    if one.status == COMPLETED:
        digest = world.digest(one)
        told |= {"results": orjson.Fragment(shaped(world, world.content(one))), "item_count": digest.count,
                 "has_changes": changed, "content_hash": digest.content_hash}  # fmt: skip
    else:
        told["error"] = one.error
    told |= {"completed_at": format_instant(one.completed_at, world.faults.timestamps),
             "metadata": plan.webhook_metadata}  # fmt: skip
    return orjson.dumps(told)
