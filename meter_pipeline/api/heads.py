"""Connections that parse the heads of responses quickly.

A sync reads thousands of small job bodies, and the standard library parses the head of each with its e-mail parser,
which is a third of a request's cost. Here one regular expression reads a head that arrived whole and is plain. Any
other head (split, folded, unusual characters, another version) is left unread to the standard library's parser.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
from http import HTTPStatus
from typing import Any, NamedTuple

import requests.adapters
import urllib3
import urllib3.connection

# One read takes the head and all of a small body; the default of 8 kB would take two for most.
_BUFFER = 2**16
_MOST_FIELDS = 100
_FIELD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[ \t]*(?:[!-~](?:[ -~\t]*[!-~])?)?\r\n"
_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([ -~]*))?\r\n((?:" + _FIELD + rb")*)\r\n")


class Head(NamedTuple):
    """The head of a response.

    Attributes:
        size: Its bytes, with the empty line.
    """

    status: int
    reason: str
    fields: list[tuple[str, str]]
    size: int


def parse_head(text: bytes) -> Head | None:
    """Parses the head at the beginning of `text`; None if it is not whole, or not plain."""
    match = _HEAD.match(text)
    if match is None:
        return None
    lines = match[3].decode("ascii").split("\r\n")[:-1]
    if len(lines) > _MOST_FIELDS:
        return None
    fields = []
    for line in lines:
        name, _, value = line.partition(":")
        fields.append((name, value.lstrip(" \t")))
    return Head(int(match[1]), (match[2] or b"").decode("ascii").strip(), fields, match.end())


class Response(http.client.HTTPResponse):
    """A response of the standard library whose plain heads are parsed by `parse_head`."""

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None):
        super().__init__(sock, debuglevel, method, url)
        self.fp: Any = io.BufferedReader(self.fp.detach(), _BUFFER)  # type: ignore[has-type]

    def begin(self) -> None:
        """Reads the head, and from it how the body ends."""
        # `peek` reads once from the connection and consumes nothing, so the standard library can begin all over.
        head = parse_head(self.fp.peek()) if self.headers is None else None
        length = None if head is None else _content_length(head)
        if head is None or length is None:
            super().begin()
            return
        self.fp.read(head.size)
        self.code = self.status = head.status
        self.reason, self.version = head.reason, 11
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in head.fields:
            self.headers.set_raw(name, value)
        self.chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self.chunk_left = None
        is_empty = head.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) or self._method == "HEAD"
        self.length: int | None = 0 if is_empty else None if self.chunked or length < 0 else length
        self.will_close = "close" in self.headers.get("Connection", "").lower() or (
            not self.chunked and self.length is None
        )


def _content_length(head: Head) -> int | None:
    """The body's size in bytes by the first `Content-Length`; -1 without that field, None if it is not plain digits."""
    for name, value in head.fields:
        if name.lower() == "content-length":
            return int(value) if value.isdecimal() and len(value) < 20 else None
    return -1


class _Connection(urllib3.connection.HTTPConnection):
    response_class = Response


class _TLSConnection(urllib3.connection.HTTPSConnection):
    response_class = Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class Adapter(requests.adapters.HTTPAdapter):
    """An adapter of `requests` with these connections, also through HTTP proxies; SOCKS proxies have their own."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Makes the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)  # type: ignore[no-untyped-call]
        _use_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Makes the pools of a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)  # type: ignore[no-untyped-call]
        if type(manager) is urllib3.ProxyManager:
            _use_pools(manager)
        return manager


def _use_pools(manager: urllib3.PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
