"""Sends requests and receives bodies, with retries.

The key is removed from every body while it is received: no other module can store, show or log it.

Two ways lead to the same pool of connections. All requests go through `requests` except those for job bodies, of which
there are thousands: a session's work per call is three times that of urllib3 beneath it, so these go to urllib3, with
the proxy and certificates of the session. Redirects are never followed: the key must not reach another host, and a
create would arrive as a GET.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import requests
import requests.adapters
import urllib3
import urllib3.exceptions
from requests.utils import select_proxy
from urllib3.response import HTTPResponse

from meter_pipeline.api import failures
from meter_pipeline.api.answers import Mismatch
from meter_pipeline.api.bounds import Bounds, NoRoom, TooLarge
from meter_pipeline.api.credentials import Credentials
from meter_pipeline.api.errors import MeterBadResponse, MeterError, MeterTooLarge, MeterWrongResource
from meter_pipeline.api.heads import Adapter
from meter_pipeline.api.retries import Deadline, Pace, Retries, Waiting, requested_wait, transient
from meter_pipeline.api.spool import Content, Receiver
from meter_pipeline.api.syntax import Malformed
from meter_pipeline.host.scratch import Scratch

T = TypeVar("T")

_READ = 2**18
# Bytes that are read of an error's body.
_ERROR_BODY = 2**16
# A body received at this rate (bytes per second) or faster may outlast the deadline.
_SLOWEST = 64 * 1024
_ONCE = urllib3.Retry(total=False, redirect=0)
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    # An answer from a cache may be out of date, or another resource's.
    "Cache-Control": "no-cache, no-store",
    "User-Agent": "meter-pipeline",
}
_KINDS: dict[type[Malformed], type[MeterBadResponse]] = {
    Mismatch: MeterWrongResource,
    TooLarge: MeterTooLarge,
    NoRoom: MeterTooLarge,
}


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes:
        path: Full path on the server, without the path of the base URL.
        query: Parameters; those that are None are left out.
        again: Whether to retry after an error.
        read_timeout: Seconds without a byte before the request fails; None for the client's setting.
        direct: Whether to send it through the pool itself (bodies of jobs).
        page: Whether the answer is a page of a listing, which has a separate bound.
    """

    method: str
    path: str
    query: Mapping[str, str | int | None] = field(default_factory=dict)
    payload: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    again: Callable[[BaseException], bool] = transient
    read_timeout: float | None = None
    direct: bool = False
    page: bool = False


class Transport:
    """The connections to a server, with a key. Thread-safe.

    Args:
        base_url: Scheme, host, port and perhaps a path, no trailing slash.
        credentials: The key.
        timeout: Seconds to connect, and seconds without a byte.
        deadline: Seconds for a call, including all its attempts.
        retries: When and how often to retry.
        pace: Limits the rate of requests.
        waiting: Sleeps for callers that poll.
        pool_size: Most connections open at once.
        spool_bytes: Bodies above this size go to a temporary file.
        bounds: How large answers may be.
        scratch: The folder of the temporary files.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        *,
        timeout: tuple[float, float],
        deadline: float,
        retries: Retries,
        pace: Pace,
        waiting: Waiting,
        pool_size: int,
        spool_bytes: int,
        bounds: Bounds,
        scratch: Scratch,
    ) -> None:
        self.base_url = base_url
        self.deadline = deadline
        self.timeout = timeout
        self.retries = retries
        self.waiting = waiting
        self._credentials = credentials
        self._pace = pace
        self._spool_bytes = spool_bytes
        self._bounds, self._scratch = bounds, scratch
        self._count = 0
        self._lock = threading.Lock()
        self._session = requests.Session()
        self._session.auth = credentials
        self._session.headers.clear()
        self._session.headers.update(_HEADERS)
        self._adapter = Adapter(pool_connections=4, pool_maxsize=pool_size, max_retries=0, pool_block=True)
        self._session.mount("http://", self._adapter)
        self._session.mount("https://", self._adapter)
        self._direct: _Direct | None = None

    @property
    def requests_made(self) -> int:
        """Requests sent so far, retries included."""
        return self._count

    def close(self) -> None:
        """Closes all connections, and releases the folder of temporary files."""
        self._session.close()
        self._scratch.close()

    def call(self, request: Request, parse: Callable[[Content], T], deadline: Deadline | None = None) -> T:
        """Sends a request, with retries, until `parse` accepts the body.

        Raises:
            MeterError: The last attempt's error.
        """
        limit = deadline or Deadline(self.deadline)
        return self.retries.run(lambda: self.attempt(request, parse, limit), request.again, limit)

    def attempt(self, request: Request, parse: Callable[[Content], T], deadline: Deadline) -> T:
        """Sends a request once, and parses its answer."""
        self._pace.wait()
        raw = self._open(request, deadline)
        self._pace.note(raw.headers)
        if not 200 <= raw.status < 300:
            raise self._refusal(request, raw, deadline)
        bound = self._bounds.page if request.page else self._bounds.body
        receiver = Receiver(self._spool_bytes, self._bounds, bound, self._scratch)
        try:
            if "Content-Encoding" not in raw.headers:
                bound.check(_announced(raw.headers))
            content = self._receive(request, raw, receiver, deadline)
            try:
                return parse(content)
            finally:
                content.release()
        except Malformed as malformed:
            failure = self._bad(request, raw, malformed, receiver)
        finally:
            raw.close()
            receiver.drop()
        # Raised here, outside the `except`, so that no exception is chained that holds a request with its headers.
        raise failure

    def _open(self, request: Request, deadline: Deadline) -> HTTPResponse:
        with self._lock:
            self._count += 1
        connect, read = self.timeout
        left = max(deadline.left, 0.001)
        timeout = (min(connect, left), min(request.read_timeout or read, left))
        try:
            if request.direct:
                return self._ask_pool(request, timeout)
            return self._ask_session(request, timeout)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = failures.connection(error, request.method, request.path, timeout)
        raise failure

    def _ask_session(self, request: Request, timeout: tuple[float, float]) -> HTTPResponse:
        response = self._session.request(
            request.method,
            self.base_url + request.path,
            params={key: value for key, value in request.query.items() if value is not None},
            json=request.payload,
            headers=dict(request.headers),
            timeout=timeout,
            stream=True,
            allow_redirects=False,
        )
        return cast(HTTPResponse, response.raw)

    def _ask_pool(self, request: Request, timeout: tuple[float, float]) -> HTTPResponse:
        direct = self._direct
        if direct is None:
            direct = self._direct = _Direct.from_session(self._session, self._adapter, self.base_url)
        query = urlencode({key: value for key, value in request.query.items() if value is not None})
        headers = {**_HEADERS, **request.headers, **direct.headers}
        self._credentials.sign(headers)
        raw = direct.pool.urlopen(
            request.method,
            direct.prefix + request.path + (f"?{query}" if query else ""),
            headers=headers,
            retries=_ONCE,
            redirect=False,
            assert_same_host=False,
            timeout=urllib3.Timeout(connect=timeout[0], read=timeout[1]),
            preload_content=False,
            decode_content=False,
        )
        return cast(HTTPResponse, raw)

    def _receive(self, request: Request, raw: HTTPResponse, receiver: Receiver, deadline: Deadline) -> Content:
        scrubber = self._credentials.scrubber()
        try:
            while piece := raw.read1(_READ, decode_content=True):
                receiver.add(scrubber.feed(piece))
                if deadline.left + receiver.size / _SLOWEST < 0:
                    failure = failures.too_slow(request.method, request.path, deadline.seconds)
                    break
            else:
                receiver.add(scrubber.end())
                return receiver.content()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            failure = failures.reading(error, request.method, request.path)
        raise failure

    def _refusal(self, request: Request, raw: HTTPResponse, deadline: Deadline) -> MeterError:
        """The error of an answer that is not 2xx."""
        body = b""
        try:
            while len(body) < _ERROR_BODY and deadline.left > 0 and (piece := raw.read1(_READ, decode_content=True)):
                body += piece
        except (urllib3.exceptions.HTTPError, OSError):
            pass  # the status is enough
        finally:
            raw.close()
        return failures.refusal(
            raw.status,
            self._credentials.scrub(body)[:_ERROR_BODY],
            request.method,
            request.path,
            location=self._credentials.scrub(raw.headers.get("Location", "").encode()).decode(),
            retry_after=requested_wait(raw.headers),
        )

    def _bad(self, request: Request, raw: HTTPResponse, malformed: Malformed, receiver: Receiver) -> MeterBadResponse:
        # On a full disk nothing more is kept.
        body = b"" if isinstance(malformed, NoRoom) else self._credentials.scrub(receiver.head())
        return _KINDS.get(type(malformed), MeterBadResponse)(
            failures.described(self._credentials.scrub(malformed.reason.encode()).decode(), body),
            status=raw.status,
            method=request.method,
            path=request.path,
            hint=malformed.hint if isinstance(malformed, TooLarge) else None,
            body=body,
            cut=malformed.cut,
        )


def _announced(headers: Mapping[str, str]) -> int:
    """Size of the body by its header, in bytes; 0 without a valid header."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


@dataclass(frozen=True)
class _Direct:
    """The pool that the session itself would use for the server, found once."""

    pool: urllib3.HTTPConnectionPool
    prefix: str
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_session(cls, session: requests.Session, adapter: requests.adapters.HTTPAdapter, base_url: str) -> _Direct:
        prepared = requests.Request("GET", base_url + "/").prepare()
        settings = session.merge_environment_settings(base_url, {}, True, None, None)
        pool = adapter.get_connection_with_tls_context(
            prepared, settings["verify"], proxies=settings["proxies"], cert=settings["cert"]
        )
        adapter.cert_verify(pool, base_url, settings["verify"], settings["cert"])  # type: ignore[no-untyped-call]
        prefix = adapter.request_url(prepared, settings["proxies"]).rstrip("/")
        proxy = select_proxy(base_url, settings["proxies"])
        through = prefix.startswith("http")  # a plain HTTP proxy expects whole URLs, and its password with each
        return cls(
            cast(urllib3.HTTPConnectionPool, pool), prefix, adapter.proxy_headers(proxy) if proxy and through else {}
        )
