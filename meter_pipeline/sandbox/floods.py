"""What never ends: bodies, compressed ones too, and lists of jobs."""

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
#: Of a compressed piece: some 30 MB that take 30 kB.
_PACKED = _PIECE * 300


def flooded(reply: Reply, *, compressed: bool) -> Reply:
    """The answer with its JSON carried on for ever: the list itself, or a list that the object ends in."""
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


def invented_jobs(world: World, start: int, count: int) -> Iterator[bytes]:
    """Rows of jobs that are not there, as JSON texts, each older than the one before."""
    for number in range(start, start + count):
        at = format_instant(world.now - 86_400.0 - number, world.faults.timestamps)
        yield orjson.dumps({"job_id": make_id(world.seed, "endless", number), "status": COMPLETED, "created_at": at})
