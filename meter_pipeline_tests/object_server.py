"""An S3 server that counts its requests, and fails those that a test chooses."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

_SIGNED = "AWS4-HMAC-SHA256 Credential=AKIA/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
_TEXTS = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied", 501: "NotImplemented"}


class Request(NamedTuple):
    """A request: its method, the table or file of the lake it is about, and whether it deletes many objects."""

    method: str
    path: str
    query: str

    @property
    def name(self) -> str:
        """The first part of the name within the lake, such as `raw`."""
        return (self.path.split("/") + [""] * 3)[3]


#: Answers a request with a status; `reset` ends the connection at once, `lost` when the request was carried out, before
#: the answer, and `cut` in the middle of the answer's content.
Failure = int | str
Rule = Callable[[Request], "Failure | None"]


class ObjectServer:
    """A running server with the bucket `lakes`.

    Attributes:
        address: Host and port.
        requests: All requests, in order.
        rule: Which requests fail, and how.
    """

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.requests: list[Request] = []
        self.rule: Rule = lambda request: None
        made = urllib.request.Request(f"http://{self.address}/lakes", method="PUT", headers={"Authorization": _SIGNED})
        urllib.request.urlopen(made).close()

    def stop(self) -> None:
        """Stops."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """Counts the requests within the block, as `GET raw`; filled when the block ends."""
        start = len(self.requests)
        counts: Counter[str] = Counter()
        yield counts
        counts.update(f"{request.method} {request.name}".strip() for request in self.requests[start:])

    @contextmanager
    def failing(self, rule: Rule) -> Iterator[None]:
        """Fails the requests of a rule within the block."""
        self.rule = rule
        try:
            yield
        finally:
            self.rule = lambda request: None

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""))
        self.requests.append(request)
        failure = self.rule(request)
        if failure is None:
            return self._app(environ, start)
        if failure in ("reset", "lost"):
            if failure == "lost":
                b"".join(self._app(environ, lambda *answer: None))
            _reset(environ["werkzeug.socket"])
            return []
        if failure == "cut":
            return self._cut(environ, start)
        # What was sent is read, or the client fails by a broken connection.
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = f"<Error><Code>{_TEXTS[int(failure)]}</Code><Message>as the test wants</Message></Error>".encode()
        start(f"{failure} Failed", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    def _cut(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        content = b"".join(self._app(environ, start))
        yield content[: len(content) // 2]
        _reset(environ["werkzeug.socket"])


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
