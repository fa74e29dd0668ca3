"""The webhook inbox: a small ASGI app that keeps what Meter reports, safely and at once, and does nothing else.

A report is checked, written to disk and answered within milliseconds, whether or not Dagster runs. The next sync asks
the API for the jobs that were reported: what a report says of a job's items is never taken for data.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from meter_pipeline.store.inbox import Hint, Inbox
from meter_pipeline.store.tables import now

MOST_BYTES = 16 * 2**20
_LONGEST_ID = 500
# A connection that is closed while a report is on its way loses the report until Meter tries again.
_KEEP_ALIVE_SECONDS = 120
_log = logging.getLogger(__name__)


class InboxError(Exception):
    """The inbox cannot be opened; the message is one line with the way out."""


class _Report(msgspec.Struct):
    """What counts of a report; everything else in it is skipped unread."""

    job_id: str | int | None = None
    id: str | int | None = None
    schedule_id: str | int | None = None
    status: str | None = None


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
        hint = _hint(body)
        if hint is None:
            _log.warning("refused a report that names no job")
            return PlainTextResponse("names no job", 400)
        try:
            await run_in_threadpool(inbox.put, hint)
        except OSError as error:
            _log.error("a report could not be kept: %s", error)
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


def server_of(app: Starlette) -> uvicorn.Server:
    """The server that answers for the app; a sender's idle connection stays open longer than senders keep theirs."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            server_header=False,
            ws="none",
            lifespan="off",
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
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


def _hint(body: bytes) -> Hint | None:
    try:
        report = msgspec.json.decode(body, type=_Report)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    job_id = report.id if report.job_id is None else report.job_id
    if job_id is None or not 0 < len(str(job_id)) <= _LONGEST_ID:
        return None
    schedule_id = None if report.schedule_id is None else str(report.schedule_id)[:_LONGEST_ID]
    return Hint(str(job_id), schedule_id, None if report.status is None else report.status[:50], now())
