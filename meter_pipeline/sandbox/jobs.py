"""The job endpoints: create, execute, get, list, compare, and the progress of a batch."""

from __future__ import annotations

from itertools import islice, takewhile
from typing import Any

from meter_pipeline.sandbox import floods, shapes
from meter_pipeline.sandbox.changes import compare
from meter_pipeline.sandbox.clock import format_instant, parse_since
from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.messages import (
    Refusal,
    Reply,
    Request,
    check_url,
    json_reply,
    list_reply,
    read_object,
    read_page,
    read_urls,
    require_text,
)
from meter_pipeline.sandbox.records import COMPLETED, FAILED, PENDING, RUNNING, STATES, Batch, Job, make_id


def create(request: Request) -> Reply:
    """POST /jobs: creates a job, or a batch when `urls` is given."""
    world, body = request.world, request.json()
    strategy = request.strategy(require_text(body, "strategy_id"))
    url, urls = read_urls(body)
    parameters, now = read_object(body, "parameters"), float(int(world.now))
    made = [world.start_job(strategy.strategy_id, each, now, parameters=parameters) for each in urls or [url or ""]]
    common: dict[str, Any] = {"status": PENDING, "strategy_id": strategy.strategy_id}
    created_at = format_instant(now, world.faults.timestamps)
    if urls is None:
        return json_reply({"job_id": made[0].job_id, **common, "url": url, "created_at": created_at}, 201)
    batch = Batch(make_id(world.seed, "batch", made[0].job_id), strategy.strategy_id, now, tuple(made))
    world.batches[batch.batch_id] = batch
    for job in made:
        job.batch_id = batch.batch_id
    return json_reply({"batch_id": batch.batch_id, "job_count": len(made), **common, "created_at": created_at}, 201)


def execute(request: Request) -> Reply:
    """POST /jobs/execute: answers with the finished job; no virtual time passes."""
    world, body = request.world, request.json()
    strategy = request.strategy(require_text(body, "strategy_id"))
    now = float(int(world.now))
    job = world.start_job(
        strategy.strategy_id, check_url(require_text(body, "url")), now, parameters=read_object(body, "parameters")
    )
    world.begin(job, now)
    world.finish(job, now)
    if job.status == FAILED and world.faults.execute_failed_status >= 300:
        raise Refusal(world.faults.execute_failed_status, f"Job failed: {job.error}")
    return json_reply(shapes.render_job(world, job, request.dialect))


def show(request: Request) -> Reply:
    """GET /jobs/{id}; a job created by a call progresses with each GET."""
    world, job_id = request.world, request.names[0]
    job = request.job(job_id)
    if job_id in world.faults.fail_jobs:
        raise Refusal(500, "Internal server error")
    world.poll(job)
    if job_id in world.faults.garbage_jobs:
        return Reply(200, b'{"job_id":"%s","status":"completed","results":[{"title":"Tide' % job_id.encode())
    if job.body is not None:
        return Reply(200, job.body)
    return json_reply(shapes.render_job(world, job, request.dialect))


def index(request: Request) -> Reply:
    """GET /jobs, newest first."""
    world, query = request.world, request.query
    limit, offset = read_page(query, world.faults.max_limit)
    chosen = _selected(request, query, offset, limit)
    rows = [shapes.render_job_row(world, job, request.dialect) for job in chosen]
    if world.faults.endless_jobs == "again" and not rows and (whole := _selected(request, query, 0, 10**9)):
        rows = [
            shapes.render_job_row(world, job, request.dialect) for job in (whole * 2)[offset % len(whole) :][:limit]
        ]
    elif world.faults.endless_jobs == "new":
        rows += floods.invent_jobs(world, offset + len(rows), limit - len(rows))
    if world.faults.insert_between_pages > 0:
        world.faults.insert_between_pages -= 1
        world.surprise(query.get("strategy_id"), world.schedules.get(query.get("schedule_id", "")))
    return list_reply(request, rows, "jobs")


def _selected(request: Request, query: dict[str, str], offset: int, limit: int) -> list[Job]:
    world = request.world
    jobs = world.jobs
    if strategy_id := query.get("strategy_id"):
        strategy = world.strategies.get(strategy_id)
        jobs = strategy.jobs if strategy else [job for job in jobs if job.strategy_id == strategy_id]
    if schedule_id := query.get("schedule_id"):
        schedule = world.schedules.get(schedule_id)
        jobs = schedule.jobs if schedule else [job for job in jobs if job.schedule_id == schedule_id]
        jobs = [job for job in jobs if job.strategy_id == strategy_id] if strategy_id else jobs
    status, since = query.get("status"), query.get("since")
    if status is not None and status not in STATES:
        raise Refusal(422, f"status must be one of {', '.join(STATES)}")
    if world.faults.oldest_first:
        earliest = float("-inf") if since is None else _earliest(since, world.now)
        kept = (job for job in jobs if job.created_at >= earliest and status in (None, job.status))
        return list(islice(kept, offset, offset + limit))
    if since is None and status is None:
        end = len(jobs) - offset
        return jobs[max(end - limit, 0) : end][::-1] if end > 0 else []
    earliest = float("-inf") if since is None else _earliest(since, world.now)
    recent = takewhile(lambda job: job.created_at >= earliest, reversed(jobs))
    return list(islice((job for job in recent if status in (None, job.status)), offset, offset + limit))


def _earliest(since: str, now: float) -> float:
    try:
        return parse_since(since, now)
    except SandboxError:
        raise Refusal(422, "since must be an ISO time or relative such as 24h and 7d") from None


def compare_post(request: Request) -> Reply:
    """POST /jobs/compare. The body's keys are not documented: several spellings are accepted."""
    if request.world.faults.compare_form == "get":
        raise Refusal(404, "Not Found")
    body = request.json()
    for first, second in (("job_id", "other_job_id"), ("job_id_1", "job_id_2")):
        if first in body or second in body:
            return _compared(request, require_text(body, first), require_text(body, second))
    ids = body.get("job_ids")
    if isinstance(ids, list) and len(ids) == 2:
        return _compared(request, str(ids[0]), str(ids[1]))
    raise Refusal(400, "Field required: job_id and other_job_id")


def compare_get(request: Request) -> Reply:
    """GET /jobs/{id}/compare/{other}."""
    if request.world.faults.compare_form == "post":
        raise Refusal(404, "Not Found")
    return _compared(request, request.names[0], request.names[1])


def _compared(request: Request, job_id: str, other_job_id: str) -> Reply:
    job, other = request.job(job_id), request.job(other_job_id)
    if job.status != COMPLETED or other.status != COMPLETED:
        raise Refusal(400, "Both jobs must be completed")
    return json_reply(compare(request.world, job, other))


def progress(request: Request) -> Reply:
    """GET /jobs/batch/{id}; failed jobs count as progress; each GET moves the jobs on."""
    world = request.world
    batch = world.batches.get(request.names[0])
    if batch is None:
        raise Refusal(404, "Batch not found")
    for job in batch.jobs:
        world.poll(job)
    counts = {state: sum(job.status == state for job in batch.jobs) for state in (PENDING, RUNNING, COMPLETED, FAILED)}
    done = counts[COMPLETED] + counts[FAILED]
    return json_reply({"batch_id": batch.batch_id, "total": len(batch.jobs), **counts,
                 "progress_percent": round(100 * done / len(batch.jobs), 1)})  # fmt: skip
