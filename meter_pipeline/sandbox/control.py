"""The control surface under /_sandbox: time, faults, jobs, the request log. It needs no key.

It lies outside both prefixes so that it cannot be mistaken for a part of the real API.

| call | body or query | does |
|---|---|---|
| GET  /_sandbox/state |  | clock, counts, faults |
| POST /_sandbox/advance | `{"seconds": 60}`, also minutes, hours, days; or `{"to": time}` | moves the clock |
| POST /_sandbox/clock | `{"speed": 60}` | sets the speed |
| GET, POST /_sandbox/faults | `{"rate_500": 0.2}` | shows or sets switches |
| GET  /_sandbox/log | `?after=N&path=REGEX` | requests, oldest first |
| GET  /_sandbox/deliveries |  | webhook calls made |
| POST /_sandbox/strategies | `{"name", "url", "items"?}` | adds a strategy |
| POST /_sandbox/schedules | `{"strategy", "interval_seconds"?, "cron_expression"?, "urls"?...}` | adds a schedule |
| POST /_sandbox/jobs | `{"strategy", "url"?, "schedule"?, "items" or "raw", ...}` | inserts a job |
| DELETE /_sandbox/jobs/{id} |  | removes a job |
| POST /_sandbox/alterations | `{"schedule", "kind", "field"?, "runs"?, "after"?...}` | alters coming runs |
| GET  /_sandbox/alterations | `?healthy=false` | the jobs that are altered, oldest first |
| GET  /_sandbox/kinds |  | what alterations there are |
| POST /_sandbox/reset |  | restarts from the beginning |
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from meter_pipeline.sandbox.altered import alter
from meter_pipeline.sandbox.clock import format_instant, parse_instant
from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.kinds import KINDS
from meter_pipeline.sandbox.service import Service

_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}


class Control:
    """The calls of the control surface, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """The routes, to be mounted under /_sandbox."""
        calls: dict[str, tuple[str, Any]] = {
            "/state": ("GET", self.state), "/advance": ("POST", self.advance), "/clock": ("POST", self.clock),
            "/faults": ("GET POST", self.faults), "/log": ("GET", self.log), "/deliveries": ("GET", self.deliveries),
            "/strategies": ("POST", self.add_strategy), "/schedules": ("POST", self.add_schedule),
            "/jobs": ("POST", self.insert_job), "/jobs/{job_id}": ("DELETE", self.delete_job),
            "/alterations": ("GET POST", self.alterations), "/kinds": ("GET", self.kinds),
            "/reset": ("POST", self.reset),
        }  # fmt: skip
        return [Route(path, self._guarded(call), methods=methods.split()) for path, (methods, call) in calls.items()]

    def _guarded(self, call: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            try:
                body = await request.body()
                fields = json.loads(body) if body else {}
                if not isinstance(fields, dict):
                    raise SandboxError("the body must be a JSON object")
                return _answer(call(request, fields))
            except (SandboxError, TypeError, ValueError) as reason:
                return _answer({"detail": str(reason)}, 400)

        return endpoint

    def state(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Clock, counts and switches."""
        world = self._service.world
        with world.lock:
            world.settle()
            return {
                "now": format_instant(world.now), "speed": world.clock.speed, "seed": world.seed,
                "strategies": {strategy.strategy_id: strategy.name for strategy in world.strategies.values()},
                "schedules": {id_: {"strategy_id": schedule.strategy_id, "unseen": len(schedule.unseen)}
                              for id_, schedule in world.schedules.items()},
                "jobs": len(world.jobs), "requests": len(world.log),
                "deliveries": len(self._service.courier.deliveries), "faults": world.faults.as_dict(),
            }  # fmt: skip

    def advance(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Move the clock."""
        world = self._service.world
        if unknown := set(body) - {*_UNITS, "to"}:
            raise SandboxError(f"advance accepts {', '.join(_UNITS)} or to, not {min(unknown)!r}")
        span = sum(float(body.get(unit, 0)) * size for unit, size in _UNITS.items())
        span += parse_instant(body["to"]) - world.now if "to" in body else 0
        world.advance(span)
        return {"now": format_instant(world.now), "jobs": len(world.jobs)}

    def clock(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Set the speed."""
        world = self._service.world
        world.clock.speed = float(body["speed"]) if "speed" in body else world.clock.speed
        return {"now": format_instant(world.now), "speed": world.clock.speed}

    def faults(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Show or set switches."""
        if body:
            self._service.world.set_faults(body)
        return self._service.world.faults.as_dict()

    def log(self, request: Request, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Requests numbered above `after` whose path matches the regular expression `path`, oldest first."""
        after, path = int(request.query_params.get("after", 0)), request.query_params.get("path", "")
        return [dataclasses.asdict(entry) for entry in list(self._service.world.log)
                if entry.number > after and re.search(path, entry.path)]  # fmt: skip

    def deliveries(self, request: Request, body: dict[str, Any]) -> list[dict[str, Any]]:
        """All webhook calls so far."""
        return [dataclasses.asdict(delivery) for delivery in list(self._service.courier.deliveries)]

    def add_strategy(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Add a strategy."""
        return {"strategy_id": self._service.world.add_strategy(**body).strategy_id}

    def add_schedule(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Add a schedule."""
        strategy = str(body.pop("strategy", None) or body.pop("strategy_id", ""))
        made = self._service.world.add_schedule(strategy, **body)
        return {"schedule_id": made.schedule_id, "webhook_secret": made.webhook_secret}

    def insert_job(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Insert a job."""
        return {"job_id": self._service.world.insert_job(**body).job_id}

    def delete_job(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Remove a job."""
        self._service.world.delete_job(request.path_params["job_id"])
        return {"status": "deleted"}

    def alterations(self, request: Request, body: dict[str, Any]) -> Any:
        """Alter coming runs, or list the jobs that are altered."""
        if request.method == "POST":
            return {"schedules": alter(self._service.world, **body)}
        healthy = request.query_params.get("healthy")
        return [{**dataclasses.asdict(job), "completed_at": format_instant(job.completed_at)}
                for job in self._service.list_altered()
                if healthy is None or job.is_healthy == (healthy == "true")]  # fmt: skip

    def kinds(self, request: Request, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Every kind of alteration."""
        return [{"kind": kind.name, "about": kind.about, "needs_field": kind.needs_field, "is_healthy": kind.is_healthy}
                for kind in KINDS.values()]  # fmt: skip

    def reset(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Restart from the beginning: the first world, an empty log, the initial switches."""
        self._service.reset()
        return self.state(request, body)


def _answer(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
