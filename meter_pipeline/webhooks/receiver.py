"""Receives Meter's webhooks: a small ASGI app that stores the id of each reported job durably, and does nothing else.

A report is checked, written to disk and answered within milliseconds, whether or not Dagster runs. The next sync
fetches the reported jobs from the API; items in a report are never used as data.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
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
from meter_pipeline.host.addresses import open_listener
from meter_pipeline.host.causes import explain
from meter_pipeline.store.times import now
from meter_pipeline.webhooks.connections import BoundedProtocol, Limits
from meter_pipeline.webhooks.inbox import Hint, Inbox

MAX_BYTES = 16 * 2**20
_MAX_ID, _MAX_STATUS = 500, 50
# A stopping server waits this long for reports that are being written.
_STOP_SECONDS = 5
_log = logging.getLogger(__name__)


class InboxError(MeterPipelineError):
    """The receiver is not configured; the message is one line with the way out."""


def create_app(inbox: Inbox, secrets: Sequence[str], *, max_bytes: int = MAX_BYTES) -> Starlette:
    """Returns the ASGI application, which accepts POST requests on any path and answers `GET /health`.

    It answers 200 when the report is on disk, 401 without a known secret, 413 for a body above `max_bytes`, 400 for
    one without a job id, and 503 when the disk cannot be written, so that Meter tries again.

    Args:
        inbox: Stores the reports.
        secrets: Accepted values of the header `X-Webhook-Secret`.
        max_bytes: Most bytes of a body.

    Raises:
        InboxError: There is no secret.
    """
    digests = [_digest(secret.encode()) for secret in secrets if secret]
    if not digests:
        raise InboxError(
            "no webhook secret is configured: set METER_WEBHOOK_SECRET to the secret that `schedules create` printed"
        )

    async def receive(request: Request) -> Response:
        digest_of_request = _digest(request.headers.get("x-webhook-secret", "").encode("latin-1"))
        # Compare with all secrets, whichever matches: the response time must not reveal which.
        if not sum(hmac.compare_digest(digest_of_request, digest) for digest in digests):
            _log.warning("refused a report with a wrong secret, or none")
            return PlainTextResponse("wrong secret", 401)
        try:
            body = await _read_body(request, max_bytes)
        except ClientDisconnect:
            return PlainTextResponse("cut short", 400)
        if body is None:
            _log.warning("refused a report of more than %d bytes", max_bytes)
            return PlainTextResponse("too large", 413)
        hint = read_hint(body)
        if hint is None:
            _log.warning("refused a report without a job id")
            return PlainTextResponse("names no job", 400)
        try:
            await run_in_threadpool(inbox.put, hint)
        except OSError as error:
            _log.error("a report could not be stored: %s", explain(error))
            return PlainTextResponse("cannot be kept now", 503)
        return PlainTextResponse("kept")

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/health", health), Route("/{path:path}", receive, methods=["POST"])])


def serve(
    inbox: Inbox, secrets: Sequence[str], *, host: str, port: int, echo: Callable[[str], None], **limits: Any
) -> None:
    """Receives reports until SIGINT or SIGTERM.

    Args:
        inbox: Stores the reports.
        secrets: Accepted values of the header `X-Webhook-Secret`.
        host: Address to listen on.
        port: Port to listen on; 0 chooses a free one.
        echo: Prints a line.
        limits: Keyword arguments of `create_app`.

    Raises:
        InboxError: There is no secret.
        AddressError: The address cannot be listened on.
    """
    app = create_app(inbox, secrets, **limits)
    listener = open_listener(host, port)
    echo(f"webhook inbox at http://{host}:{listener.getsockname()[1]}/, reports are stored in {inbox.folder}")
    with listener:
        create_server(app).run([listener])


def create_server(app: Starlette, limits: Limits | None = None) -> uvicorn.Server:
    """Returns a server for the app that bounds connections in number and in time."""
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


async def _read_body(request: Request, max_bytes: int) -> bytes | None:
    """Returns the body, or None if it is larger than `max_bytes`; at most that much is ever in memory."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > max_bytes:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            return None
    return bytes(body)


def read_hint(body: bytes) -> Hint | None:
    """Reads the ids and the status from a report; an invalid field is ignored, and None means there is no job id."""
    fields = _read_fields(body, ("job_id", "id", "schedule_id", "status"))
    job_id = _parse_id(fields.get("job_id")) or _parse_id(fields.get("id"))
    if job_id is None:
        return None
    status = fields.get("status")
    return Hint(
        job_id=job_id,
        schedule_id=_parse_id(fields.get("schedule_id")),
        status=status[:_MAX_STATUS] if isinstance(status, str) else None,
        received_at=now(),
    )


def _read_fields(body: bytes, names: Sequence[str]) -> dict[str, Any]:
    """Returns the named members of a JSON object, without invalid ones; nothing if the body is not an object.

    Only the object's structure and these members are parsed, whatever else the report holds.
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


def _parse_id(given: object) -> str | None:
    """Returns an id as text, or None for an invalid one."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        return None
    text = str(given)
    return text if 0 < len(text) <= _MAX_ID else None
