"""Bounds the receiver's connections in number and in time, however slowly senders send.

uvicorn bounds the head of a request and the pause between two requests, but waits forever for a request to arrive, and
accepts any number of connections. Here a request must arrive within a time after its first byte, and when there are too
many connections, the one that has waited longest is closed: slow senders cannot shut out fast ones.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_EMPTY, _RECEIVING, _WORKING, _IDLE = "empty", "receiving", "working", "idle"
# Numbers the changes of state in order. The loop's clock cannot: it may stand still for a millisecond, in which many
# connections are accepted.
_turns = itertools.count()
_PHRASES = {408: b"Request Timeout", 503: b"Service Unavailable"}


@dataclass(frozen=True)
class Limits:
    """Bounds of the connections.

    Attributes:
        connections: Most open connections.
        request_seconds: Seconds within which a whole request must arrive. Meter itself gives up after 30 seconds.
        idle_seconds: Seconds that a connection stays open between two requests. Longer than senders keep theirs:
            closing it while a report is on its way loses the report until Meter tries again.
        head_bytes: Most bytes of a request's first line and headers.
    """

    connections: int = 200
    request_seconds: float = 30
    idle_seconds: float = 120
    head_bytes: int = 32 * 2**10


class BoundedProtocol(H11Protocol):
    """uvicorn's own protocol with a bound on open connections and on the time in which a request has to arrive."""

    def __init__(self, *, limits: Limits, config: uvicorn.Config, **options: Any) -> None:
        super().__init__(config=config, **options)
        self._limits = limits
        self._state = ""
        self._turn = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accepts the connection; beyond the bound, another connection or this one is closed."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self._limits.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Receives bytes of a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Waits for the next request, which may have arrived already."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops timing the connection."""
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Restarts the deadline when the connection has changed its state, not with every byte."""
        state = self._read_state()
        if state == self._state or self.transport.is_closing():
            return
        self._state, self._turn = state, next(_turns)
        self._stop()
        if state != _WORKING:
            seconds = self._limits.idle_seconds if state == _IDLE else self._limits.request_seconds
            self._deadline = self.loop.call_later(seconds, self._drop, 408)

    def _read_state(self) -> str:
        if self.conn.their_state is h11.SEND_BODY or (self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]):
            return _RECEIVING
        if self.cycle is None:
            return _EMPTY
        return _IDLE if self.cycle.response_complete else _WORKING

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _make_room(self) -> None:
        """Closes the connection that has waited longest, or this one if all others are being answered."""
        waiting = [
            other
            for other in self.connections
            if isinstance(other, BoundedProtocol) and other._state != _WORKING and not other.transport.is_closing()
        ]
        min(waiting, key=lambda other: other._turn, default=self)._drop(503)

    def _drop(self, status: int) -> None:
        """Closes the connection, with a response if a request has begun and has none yet."""
        if self.transport.is_closing():
            return
        if self._state == _RECEIVING and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [(b"connection", b"close"), (b"content-length", b"0")]
            with suppress(h11.LocalProtocolError):
                response = self.conn.send(h11.Response(status_code=status, headers=headers, reason=_PHRASES[status]))
                self.transport.write((response or b"") + (self.conn.send(h11.EndOfMessage()) or b""))
        self.transport.close()
