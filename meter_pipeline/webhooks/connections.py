"""The inbox's connections: bounded in number and in time, whoever opens them and however slowly they send.

uvicorn bounds the head of a request and the pause between two requests, but waits for ever for a request to arrive,
and takes any number of connections. So a report has to be here within a time after its first byte, and when there are
too many connections, the one that has been waited for longest makes room: a sender who dribbles cannot shut out one who
sends at once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_EMPTY, _RECEIVING, _WORKING, _IDLE = "empty", "receiving", "working", "idle"
_PHRASES = {408: b"Request Timeout", 503: b"Service Unavailable"}


@dataclass(frozen=True)
class Limits:
    """Bounds of the connections.

    Attributes:
        connections: Most that are open at a time.
        request_seconds: How long a whole request may take to arrive. Meter itself gives up after 30 seconds.
        idle_seconds: How long a connection stays open between two requests. Longer than senders keep theirs: one that
            is closed while a report is on its way loses the report until Meter tries again.
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
        self._since = 0.0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection; beyond the bound, another one or this one is closed."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self._limits.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Takes bytes of a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Waits for the next request, which may be here already."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Times the connection anew when it has changed from one state into another, not with every byte."""
        state = self._read_state()
        if state == self._state or self.transport.is_closing():
            return
        self._state, self._since = state, self.loop.time()
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
        """Closes the connection that has been waited for longest, or this one while all others are being answered."""
        waiting = [
            other
            for other in self.connections
            if isinstance(other, BoundedProtocol) and other._state != _WORKING and not other.transport.is_closing()
        ]
        min(waiting, key=lambda other: other._since, default=self)._drop(503)

    def _drop(self, status: int) -> None:
        """Closes the connection, with an answer where a request has begun and none was given."""
        if self.transport.is_closing():
            return
        if self._state == _RECEIVING and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [(b"connection", b"close"), (b"content-length", b"0")]
            with suppress(h11.LocalProtocolError):
                answer = self.conn.send(h11.Response(status_code=status, headers=headers, reason=_PHRASES[status]))
                self.transport.write((answer or b"") + (self.conn.send(h11.EndOfMessage()) or b""))
        self.transport.close()
