"""Routes, keys, faults and the request log of the API, as an ASGI application.

Requests are answered on the event loop and under the world's lock: a small GET costs a dictionary lookup and a few
bytes, and the world never changes during a read.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.types import Receive, Scope, Send

from meter_pipeline.sandbox import floods, jobs, schedules, strategies
from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.faults import AFTER, BEFORE
from meter_pipeline.sandbox.messages import Headers, Refusal, Reply, Request, json_reply
from meter_pipeline.sandbox.records import Entry
from meter_pipeline.sandbox.webhooks import Courier
from meter_pipeline.sandbox.world import World

Endpoint = Callable[[Request], Reply]

#: A star stands for an id. The first route that matches a path counts.
ROUTES: dict[tuple[str, ...], dict[str, Endpoint]] = {
    ("strategies",): {"GET": strategies.index},
    ("strategies", "generate"): {"POST": strategies.generate},
    ("strategies", "*"): {"GET": strategies.show, "PATCH": strategies.update, "DELETE": strategies.delete},
    ("strategies", "*", "refine"): {"POST": strategies.refine},
    ("strategies", "*", "history"): {"GET": strategies.past},
    ("watch",): {"POST": strategies.watch},
    ("jobs",): {"GET": jobs.index, "POST": jobs.create},
    ("jobs", "execute"): {"POST": jobs.execute},
    ("jobs", "compare"): {"POST": jobs.compare_post},
    ("jobs", "batch", "*"): {"GET": jobs.progress},
    ("jobs", "*"): {"GET": jobs.show},
    ("jobs", "strategies", "*", "history"): {"GET": strategies.past},
    ("jobs", "*", "compare", "*"): {"GET": jobs.compare_get},
    ("schedules",): {"GET": schedules.index, "POST": schedules.create},
    ("schedules", "*"): {"PATCH": schedules.update, "DELETE": schedules.delete},
    ("schedules", "*", "changes"): {"GET": schedules.changes},
    ("schedules", "*", "changelog"): {"GET": schedules.log_of_changes},
    ("schedules", "*", "webhook-secret", "regenerate"): {"POST": schedules.new_secret},
}

_BY_HEAD: dict[tuple[str, int], list[tuple[tuple[str, ...], dict[str, Endpoint]]]] = {}
for _route, _methods in ROUTES.items():
    _BY_HEAD.setdefault((_route[0], len(_route)), []).append((_route, _methods))

_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def find_endpoint(method: str, parts: list[str]) -> tuple[Endpoint, list[str]]:
    """The endpoint for the parts of a path after the prefix, and the parts where the route has stars."""
    for route, methods in _BY_HEAD.get((parts[0], len(parts)), ()):
        if all(name == "*" or name == part for name, part in zip(route, parts, strict=True)):
            endpoint = methods.get(method)
            if endpoint is None:
                raise Refusal(405, "Method Not Allowed", [(b"allow", ", ".join(methods).encode())])
            return endpoint, [part for name, part in zip(route, parts, strict=True) if name == "*"]
    raise Refusal(404, "Not Found")


class Gate:
    """Serves a world's API under /v1 and /api to requests with the key."""

    def __init__(self, world: World, courier: Courier, api_key: str) -> None:
        self.world = world
        self.courier = courier
        self._key = f"Bearer {api_key}".encode()
        self._window = 0.0
        self._window_used = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        payload = b"" if scope["method"] in ("GET", "HEAD") else await _read_body(receive)
        path = scope["path"]
        # An id may hold a slash, which is escaped in a path: so the path is cut first and read afterwards.
        steps = [unquote(step) for step in scope["raw_path"].decode("latin-1").split("/")]
        request = Request(self.world, scope["method"], path, scope["query_string"].decode("latin-1"),
                          scope["headers"], payload, steps)  # fmt: skip
        if path in ("/v1/webhooks/test", "/api/webhooks/test") and request.method == "POST":
            reply = await self._webhook_test(request)
        else:
            reply = self.answer(request)
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.cut:
            await _cut(scope, send, reply)
            return
        if reply.stream is not None:
            await _stream(scope, send, reply, reply.stream)
            return
        await _send(send, reply)

    def answer(self, request: Request) -> Reply:
        """Answer a request, with the fault that is drawn for it."""
        world = self.world
        with world.lock:
            world.settle()
            target = f"{request.path}?{request.query_text}" if request.query_text else request.path
            fault = world.dice.draw(request.method, target, request.path)
            if fault in BEFORE:
                reply = self._refuse_by_chance(fault)
            else:
                reply = self._serve(request)
                if fault == "mix_up":
                    reply = self._mix_up(request, reply)
                elif fault in AFTER:
                    reply = self._spoil(reply, fault)
            if world.faults.latency_ms and world.dice.applies(request.path):
                reply.delay += world.faults.latency_ms / 1000
            status = 0 if reply.cut == "drop" else reply.status
            world.record(Entry(0, request.method, request.path, request.query_text, status, world.now, time.time(),
                               fault, request.marked))  # fmt: skip
            return reply

    def _serve(self, request: Request) -> Reply:
        extra: Headers = []
        try:
            parts = request.steps
            if len(parts) < 3 or not self._serves_prefix(parts[1]):
                raise Refusal(404, "Not Found")
            request.dialect = parts[1]
            endpoint, request.names = find_endpoint(request.method, parts[2:])
            self._check_key(request)
            extra = self._spend()
            reply = endpoint(request)
        except Refusal as refusal:
            reply = self._refuse(refusal)
        except SandboxError as reason:
            reply = self._refuse(Refusal(400, str(reason)))
        reply.headers += extra
        return reply

    def _serves_prefix(self, prefix: str) -> bool:
        faults = self.world.faults
        return (prefix == "v1" and not faults.no_v1) or (prefix == "api" and not faults.no_api)

    def _check_key(self, request: Request) -> None:
        for name, value in request.raw_headers:
            if name == b"authorization":
                if hmac.compare_digest(value, self._key):
                    return
                raise Refusal(401, "Invalid API key")
        raise Refusal(401, "Missing API key")

    def _spend(self) -> Headers:
        """Count a request against the rate limit, if a limit is set; returns its headers."""
        faults = self.world.faults
        if faults.rate_limit is None:
            return []
        now = time.time()
        if now >= self._window + faults.rate_window:
            self._window, self._window_used = now, 0
        self._window_used += 1
        left, reset = faults.rate_limit - self._window_used, self._window + faults.rate_window
        numbers = {"limit": faults.rate_limit, "remaining": max(left, 0), "reset": int(reset) + 1}
        headers = [(f"x-ratelimit-{name}".encode(), str(value).encode()) for name, value in numbers.items()]
        if left < 0:
            raise Refusal(429, "Rate limit exceeded", [*headers, (b"retry-after", _format_seconds(reset - now))])
        return headers

    def _refuse_by_chance(self, fault: str) -> Reply:
        if fault == "drop_before":
            return Reply(500, b"", cut="drop")
        if fault == "rate_502":
            return Reply(502, _HTML, media_type=b"text/html")
        if fault == "rate_429":
            wait = [(b"retry-after", _format_seconds(self.world.faults.retry_after))]
            return self._refuse(Refusal(429, "Rate limit exceeded", wait))
        if fault == "rate_503":
            return self._refuse(Refusal(503, "Service temporarily unavailable"))
        return self._refuse(Refusal(500, "Internal server error"))

    def _spoil(self, reply: Reply, fault: str) -> Reply:
        if fault == "error_after":
            return self._refuse(Refusal(500, "Internal server error"))
        if fault in ("endless", "bomb"):
            return floods.make_endless(reply, compressed=fault == "bomb")
        if fault == "slow":
            reply.delay += self.world.faults.slow_seconds
        else:
            reply.cut = "truncate" if fault == "truncate" and reply.body else "drop"
        return reply

    def _mix_up(self, request: Request, reply: Reply) -> Reply:
        """The answer to the same request for another job, strategy or schedule; `reply` if there is no other."""
        world = self.world
        for found in (world.jobs_by_id, world.strategies, world.schedules):
            name = request.names[0] if request.names else ""
            other = next((id_ for id_ in found if id_ != name), None) if name in found else None
            if request.method == "GET" and other is not None:
                # Marks nothing as seen: a cache has the answer from an earlier read.
                query = "mark_seen=false" if "changes" in request.steps else request.query_text
                steps = [other if step == name else step for step in request.steps]
                return self._serve(replace(request, steps=steps, query_text=query, names=[]))
        return reply

    def _refuse(self, refusal: Refusal) -> Reply:
        detail: Any = refusal.detail
        if self.world.faults.detail_list and 400 <= refusal.status < 500:
            detail = [{"loc": ["body"], "msg": refusal.detail, "type": "value_error"}]
        return json_reply({"detail": detail}, refusal.status, list(refusal.headers))

    async def _webhook_test(self, request: Request) -> Reply:
        """POST /webhooks/test: posts in a thread, since the receiver may be slow."""
        try:
            self._check_key(request)
            if not self._serves_prefix(request.path.split("/")[1]):
                raise Refusal(404, "Not Found")
            url, body = schedules.test_payload(request.json(), self.world.now)
            status = await asyncio.to_thread(self.courier.send, url, body, "")
            took = 200 <= status < 300
            message = "Webhook delivered" if took else f"Webhook answered {status}" if status else "Could not connect"
            reply = Reply(200, orjson.dumps({"success": took, "status_code": status, "message": message}))
        except Refusal as refusal:
            reply = self._refuse(refusal)
        entry = Entry(0, request.method, request.path, "", reply.status, self.world.now, time.time())
        self.world.record(entry)
        return reply


def _format_seconds(seconds: float) -> bytes:
    """Seconds as Retry-After has them: without decimals where they are whole."""
    return (str(int(seconds)) if seconds == int(seconds) else f"{seconds:.3f}").encode()


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)


async def _send(send: Send, reply: Reply) -> None:
    headers = [(b"content-length", b"%d" % len(reply.body)), *reply.headers]
    if reply.status == 204:
        headers = headers[1:]
    else:
        headers.append((b"content-type", reply.media_type))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    for piece in _split(reply.body):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _split(body: bytes, size: int = 4 * 2**20) -> Iterator[bytes]:
    """Split a large body, so that it is not copied whole into the transport's buffer."""
    if len(body) <= size:
        yield body
        return
    view = memoryview(body)
    for start in range(0, len(body), size):
        yield bytes(view[start : start + size])


async def _stream(scope: Scope, send: Send, reply: Reply, stream: Iterator[bytes]) -> None:
    """Send a stream until the client closes the connection."""
    transport = scope.get("sandbox.transport")
    headers = [(b"content-type", reply.media_type), *reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    for piece in stream:
        if transport is None or transport.is_closing():
            break
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)
    await _close(transport)


async def _cut(scope: Scope, send: Send, reply: Reply) -> None:
    """Close the connection before the answer or in the middle of its body."""
    transport = scope.get("sandbox.transport")
    if reply.cut == "truncate":
        headers = [(b"content-length", b"%d" % len(reply.body)), (b"content-type", reply.media_type), *reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body[: len(reply.body) // 2], "more_body": True})
    await _close(transport)


async def _close(transport: asyncio.Transport | None) -> None:
    """Close a connection on which no answer is complete."""
    if transport is None:
        raise ConnectionAbortedError("the sandbox cut this connection on purpose")
    transport.close()
    # The server must notice that the client is gone before this call returns, or it logs an incomplete answer.
    for _ in range(3):
        await asyncio.sleep(0)
