"""A pooler of PostgreSQL connections in transaction mode: each transaction runs in another session of the server."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from typing import IO

# What a client may ask before it starts: TLS and GSSAPI encryption.
_ENCRYPTIONS = frozenset({80877103, 80877104})


class Pooler:
    """Listens on a port of this machine. Each transaction gets the session that has been idle the longest.

    Args:
        place: The server's socket.
        sessions: Sessions that are open at the server at least, so that two transactions in a row get different ones.
    """

    def __init__(self, place: str, sessions: int = 3) -> None:
        self._place = place
        self._sessions = sessions
        self._idle: deque[tuple[socket.socket, IO[bytes]]] = deque()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Closes every connection."""
        for opened in (self._listener, *self._open):
            # A file that reads from a socket keeps it open.
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as lines:
            while True:
                start = _read_untyped(lines)
                if not start:
                    return
                if struct.unpack("!I", start[4:8])[0] not in _ENCRYPTIONS:
                    break
                client.sendall(b"N")
            with self._lock:
                while len(self._idle) < self._sessions:
                    self._idle.append(self._open_session(start))
            client.sendall(_message(b"R", struct.pack("!I", 0)))
            for name, value in {"server_version": "18.0", "client_encoding": "UTF8"}.items():
                client.sendall(_message(b"S", f"{name}\0{value}\0".encode()))
            client.sendall(_message(b"K", struct.pack("!II", 1, 1)) + _message(b"Z", b"I"))
            self._relay(client, lines, start)

    def _relay(self, client: socket.socket, lines: IO[bytes], start: bytes) -> None:
        loan = _Loan(client)
        while (message := _read(lines)) and message[:1] != b"X":
            with loan.lock:
                if loan.session is None:
                    with self._lock:
                        loan.session = self._idle.popleft() if self._idle else self._open_session(start)
                    threading.Thread(target=self._answer, args=(loan, loan.session), daemon=True).start()
                is_last = message[:1] in (b"Q", b"S")
                loan.awaited += is_last
                loan.is_amid = not is_last
                loan.session[0].sendall(message)
        if loan.session is not None:
            # The transaction ends with its session.
            loan.session[0].shutdown(socket.SHUT_RDWR)

    def _answer(self, loan: _Loan, session: tuple[socket.socket, IO[bytes]]) -> None:
        """Passes answers on until the transaction is over; the session is idle from then on."""
        while answer := _read(session[1]):
            with loan.lock:
                if answer[:1] == b"Z":
                    loan.awaited -= 1
                is_over = answer == _message(b"Z", b"I") and not loan.awaited and not loan.is_amid
                if is_over:
                    loan.session = None
                    self._idle.append(session)
                with suppress(OSError):
                    loan.client.sendall(answer)
            if is_over:
                return

    def _open_session(self, start: bytes) -> tuple[socket.socket, IO[bytes]]:
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._place)
        self._open.append(server)
        server.sendall(start)
        answers = server.makefile("rb")
        while (answer := _read(answers))[:1] != b"Z":
            if not answer:
                raise ConnectionError("the server refuses a session")
        return server, answers


class _Loan:
    """The session that a client has for a transaction, and the answers that it waits for."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.session: tuple[socket.socket, IO[bytes]] | None = None
        self.awaited = 0
        self.is_amid = False
        self.lock = threading.Lock()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _read(lines: IO[bytes]) -> bytes:
    """The next message; empty at the end."""
    try:
        kind = lines.read(1)
        return kind + _read_untyped(lines) if kind else b""
    except (OSError, ValueError):
        return b""


def _read_untyped(lines: IO[bytes]) -> bytes:
    length = lines.read(4)
    return length + lines.read(struct.unpack("!I", length)[0] - 4) if len(length) == 4 else b""
