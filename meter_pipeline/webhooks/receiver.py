"""The webhook inbox: a small ASGI app that keeps what Meter reports, safely and at once, and does nothing else.

A report is checked, written to disk and answered within milliseconds, whether or not Dagster runs. The next sync asks
the API for the jobs that were reported: what a report says of a job's items is never taken for data.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from meter_pipeline.api.scan import scan
from meter_pipeline.api.syntax import Malformed, value
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.host.causes import explain
from meter_pipeline.store.times import now
from meter_pipeline.webhooks.connections import BoundedProtocol, Limits
from meter_pipeline.webhooks.inbox import Hint, Inbox

MOST_BYTES = 16 * 2**20
_LONGEST_ID, _LONGEST_STATUS = 500, 50
# Once it is to end, the inbox waits this long for reports that are being kept.
_STOP_SECONDS = 5
_log = logging.getLogger(__name__)


class InboxError(MeterPipelineError):
    """The inbox cannot be opened; the message is one line with the way out."""


def create_app(inbox: Inbox, secrets: Sequence[str], *, most_bytes: int = MOST_BYTES) -> Starlette:
    """The ASGI application: takes a POST on any path, and answers `GET /health`.

    It answers 200 when the report is on disk, 401 without a known secret, 413 for a body above `most_bytes`, 400 for
    one that names no job, and 503 when the disk takes nothing, so that Meter tries again.

    Args:
        inbox: Where reports are kept.
        secrets: What Meter shows in `X-Webhook-Secret`, any of them.
        most_bytes: Bound of a body, in bytes.

    Raises:
        InboxError: There is no secret.
    """
    digests = [_digest(secret.encode()) for secret in secrets if secret]
    if not digests:
        raise InboxError(
            "no webhook secret is configured: set METER_WEBHOOK_SECRET to what `schedules create` has shown"
        )

    async def receive(request: Request) -> Response:
        shown = _digest(request.headers.get("x-webhook-secret", "").encode("latin-1"))
        # All of them, whichever fits: the time of an answer tells nothing.
        if not sum(hmac.compare_digest(shown, digest) for digest in digests):
            _log.warning("refused a report with a wrong secret, or none")
            return PlainTextResponse("wrong secret", 401)
        try:
            body = await _body(request, most_bytes)
        except ClientDisconnect:
            return PlainTextResponse("cut short", 400)
        if body is None:
            _log.warning("refused a report of more than %d bytes", most_bytes)
            return PlainTextResponse("too large", 413)
        hint = read_hint(body)
        if hint is None:
            _log.warning("refused a report that names no job")
            return PlainTextResponse("names no job", 400)
        try:
            await run_in_threadpool(inbox.put, hint)
        except OSError as error:
            _log.error("a report could not be kept: %s", explain(error))
            return PlainTextResponse("cannot be kept now", 503)
        return PlainTextResponse("kept")

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/health", health), Route("/{path:path}", receive, methods=["POST"])])


def serve(
    inbox: Inbox, secrets: Sequence[str], *, host: str, port: int, echo: Callable[[str], None], **limits: Any
) -> None:
    """Takes reports until SIGINT or SIGTERM.

    Raises:
        InboxError: There is no secret, or the address cannot be listened on.
    """
    app = create_app(inbox, secrets, **limits)
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InboxError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
    echo(f"webhook inbox at http://{host}:{listener.getsockname()[1]}/, reports are kept in {inbox.folder}")
    with listener:
        server_of(app).run([listener])


def server_of(app: Starlette, limits: Limits | None = None) -> uvicorn.Server:
    """The server that answers for the app, on connections that are bounded in number and in time."""
    bounds = limits or Limits()
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=partial(BoundedProtocol, limits=bounds),
            access_log=False,
            log_config=None,
            log_level="error",
            server_header=False,
            ws="none",
            lifespan="off",
            h11_max_incomplete_event_size=bounds.head_bytes,
            timeout_keep_alive=math.ceil(bounds.idle_seconds),
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


async def _body(request: Request, most: int) -> bytes | None:
    """The whole body, `None` when it is larger than `most` bytes; no more than that is ever in memory."""
    told = request.headers.get("content-length", "0")
    if not told.isdecimal() or int(told) > most:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            return None
    return bytes(body)


def read_hint(body: bytes) -> Hint | None:
    """What a report says of its job; a field that is odd is left out, wherever it is, and costs no other one."""
    fields = _fields(body, ("job_id", "id", "schedule_id", "status"))
    job_id = _identifier(fields.get("job_id")) or _identifier(fields.get("id"))
    if job_id is None:
        return None
    status = fields.get("status")
    return Hint(
        job_id=job_id,
        schedule_id=_identifier(fields.get("schedule_id")),
        status=status[:_LONGEST_STATUS] if isinstance(status, str) else None,
        received_at=now(),
    )


def _fields(body: bytes, names: Sequence[str]) -> dict[str, Any]:
    """The named members of a JSON object, without those that cannot be read; nothing where there is no object.

    Only the object's structure and these members are looked at: whatever else a report carries is not parsed.
    """
    text = body.decode("utf-8-sig", "replace").encode()
    try:
        root, parts = scan([text])
    except Malformed:
        return {}
    found: dict[str, Any] = {}
    for part in parts if root == b"{" else ():
        if part.key is not None and part.key in names:
            with suppress(Malformed):
                found[part.key] = value(text[part.start : part.end])
    return found


def _identifier(given: object) -> str | None:
    """An id as text; `None` for whatever cannot be one."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        return None
    text = str(given)
    return text if 0 < len(text) <= _LONGEST_ID else None
