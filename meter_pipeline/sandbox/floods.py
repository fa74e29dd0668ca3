"""Endless answers: bodies, plain and compressed, and lists of jobs."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, repeat

import orjson

from meter_pipeline.sandbox.clock import format_instant
from meter_pipeline.sandbox.messages import Reply
from meter_pipeline.sandbox.records import COMPLETED, make_id
from meter_pipeline.sandbox.world import World

_ROW = b',{"job_id":"endless","n":1}'
_PIECE = _ROW * 4_000
#: Text of a compressed piece: 30 MB that compress to 30 kB.
_PACKED = _PIECE * 300


def make_endless(reply: Reply, *, compressed: bool) -> Reply:
    """The answer with JSON that never ends: the list itself, or a list as the last value of the object."""
    start = reply.body[:-1] + (b',"results":[1' if reply.body.startswith(b"{") else b"")
    start += b"1" if start == b"[" else b""
    if not compressed:
        return replace(reply, stream=chain([start], repeat(_PIECE)))
    headers = [*reply.headers, (b"content-encoding", b"gzip")]
    return replace(reply, headers=headers, stream=_packed(start))


def _packed(start: bytes) -> Iterator[bytes]:
    yield gzip.compress(start)
    piece = gzip.compress(_PACKED)
    yield from repeat(piece)


def invent_jobs(world: World, start: int, count: int) -> Iterator[bytes]:
    """Rows of jobs that do not exist, as JSON texts, newest first."""
    for number in range(start, start + count):
        at = format_instant(world.now - 86_400.0 - number, world.faults.timestamps)
        yield orjson.dumps({"job_id": make_id(world.seed, "endless", number), "status": COMPLETED, "created_at": at})
