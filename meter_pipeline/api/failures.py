"""Turns exceptions of the network libraries, and answers other than 2xx, into `MeterError`s.

Messages are written here and not copied from the libraries: theirs contain whole URLs with queries, and proxies with
passwords.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions as floor

from meter_pipeline.api.errors import MeterConnectionError, MeterError, MeterNotFound, for_status
from meter_pipeline.api.syntax import Malformed, value
from meter_pipeline.text.printable import printable

_LONGEST_DETAIL = 500
_PERMANENT_NAMES = {getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_FAIL") if hasattr(socket, name)}
UNKNOWN_ROUTE = "check METER_BASE_URL and METER_API_PREFIX"
_STATUS_HINTS = {
    404: UNKNOWN_ROUTE,
    405: UNKNOWN_ROUTE,
    407: "check the proxy's user and password in HTTPS_PROXY",
}


def connection(error: Exception, method: str, path: str, timeout: tuple[float, float]) -> MeterConnectionError:
    """The error of a request that got no answer."""
    causes = list(_causes(error))

    def caused(*kinds: type[BaseException]) -> Any:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    def failed(detail: str, **about: Any) -> MeterConnectionError:
        return MeterConnectionError(detail, method=method, path=path, **about)

    if (name := caused(socket.gaierror)) is not None:
        return failed("the host's name cannot be resolved", sent=False, permanent=name.errno in _PERMANENT_NAMES)
    if caused(requests.exceptions.SSLError, floor.SSLError) is not None:
        return failed(
            "no secure connection: the server's certificate is not accepted, or it does not use TLS",
            hint="check METER_BASE_URL, or REQUESTS_CA_BUNDLE for a certificate of your own",
            sent=False,
            permanent=True,
        )
    if caused(requests.exceptions.ProxyError, floor.ProxyError) is not None:
        return failed("the proxy cannot be used", hint="check HTTPS_PROXY and NO_PROXY", sent=False)
    if (
        caused(requests.exceptions.InvalidURL, floor.LocationParseError, requests.exceptions.InvalidProxyURL)
        is not None
    ):
        return failed("the URL cannot be used", hint="check METER_BASE_URL", sent=False, permanent=True)
    timed_out = caused(requests.exceptions.ConnectTimeout, floor.ConnectTimeoutError) is not None
    if timed_out and caused(floor.NewConnectionError) is None:
        return failed(f"no connection within {timeout[0]:g} s", sent=False, timed_out=True)
    if caused(ConnectionRefusedError) is not None:
        return failed("connection refused", sent=False)
    if caused(floor.NewConnectionError) is not None:
        return failed("no connection", sent=False)
    if caused(requests.exceptions.ReadTimeout, floor.ReadTimeoutError, TimeoutError) is not None:
        return failed(f"no answer within {timeout[1]:g} s", timed_out=True)
    return failed("the connection was closed before an answer came")


def reading(error: Exception, method: str, path: str) -> MeterConnectionError:
    """The error of an answer that stopped coming."""
    causes = list(_causes(error))
    if any(isinstance(cause, (floor.ReadTimeoutError, TimeoutError)) for cause in causes):
        return MeterConnectionError("the answer stopped coming", method=method, path=path, timed_out=True)
    if any(isinstance(cause, floor.DecodeError) for cause in causes):
        return MeterConnectionError("the answer's compression is damaged", method=method, path=path)
    return MeterConnectionError("the answer was cut short", method=method, path=path)


def too_slow(method: str, path: str, seconds: float) -> MeterConnectionError:
    """The error of an answer that is too slow for the deadline."""
    return MeterConnectionError(
        f"the answer was not there after {seconds:g} s", method=method, path=path, timed_out=True
    )


def refusal(
    status: int, body: bytes, method: str, path: str, *, location: str = "", retry_after: float | None = None
) -> MeterError:
    """The error of an answer that is not 2xx; the key is already removed from `body` and `location`."""
    kind = for_status(status)
    hint = _STATUS_HINTS.get(status)
    detail = _detail(body)
    if 300 <= status < 400:
        target = urlsplit(location)
        detail = f"a redirect to {target.scheme}://{target.hostname}{target.path}" if target.hostname else "a redirect"
        hint = "point METER_BASE_URL at the final address"
    if kind is MeterNotFound and from_application(body):
        hint = ""  # the API knows the route, it is the resource that is missing
    return kind(detail or "no explanation", status=status, method=method, path=path, hint=hint, retry_after=retry_after)


def from_application(body: bytes) -> bool:
    """Whether a 404 is about a resource: the router's 404 is `Not Found`, and a proxy's is HTML."""
    return _looks_json(body) and _detail(body) not in ("", "Not Found")


def described(reason: str, body: bytes) -> str:
    """A reason, with the beginning of the body if that is not JSON."""
    if _looks_json(body) or not body.strip():
        return reason
    return f"{reason}; it begins with {_line(body.decode('utf-8', 'replace'))[:60]!r}"


def _detail(body: bytes) -> str:
    """The server's own words: `detail` as text or list, another usual key, or the title of a page."""
    if not _looks_json(body):
        text = body.decode("utf-8", "replace")
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
        return _line(title.group(1) if title else re.sub(r"<[^>]*>", " ", text))
    try:
        loaded = value(body)
    except Malformed:
        return _line(body.decode("utf-8", "replace"))
    found = loaded
    if isinstance(loaded, dict):
        found = next((loaded[key] for key in ("detail", "message", "error") if loaded.get(key)), "")
    entries = found if isinstance(found, list) else [found]
    return _line("; ".join(_entry(entry) for entry in entries))


def _entry(entry: object) -> str:
    if isinstance(entry, dict) and "msg" in entry:
        place = entry.get("loc")
        where = ".".join(str(step) for step in place) if isinstance(place, list) else ""
        return f"{where}: {entry['msg']}" if where else str(entry["msg"])
    return str(entry)


def _line(text: str) -> str:
    line = " ".join(printable(text[: 4 * _LONGEST_DETAIL]).split())
    return line if len(line) <= _LONGEST_DETAIL else line[: _LONGEST_DETAIL - 1] + "…"


def _looks_json(body: bytes) -> bool:
    return body.lstrip()[:1] in (b"{", b"[", b'"')


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and every exception that it wraps, in any way that the two libraries wrap one."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        wrapped = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        waiting.extend(cause for cause in wrapped if isinstance(cause, BaseException))
