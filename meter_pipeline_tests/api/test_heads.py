"""Heads of responses: whatever is parsed quickly is what the standard library's parser makes of the same bytes."""

from __future__ import annotations

import http.client
import io
import socket
from typing import Any, cast

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from meter_pipeline.api import MeterClient
from meter_pipeline.api.heads import Adapter, Response, parse_head
from meter_pipeline_tests.api.scripted import Answer

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nX-Empty:\r\n\r\n{}"

_NAMES = st.sampled_from(
    ["Content-Length", "content-length", "Transfer-Encoding", "Connection", "Keep-Alive", "Content-Type", "Set-Cookie",
     "X-RateLimit-Reset", "From", "From ", " X", "", "Ü", "Content-Encoding"]
)  # fmt: skip
_VALUES = st.one_of(
    st.sampled_from(
        ["0", "2", "17", "-1", "1_0", "٣", " 2", "2 ", "chunked", "Chunked", "gzip, chunked", "close", "keep-alive",
         "multipart/mixed; boundary=x", "message/rfc822", "a\tb", "", "\x00", "\x0b", "ü", "9" * 30]
    ),
    st.text(st.characters(max_codepoint=255), max_size=12),
)  # fmt: skip
_LINES = st.one_of(
    st.tuples(_NAMES, st.sampled_from([":", ": ", ":\t ", ""]), _VALUES).map("".join), st.text(max_size=12)
)
_STATUS = st.one_of(
    st.tuples(
        st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2", "http/1.1", "ICY"]),
        st.sampled_from([" ", "  ", "\t"]),
        st.sampled_from(["200", "204", "304", "404", "503", "100", "099", "20", "2000", "abc"]),
        st.sampled_from(["", " ", " OK", "  Not  Found ", " ü", "\tX"]),
    ).map("".join),
    st.text(max_size=20),
)


@st.composite
def _responses(draw: st.DrawFn) -> bytes:
    end = draw(st.sampled_from(["\r\n", "\r\n", "\r\n", "\n"]))
    lines = [draw(_STATUS), *draw(st.lists(_LINES, max_size=5)), "", draw(st.sampled_from(["", "{}", "2\r\n{}\r\n0"]))]
    text = end.join(lines).encode("latin-1", "replace")
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


class _Received:
    """A socket that has received some bytes."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._received))  # type: ignore[arg-type]


def _outcome(kind: type[http.client.HTTPResponse], received: bytes, method: str) -> Any:
    response = kind(cast(socket.socket, _Received(received)), method=method)
    try:
        response.begin()
    except Exception as error:
        return type(error)
    length = response.length
    return (
        (response.status, response.reason, response.version, response.msg.items()),
        (response.chunked, length, response.will_close),
        response.fp.read() if response.fp is not None else None,
    )


@given(_responses(), st.sampled_from(["GET", "HEAD"]))
@example(PLAIN, "GET")
@example(PLAIN, "HEAD")
@example(PLAIN.replace(b"200", b"204"), "GET")
@example(PLAIN.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"), "GET")
@example(PLAIN.replace(b"X-Empty:", b"Connection: close"), "GET")
@example(PLAIN.replace(b"Content-Length: 2\r\n", b""), "GET")
@example(PLAIN.replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 3"), "GET")
@example(PLAIN.replace(b"X-Empty:", b"X: 1\r\n folded"), "GET")
@example(b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN, "GET")
@example(PLAIN.replace(b"X-Empty:", b"X: 1\r\n" * 101), "GET")
def test_a_response_begins_as_with_the_standard_library(received: bytes, method: str) -> None:
    assert _outcome(Response, received, method) == _outcome(http.client.HTTPResponse, received, method)


def test_a_plain_head_is_parsed_quickly() -> None:
    head = parse_head(PLAIN)
    assert head is not None
    assert (head.status, head.reason, PLAIN[head.size :]) == (200, "OK", b"{}")
    assert head.fields == [("Content-Type", "application/json"), ("Content-Length", "2"), ("X-Empty", "")]


@pytest.mark.parametrize("size", range(0, len(PLAIN) - 2, 7))
def test_a_head_that_has_not_arrived_whole_is_left_to_the_standard_library(size: int) -> None:
    assert parse_head(PLAIN[:size]) is None


def test_a_head_that_is_larger_than_the_buffer_is_read_as_well(serve: Any, connect: Any) -> None:
    fields = {f"X-Long-{number}": "x" * 60_000 for number in range(3)}
    server = serve(Answer(json={"job_id": "j", "results": [1]}, headers=fields))
    client: MeterClient = connect(server)
    with client.job_body("j") as body:
        assert body.items() == [b"1"]


@pytest.mark.parametrize("url", ["http://meter.invalid", "https://meter.invalid"])
@pytest.mark.parametrize("proxies", [{}, {"http": "http://127.0.0.1:1", "https": "http://127.0.0.1:1"}])
def test_every_connection_parses_heads_quickly(url: str, proxies: dict[str, str]) -> None:
    adapter = Adapter()
    request = requests.Request("GET", url).prepare()
    pool: Any = adapter.get_connection_with_tls_context(request, verify=True, proxies=proxies)
    assert pool.ConnectionCls.response_class is Response
