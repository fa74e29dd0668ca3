"""The inbox on real sockets: whoever dribbles, stalls or opens many connections does not keep a report away."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from meter_pipeline.webhooks import receiver
from meter_pipeline.webhooks.connections import Limits
from meter_pipeline.webhooks.inbox import Inbox
from meter_pipeline_tests.webhooks.test_receiver import SECRET, Door

_HEAD = f"POST / HTTP/1.1\r\nHost: inbox\r\nX-Webhook-Secret: {SECRET}\r\n".encode()
_REPORT = b'{"job_id": "j1"}'
_LIMITS = Limits(connections=5, request_seconds=1, idle_seconds=2)
#: For what is never sent whole, however fast the machine is.
_SHORT = Limits(connections=5, request_seconds=0.5)
# Far beyond every limit, far below what a test may take.
_LONG = 60.0


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(Inbox(tmp_path / "inbox"), _LIMITS) as door:
        yield door


@pytest.fixture
def impatient_door(tmp_path: Path) -> Iterator[Door]:
    with Door(Inbox(tmp_path / "inbox"), _SHORT) as door:
        yield door


def _open(door: Door, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(door.address, timeout=_LONG)
    connection.sendall(sent)
    return connection


def _answer(connection: socket.socket) -> bytes:
    """Everything that is answered until the connection is closed by the inbox."""
    answer = bytearray()
    with connection, suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            answer += piece
    return bytes(answer)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", b""),
        (b"POST / HTT", b"HTTP/1.1 408 "),
        (_HEAD, b"HTTP/1.1 408 "),
        (_HEAD + b"Content-Length: 100\r\n\r\n" + _REPORT, b"HTTP/1.1 408 "),
        (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{    \r\n", b"HTTP/1.1 408 "),
        # Answered before its body is here: nobody waits for the rest of it.
        (b"POST / HTTP/1.1\r\nHost: inbox\r\nContent-Length: 100\r\n\r\n{", b"HTTP/1.1 401 "),
    ],
)
def test_a_request_that_stays_away_is_not_waited_for(impatient_door: Door, sent: bytes, answered: bytes) -> None:
    answer = _answer(_open(impatient_door, sent))
    assert answer.startswith(answered)
    assert bool(answer) == bool(answered)
    assert not impatient_door.ids()


@pytest.mark.parametrize("head", [_HEAD, _HEAD + b"Content-Length: 4000\r\n\r\n"])
def test_a_request_that_comes_byte_by_byte_is_not_waited_for(impatient_door: Door, head: bytes) -> None:
    end = time.monotonic() + _LONG
    closed = False
    with _open(impatient_door, head) as connection:
        while not closed and time.monotonic() < end:
            try:
                connection.sendall(b"x")
            except OSError:
                closed = True
            time.sleep(0.05)
    assert closed


def test_a_connection_that_is_kept_open_takes_reports_and_is_closed_when_it_is_idle(door: Door) -> None:
    whole = _HEAD + f"Content-Length: {len(_REPORT)}\r\n\r\n".encode() + _REPORT
    with _open(door, whole) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        # Two at once, and the beginning of a third that never comes.
        connection.sendall(whole + whole + _HEAD)
        answer = _answer(connection)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.count(b"HTTP/1.1 408 ") == 1
    assert _answer(_open(door, whole)).count(b"HTTP/1.1") == 1
    assert door.ids() == {"j1"}


def test_a_body_that_ends_after_its_refusal_leaves_no_connection_open_for_ever(door: Door) -> None:
    with _open(door, b"POST / HTTP/1.1\r\nHost: inbox\r\nContent-Length: 3\r\n\r\n{") as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
        connection.sendall(b" }")
        assert _answer(connection) == b""


def test_reports_arrive_while_others_hold_connections_open(tmp_path: Path) -> None:
    # Time is no matter here: on a busy machine a second can pass between connecting and sending.
    limits = Limits(connections=5, request_seconds=_LONG)
    with Door(Inbox(tmp_path / "inbox"), limits) as door, ExitStack() as held:
        for number in range(40):
            with suppress(OSError):
                held.enter_context(_open(door, _HEAD[: 10 + number]))
        assert door.post({"job_id": "j1"}) == 200
        assert len(door.connections) <= limits.connections
        assert door.ids() == {"j1"}


def test_a_head_without_end_is_refused(door: Door) -> None:
    connection = _open(door)
    with suppress(OSError):
        connection.sendall(_HEAD + b"X-Long: " + b"x" * 200_000)
    answer = _answer(connection)
    assert b" 200 " not in answer
    assert answer[:13] in (b"", b"HTTP/1.1 400 ")


def test_the_inbox_ends_while_somebody_dribbles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "_STOP_SECONDS", 1)
    slow = Limits(request_seconds=600)
    with Door(Inbox(tmp_path / "inbox"), slow) as door:
        connection = _open(door, _HEAD + b"Content-Length: 100\r\n\r\n{")
        assert door.post({"job_id": "j1"}) == 200
    with connection:
        assert not door.runs
