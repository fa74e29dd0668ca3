"""Starts the sandbox: as an ASGI application, in a thread beside a test, or as a command."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from meter_pipeline.host.addresses import open_listener
from meter_pipeline.sandbox.altered import AlteredJob, alter
from meter_pipeline.sandbox.clock import Moment, Span, format_instant, parse_instant, to_datetime
from meter_pipeline.sandbox.content import Page
from meter_pipeline.sandbox.control import Control
from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.faults import Faults
from meter_pipeline.sandbox.records import Delivery, Entry
from meter_pipeline.sandbox.service import Service
from meter_pipeline.sandbox.world import World


def _build_app(service: Service) -> Starlette:
    """The ASGI application of a service."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        ticking = asyncio.create_task(_tick(service))
        yield
        ticking.cancel()
        service.courier.close()

    app = Starlette(routes=[Mount("/_sandbox", routes=Control(service).routes())], lifespan=lifespan)
    # Not a route: no route matches every path, such as a path with a line break.
    app.router.default = service.gate
    return app


async def _tick(service: Service) -> None:
    """Start due runs, and so their webhooks, while no request comes in."""
    while True:
        await asyncio.sleep(0.2)
        if service.world.clock.speed:
            service.world.settle()


def create_app(**options: Any) -> Starlette:
    """The sandbox as an ASGI application; accepts the arguments of `Service`."""
    return _build_app(Service(**options))


def _with_transport(app: ASGIApp) -> ASGIApp:
    """Add the transport of a request to its scope, so that the API can close it: ASGI has no call for that."""

    async def edge(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["sandbox.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        await app(scope, receive, send)

    return edge


def _config(service: Service, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        _with_transport(_build_app(service)), host=host, port=port, access_log=False, log_config=None, ws="none",
        log_level="warning", lifespan="on", server_header=False, timeout_graceful_shutdown=1, timeout_keep_alive=75,
    )  # fmt: skip


class _Server(uvicorn.Server):
    """A server that stops at once, not at its next tick."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()
        self._started = started

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started()
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864000
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything as uvicorn does, which pauses for a tenth of a second even where nobody is connected."""
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        end = self._loop.time() + (self.config.timeout_graceful_shutdown or 0)
        while (self.server_state.connections or self.server_state.tasks) and self._loop.time() < end:
            await asyncio.sleep(0.001)
        for task in self.server_state.tasks:
            task.cancel()
        await self.lifespan.shutdown()

    def stop(self) -> None:
        """End the main loop; safe from any thread."""
        self.should_exit = True
        self._loop.call_soon_threadsafe(self._stopping.set)


class Sandbox:
    """The sandbox as a real HTTP server in a background thread, on a free loopback port.

    Example:
        >>> with Sandbox(worlds=["bookshop"]) as sandbox:
        ...     sandbox.advance(timedelta(days=2))
        ...     client = MeterClient(sandbox.api_key, base_url=sandbox.url)

    Args:
        host: address to listen on.
        port: port to listen on; 0 chooses a free port.
        options: arguments of `Service`: seed, speed, worlds, replay, api_key, faults, start, days, alterations.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, **options: Any) -> None:
        self._host, self._port = host, port
        self._service = Service(**options)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start serving; returns when requests are answered."""
        listener = open_listener(self._host, self._port)
        self._port = listener.getsockname()[1]
        ready = threading.Event()
        self._server = _Server(_config(self._service, self._host, self._port), ready.set)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="sandbox", daemon=True)
        self._thread.start()
        if not ready.wait(20):
            raise SandboxError(f"the sandbox did not start on {self._host}:{self._port}")

    def stop(self) -> None:
        """Stop serving; returns when the port is closed. A stopped sandbox keeps its world and can start again."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join(timeout=10)
            self._server = self._thread = None

    # -- what tests read

    @property
    def url(self) -> str:
        """Base URL, without a prefix."""
        return f"http://{self._host}:{self._port}"

    @property
    def api_key(self) -> str:
        """The accepted API key."""
        return self._service.api_key

    @property
    def world(self) -> World:
        """The world as it is now; `reset` replaces it."""
        return self._service.world

    @property
    def now(self) -> datetime:
        """The current time of the virtual clock."""
        return to_datetime(self.world.now)

    @property
    def log(self) -> list[Entry]:
        """Every request so far, oldest first; without those of the control surface."""
        return list(self.world.log)

    @property
    def marks(self) -> list[Entry]:
        """The requests that read changes with `mark_seen=true`; `marked` holds the ids of the jobs they flagged."""
        return [entry for entry in self.world.log if entry.marked is not None]

    @property
    def deliveries(self) -> list[Delivery]:
        """Every webhook call so far."""
        return list(self._service.courier.deliveries)

    # -- what tests do

    def advance(self, span: Span = 0.0, *, hours: float = 0.0, days: float = 0.0) -> None:
        """Let virtual time pass (a timedelta or seconds); everything due in it happens."""
        self.world.advance(span)
        self.world.advance(hours * 3600 + days * 86400)

    def set_faults(self, **switches: Any) -> None:
        """Set switches by name; see `meter_pipeline.sandbox.faults.Faults`."""
        self.world.set_faults(switches)

    def clear_faults(self) -> None:
        """Set every switch back to its default."""
        self.world.set_faults(Faults().as_dict())

    def alter(self, schedule: str, kind: str, field: str = "", **when: Any) -> list[str]:
        """Alter coming runs of a schedule: break them, or let something odd but healthy happen.

        Args:
            schedule: id of a schedule, or id or name of a strategy: all its schedules.
            kind: a name of `meter_pipeline.sandbox.kinds.KINDS`.
            field: dotted path of the field, for the kinds that concern one.
            when: runs (how many, by default 1; None: all from then on), after (how many runs stay as they are first),
                every (after how many runs again), url (only this one of the schedule's urls).

        Returns:
            The ids of the schedules.
        """
        return alter(self._service.world, schedule, kind, field, **when)

    def altered_jobs(self, *, is_healthy: bool | None = None) -> list[AlteredJob]:
        """The jobs that are altered and completed, oldest first; `is_healthy=False` for those that are broken."""
        return [job for job in self._service.list_altered() if is_healthy in (None, job.is_healthy)]

    def catalogue(self, strategy: str, url: str | None = None, at: Moment | None = None) -> list[dict[str, Any]]:
        """What exists on the pages of a strategy at an instant, each item once, whatever a scrape shows of it.

        Args:
            strategy: id or name of a strategy whose page has a catalogue: those of breakingshop, sliding and so on.
            url: by default the strategy's.
            at: by default now.

        Raises:
            SandboxError: There is no such strategy, or its page has no catalogue.
        """
        found = self.world.find_strategy(strategy)
        read = getattr(found.page, "catalogue", None) if found else None
        if found is None or read is None:
            raise SandboxError(f"no strategy {strategy!r} whose page has a catalogue")
        items: list[dict[str, Any]] = read(url or found.url, self.world.now if at is None else parse_instant(at))
        return items

    def add_strategy(
        self, name: str, url: str = "https://made.example/", *, items: Sequence[Any] | None = None,
        page: Page | Callable[[str, float], Sequence[Any]] | None = None, **fields: Any,
    ) -> str:  # fmt: skip
        """Add a strategy and return its id. Its runs bring `items`, or what `page(url, instant)` returns."""
        return self.world.add_strategy(name, url, items=items, page=page, **fields).strategy_id

    def add_schedule(self, strategy_id: str, **fields: Any) -> str:
        """Add a schedule and return its id.

        Args:
            strategy_id: id or name of the strategy.
            fields: url or urls, interval_seconds or cron_expression (neither: it never runs by itself), enabled,
                webhook_url, webhook_secret, webhook_metadata, parameters, schedule_id.
        """
        return self.world.add_schedule(strategy_id, **fields).schedule_id

    def insert_job(
        self, strategy: str, url: str | None = None, items: Sequence[Any] | None = None, **fields: Any
    ) -> str:
        """Insert a job that has ended (unless `status` is pending or running) and return its id.

        Args:
            strategy: id or name of its strategy; an unknown name adds a strategy.
            url: the page; by default the schedule's or the strategy's.
            items: Python values, or bytes with the JSON text of an item; by default the items of the strategy's
                page at `created_at`.
            fields: raw (JSON text of `results`, any shape), schedule (an id), completed_at, created_at, started_at
                (datetime, ISO text or seconds), status, error, job_id, item_count (claimed), parameters, body (the
                bytes of the whole answer to GET), alterations (of the items: kinds with their fields, such as
                `[("field_null", "price")]`); any other name becomes a key of the job object.
        """
        return self.world.insert_job(strategy, url, items, **fields).job_id

    def delete_job(self, job_id: str) -> None:
        """Remove a job."""
        self.world.delete_job(job_id)

    def drain_webhooks(self, timeout: float = 30.0) -> bool:
        """Wait until every webhook was accepted or given up; returns False after `timeout` real seconds."""
        return self._service.courier.drain(timeout)

    def reset(self) -> None:
        """Rebuild the world as it was at the start."""
        self._service.reset()


def serve(*, host: str = "127.0.0.1", port: int = 8765, echo: Callable[[str], None] = print, **options: Any) -> None:
    """Serve until SIGINT or SIGTERM; `echo` prints how to use it, the options are those of `Service`."""
    # Before the world is built, which takes seconds: a port in use must be refused at once.
    listener = open_listener(host, port)
    service = Service(**options)
    url = f"http://{host}:{listener.getsockname()[1]}"
    world = service.world

    def started() -> None:
        have = f"{len(world.strategies)} strategies, {len(world.jobs)} jobs"
        echo(f"Meter sandbox at {url} with key {service.api_key}: {have}")
        echo(f"  the clock says {format_instant(float(int(world.now)))} and {_pace(world.clock.speed)}")
        echo(f"  use it:  export METER_BASE_URL={url} METER_API_KEY={service.api_key}")
        echo(f"  a day:   curl -X POST {url}/_sandbox/advance -d '{{\"days\": 1}}'")

    server = _Server(_config(service, host, listener.getsockname()[1]), started)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_until_signal(server, listener))


async def _serve_until_signal(server: _Server, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, server.stop)
    await server._serve([listener])


def _pace(speed: float) -> str:
    return f"runs {speed:g} times as fast as real time" if speed else "stands still until it is advanced"
