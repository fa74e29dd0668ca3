"""A real HTTP server whose answers a test writes itself, for what no well-behaved server would send."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    raw_query: str
    headers: Mapping[str, str]
    payload: Any


@dataclass
class Answer:
    """An answer: `json` or `body`; `cut` sends only that many bytes of it, `hang_up` closes the connection."""

    status: int = 200
    json: Any = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    chunked: bool = False
    hang_up: bool = False
    silence: threading.Event | None = None

    @property
    def content(self) -> bytes:
        return self.body if self.body is not None else json.dumps(self.json).encode()


HANG_UP = Answer(hang_up=True)
NOT_FOUND = Answer(404, {"detail": "Not Found"})


class ScriptedServer:
    """Answers each request with what `answer` returns; remembers the requests."""

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        script = self

        class Exchange(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(length)
                query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
                asked = Asked(
                    self.command,
                    parts.path,
                    query,
                    parts.query,
                    dict(self.headers.items()),
                    json.loads(text) if text else None,
                )
                script.asked.append(asked)
                self.send(script.answer(asked))

            do_GET = do_POST = do_PATCH = do_DELETE = do

            def send(self, answer: Answer) -> None:
                if answer.silence is not None:
                    answer.silence.wait(20)
                if answer.hang_up:
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                content = answer.content
                sent = content if answer.cut is None else content[: answer.cut]
                with contextlib.suppress(OSError):
                    if answer.chunked:
                        self.send_header("Transfer-Encoding", "chunked")
                        self.end_headers()
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent))
                        self.wfile.write(b"0\r\n\r\n" if answer.cut is None else b"ff\r\n")
                    else:
                        self.send_header("Content-Length", str(len(content)))
                        self.end_headers()
                        self.wfile.write(sent)
                if answer.cut is not None:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def paths(self) -> list[str]:
        """Method and path of the requests so far."""
        return [f"{asked.method} {asked.path}" for asked in self.asked]

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def in_turn(*answers: Answer) -> Callable[[Asked], Answer]:
    """Each answer once, and the last answer from then on."""
    waiting: Iterator[Answer] = iter(answers)
    lock = threading.Lock()

    def answer(asked: Asked) -> Answer:
        with lock:
            return next(waiting, answers[-1])

    return answer
