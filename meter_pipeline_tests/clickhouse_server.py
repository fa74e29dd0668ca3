"""A ClickHouse server for tests: the HTTP interface in front of chDB, which is ClickHouse's engine as a library.

It runs as a process of its own, so that statements of a client that is killed are carried out all the same. Statements
are carried out one after another. Users, passwords and rights are this file's own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

USER, PASSWORD = "meter", "canary@0123/4567"
#: May read all tables and change none.
READER = "reader"
_NOT_SETTINGS = ("query", "database", "query_id", "session_id", "client_protocol_version", "default_format", "compress")
_WRITES = re.compile(r"\s*(CREATE|DROP|ALTER|INSERT|DELETE|RENAME|EXCHANGE|TRUNCATE)\s+(\w+)", re.IGNORECASE)
_STATUS = {516: 403, 497: 403, 60: 404, 81: 404}


class ClickHouseServer:
    """A running server; a context manager that starts and ends it.

    Attributes:
        address: Host and port.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="meter-clickhouse-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, self._folder.name], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def __enter__(self) -> ClickHouseServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


class _Refusal(Exception):
    """An answer that is an error, as the server words it."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Any
    folder: Path
    lock = threading.Lock()

    def do_GET(self) -> None:
        """Answers a ping."""
        self._answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        """Carries out a statement."""
        body = self._read_body()
        asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        sql = asked.get("query") or body.decode()
        data = body if "query" in asked else b""
        try:
            self._check_user(sql)
            with self.lock:
                answer = self._carry_out(sql, data, asked)
        except (_Refusal, RuntimeError) as error:
            found = re.search(r"Code: (\d+)", str(error))
            code = int(found[1]) if found else 1002
            self._answer(_STATUS.get(code, 500), f"{error}\n".encode(), {"X-ClickHouse-Exception-Code": str(code)})
        else:
            self._answer(200, answer)

    def _check_user(self, sql: str) -> None:
        user, key = self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key")
        if "Authorization" in self.headers:
            import base64

            user, _, key = base64.b64decode(self.headers["Authorization"].partition(" ")[2]).decode().partition(":")
        if user not in (USER, READER) or key != PASSWORD:
            raise _Refusal(
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no user "
                "with such name. (AUTHENTICATION_FAILED) (version 26.9.2.1 (official build))"
            )
        found = _WRITES.match(sql)
        if user == READER and found is not None:
            raise _Refusal(
                f"Code: 497. DB::Exception: {user}: Not enough privileges. To execute this query, it's necessary to "
                f"have the grant {found[1].upper()} {found[2].upper()} ON meter.*. (ACCESS_DENIED) (version 26.9.2.1)"
            )

    def _carry_out(self, sql: str, data: bytes, asked: dict[str, str]) -> bytes:
        self._query(f"USE `{asked.get('database', 'default')}`")
        for name, value in asked.items():
            if name not in _NOT_SETTINGS:
                with suppress(RuntimeError):
                    self._query(f"SET {name} = '{value}'")
        if not data:
            return self._query(sql, asked.get("default_format", "TabSeparated"))
        head, _, format_ = sql.strip().rpartition("FORMAT ")
        incoming = self.folder / f"incoming-{uuid.uuid4().hex}"
        incoming.write_bytes(data)
        try:
            return self._query(f"{head} SELECT * FROM file('{incoming}', '{format_.strip()}')")
        finally:
            incoming.unlink()

    def _query(self, sql: str, format_: str = "TabSeparated") -> bytes:
        return bytes(self.engine.query(sql, format_).bytes())

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _serve(folder: str) -> None:
    from chdb.session import Session

    os.chdir(folder)
    _Handler.engine, _Handler.folder = Session(str(Path(folder) / "data")), Path(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    sys.stdout.write(f"127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1])
