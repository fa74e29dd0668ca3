"""Which requests are retried, which are not, and how long the client waits before a retry."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from meter_pipeline.api import (
    MeterAuthError,
    MeterBadRequest,
    MeterBadResponse,
    MeterClient,
    MeterConnectionError,
    MeterError,
    MeterForbidden,
    MeterNotFound,
    MeterRateLimited,
    MeterServerError,
)
from meter_pipeline.api.retries import Pace, Waiting, requested_wait
from meter_pipeline_tests.api.scripted import HANG_UP, Answer, ScriptedServer

Serve = Callable[..., ScriptedServer]
Connect = Callable[..., MeterClient]

JOB = Answer(json={"job_id": "j1", "status": "completed", "results": [{"a": 1}], "item_count": 1})
PAGE = Answer(502, body=b"<html><title>502 Bad Gateway</title></html>", headers={"Content-Type": "text/html"})


@pytest.mark.parametrize(
    "fault",
    [
        Answer(429, {"detail": "slow down"}, headers={"Retry-After": "7"}),
        Answer(408, {"detail": "too slow"}),
        Answer(500, {"detail": "oops"}),
        Answer(503, {"detail": "later"}),
        Answer(504, body=b""),
        PAGE,
        HANG_UP,
        Answer(json=JOB.json, cut=20),
        Answer(json=JOB.json, cut=20, chunked=True),
        Answer(body=JOB.content[:-5]),
        Answer(body=b""),
        Answer(body=b"<html>maintenance</html>"),
        Answer(body=gzip.compress(JOB.content, mtime=0)[:-12], headers={"Content-Encoding": "gzip"}),
        Answer(body=b"no gzip", headers={"Content-Encoding": "gzip"}),
    ],
    ids=lambda fault: f"{fault.status}-{fault.content[:12]!r}-{fault.hang_up}-{fault.cut}-{fault.chunked}",
)
def test_reads_are_retried(serve: Serve, connect: Connect, fault: Answer) -> None:
    server = serve(fault, fault, JOB)
    with connect(server).job_body("j1") as body:
        assert list(body.batches()) == [[b'{"a": 1}']]
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, MeterBadRequest),
        (401, MeterAuthError),
        (403, MeterForbidden),
        (404, MeterNotFound),
        (422, MeterBadRequest),
    ],
)
def test_refused_requests_are_not_retried(serve: Serve, connect: Connect, status: int, kind: type[MeterError]) -> None:
    server = serve(Answer(status, {"detail": "no"}))
    with pytest.raises(kind, match="no") as caught:
        connect(server).job("j1")
    assert (caught.value.status, caught.value.attempts, len(server.asked)) == (status, 1, 1)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Answer(500, {"detail": "oops"}), MeterServerError),
        (Answer(429, {"detail": "oops"}), MeterRateLimited),
        (HANG_UP, MeterConnectionError),
        (Answer(body=b'{"job_id": "j1", "results": [1}]}'), MeterBadResponse),
        (Answer(json=["no job"]), MeterBadResponse),
    ],
)
def test_the_error_of_the_last_attempt_is_raised(
    serve: Serve, connect: Connect, fault: Answer, kind: type[MeterError]
) -> None:
    server = serve(fault)
    with pytest.raises(kind, match="after 3 attempts") as caught:
        connect(server, max_attempts=3).job_body("j1")
    assert (caught.value.attempts, len(server.asked)) == (3, 3)


def test_a_bad_body_is_kept_for_diagnosis(serve: Serve, connect: Connect) -> None:
    server = serve(Answer(body=b"<html>" + b"x" * 2**21))
    with pytest.raises(MeterBadResponse, match="it begins with '<html>xxx") as caught:
        connect(server, max_attempts=2, spool_bytes=2**20).job_body("j1")
    assert len(caught.value.body) <= 2**20
    assert caught.value.body.startswith(b"<html>xx")


def test_a_read_that_marks_changes_is_never_retried(serve: Serve, connect: Connect) -> None:
    for fault in (Answer(503, {"detail": "later"}), HANG_UP, Answer(json={"changes": []}, cut=3)):
        server = serve(fault)
        with pytest.raises(MeterError):
            connect(server).changes("s1", mark_seen=True)
        assert [asked.query["mark_seen"] for asked in server.asked] == ["true"]


def test_a_read_that_marks_nothing_is_retried_and_never_cached(serve: Serve, connect: Connect) -> None:
    server = serve(HANG_UP, Answer(json={"changes": [], "count": 0}))
    assert connect(server).changes("s1", mark_seen=False, filter='+a -"b c"').entries == ()
    assert server.asked[1].query == {"mark_seen": "false", "filter": '+a -"b c"'}
    assert "%2Ba" in server.asked[1].raw_query
    assert "no-store" in server.asked[1].headers["Cache-Control"]


def test_a_delete_that_had_worked_is_no_error(serve: Serve, connect: Connect) -> None:
    connect(serve(HANG_UP, Answer(404, {"detail": "Schedule not found"}))).delete_schedule("s1")
    with pytest.raises(MeterNotFound):
        connect(serve(Answer(404, {"detail": "Schedule not found"}))).delete_schedule("s1")


@pytest.mark.parametrize("answer", [Answer(204, body=b""), Answer(202, body=b"gone"), Answer(200, {"deleted": True})])
def test_a_delete_may_answer_anything(serve: Serve, connect: Connect, answer: Answer) -> None:
    connect(serve(answer)).delete_strategy("s1")


def test_updates_are_retried(serve: Serve, connect: Connect) -> None:
    server = serve(PAGE, Answer(json={"id": "s1", "enabled": False}))
    assert connect(server).update_schedule("s1", enabled=False).enabled is False
    assert [asked.payload for asked in server.asked] == [{"enabled": False}] * 2


def test_silence_ends_at_the_time_out(serve: Serve, connect: Connect) -> None:
    ended = threading.Event()
    server = serve(Answer(json={}, silence=ended))
    with pytest.raises(MeterConnectionError, match=r"no answer within 0\.1 s") as caught:
        connect(server, timeout=(1, 0.1), max_attempts=2).job("j1")
    ended.set()
    assert caught.value.timed_out


def test_no_attempt_begins_past_the_deadline(serve: Serve, connect: Connect) -> None:
    server = serve(Answer(429, {"detail": "later"}, headers={"Retry-After": "50"}))
    with pytest.raises(MeterRateLimited):
        connect(server, deadline=20, wait_scale=1).job("j1")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "100000"}, 60),
        ({"Retry-After": "-3"}, 0),
        ({"Retry-After": formatdate(1_800_000_030, usegmt=True), "Date": formatdate(1_800_000_000, usegmt=True)}, 30),
        ({"X-RateLimit-Reset": "1800000020", "Date": formatdate(1_800_000_000, usegmt=True)}, 20),
        ({"X-RateLimit-Reset": "9"}, 9),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "5"}, 5),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan", "X-RateLimit-Reset": "nan"}, None),
        ({"Retry-After": "inf"}, 60),
        ({"Retry-After": "nan", "X-RateLimit-Reset": "-inf"}, 0),
        ({}, None),
    ],
)
def test_the_server_determines_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert requested_wait(headers) == seconds


class Slept(Waiting):
    """Notes the waits instead of waiting."""

    def __init__(self) -> None:
        super().__init__(1)
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


def test_with_no_request_remaining_all_threads_wait_for_the_reset() -> None:
    slept = Slept()
    pace = Pace(None, slept)
    pace.wait()
    pace.note({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "30"})
    pace.wait()
    assert slept.waits == []
    pace.note({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"})
    pace.wait()
    pace.wait()
    assert [round(wait) for wait in slept.waits] == [30, 30]
    pace.note({"X-RateLimit-Remaining": "none", "X-RateLimit-Reset": "x"})


def test_requests_keep_their_distance_over_all_threads() -> None:
    slept = Slept()
    pace = Pace(2, slept)
    threads = [threading.Thread(target=pace.wait) for _ in range(8)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = time.monotonic() - begun
    expected = [number / 2 for number in range(8 - len(slept.waits), 8)]
    assert sorted(slept.waits) == pytest.approx(expected, abs=0.1 + passed)


def test_a_compressed_chunked_body_is_read(serve: Serve, connect: Connect) -> None:
    body = gzip.compress(json.dumps({"id": "j1", "results": [{"a": "é"}]}, ensure_ascii=False).encode())
    server = serve(Answer(body=body, headers={"Content-Encoding": "gzip"}, chunked=True))
    client = connect(server)
    with client.job_body("j1") as body_:
        assert list(body_.batches()) == [['{"a": "é"}'.encode()]]
    assert client.requests_made == 1
    assert "gzip" in server.asked[0].headers["Accept-Encoding"]
