"""Bodies and listings without end, over real HTTP: each ends with one clear error, and no disk or memory fills up."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.api import Bounds, MeterClient, MeterTooLarge
from meter_pipeline.api.bodies import JobBody, LargeItem
from meter_pipeline.api.bounds import TooLarge
from meter_pipeline.api.decoding import change_set, job_body, rows
from meter_pipeline.api.paging import Endless, Walk
from meter_pipeline.api.spool import Content, Receiver, Spool
from meter_pipeline.host.scratch import Scratch
from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.api.scripted import Answer, ScriptedServer

Serve = Callable[..., ScriptedServer]
Connect = Callable[..., MeterClient]
SMALL = Bounds(max_body=3_000_000, max_record=1_000_000, max_page=2_000_000)


def received(text: bytes, bounds: Bounds, limit: int, piece: int = 100_000) -> Content:
    receiver = Receiver(limit, bounds)
    for start in range(0, len(text), piece):
        receiver.add(text[start : start + piece])
    return receiver.content()


@pytest.mark.parametrize("fault", ["endless", "bomb"])
@pytest.mark.parametrize("spool_bytes", [10_000, 10**9], ids=["on disk", "in memory"])
def test_a_body_without_end_is_given_up_at_its_bound(
    empty_sandbox: Sandbox, connect: Connect, tmp_path: Path, fault: str, spool_bytes: int
) -> None:
    job = empty_sandbox.insert_job("S", items=[{"a": 1}])
    empty_sandbox.set_faults(**{fault: 1})
    client = connect(empty_sandbox, bounds=SMALL, spool_bytes=spool_bytes, spool_folder=tmp_path / "spool")
    with pytest.raises(
        MeterTooLarge, match=r"answered 200: the body is larger than 3 MB; raise METER_MAX_BODY"
    ) as caught:
        client.job_body(job)
    assert caught.value.attempts == 1
    assert caught.value.body.startswith(b'{"')
    assert len(caught.value.body) <= 2**20
    with pytest.raises(MeterTooLarge, match=r"a page of the listing is larger than 2 MB; raise METER_MAX_PAGE"):
        list(client.job_pages())
    client.close()
    assert not list((tmp_path).rglob("spool-*"))


def test_a_bomb_takes_no_more_memory_than_it_is_read_in_pieces(empty_sandbox: Sandbox) -> None:
    """150 MB from 150 kB, by way of a disk that is never written more than that."""
    job = empty_sandbox.insert_job("S", items=[{"a": 1}])
    empty_sandbox.set_faults(bomb=1, path="/jobs/")
    script = f"""
        import resource
        from meter_pipeline.api import Bounds, MeterClient, MeterTooLarge
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        client = MeterClient({empty_sandbox.api_key!r}, base_url={empty_sandbox.url!r}, bounds=Bounds(150_000_000))
        try:
            client.job_body({job!r})
        except MeterTooLarge:
            print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 100


def test_a_bomb_inside_a_bomb_is_unpacked_no_further_than_the_bound(serve: Serve, connect: Connect) -> None:
    inner = gzip.compress(b'{"job_id":"j","results":[' + b" " * 10_000_000)
    body = gzip.compress(inner)
    server = serve(Answer(body=body, headers={"Content-Encoding": "gzip, gzip"}))
    with pytest.raises(MeterTooLarge, match="larger than 3 MB"):
        connect(server, bounds=SMALL).job_body("j")
    deflated = zlib.compress(b'{"job_id":"j","results":[' + b" " * 10_000_000)
    with pytest.raises(MeterTooLarge, match="larger than 3 MB"):
        connect(serve(Answer(body=deflated, headers={"Content-Encoding": "deflate"})), bounds=SMALL).job_body("j")


def test_an_answer_that_says_it_is_too_large_is_not_read_at_all(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    client = connect(serve(Answer(body=b'{"job_id":"j"}', headers={})), bounds=Bounds(max_body=13))
    with pytest.raises(MeterTooLarge, match="the body is larger than 13 bytes") as caught:
        client.job("j")
    assert caught.value.body == b""


def test_an_error_without_end_is_read_no_further_than_its_beginning(empty_sandbox: Sandbox, connect: Connect) -> None:
    empty_sandbox.set_faults(endless=1)
    from meter_pipeline.api import MeterNotFound

    with pytest.raises(MeterNotFound):
        connect(empty_sandbox).job("3f0c5a5e-7b0e-4c55-9a1f-2d1f0b7b6a10")


BIG = "x" * 1_000_000


@pytest.mark.parametrize("limit", [10_000, 10**9], ids=["on disk", "in memory"])
@pytest.mark.parametrize("results", [{"a": BIG, "b": 1}, BIG], ids=["an object", "a text"])
def test_results_that_are_one_item_beyond_the_bound_of_a_record_are_refused(results: Any, limit: int) -> None:
    text = json.dumps({"job_id": "j", "results": results, "item_count": 1}).encode()
    with pytest.raises(TooLarge, match="a record is larger than 1 MB"):
        job_body(received(text, SMALL, limit))
    with job_body(received(text, Bounds(max_record=5_000_000), limit)) as body:
        assert sum(map(len, body.batches())) == 1


@pytest.mark.parametrize("limit", [10_000, 10**9], ids=["on disk", "in memory"])
@pytest.mark.parametrize(
    ("results", "count", "place"),
    [
        (["small", BIG], 2, 1),
        ([BIG, "small", "small"], 3, 0),
        ([{"n": 1}] * 60_000 + [BIG] + [{"n": 2}] * 60_000, 120_001, 60_000),
        ({"k": ["small", BIG, "small"]}, 3, 1),
        ([{"k": ["small", BIG, "small"]}], 3, 1),
        ([{"k": ["small"] * 200_000}, 1], 2, 0),
    ],
    ids=["last", "first", "among many", "wrapped", "wrapped in a list", "of many values"],
)
def test_an_item_beyond_the_bound_of_a_record_costs_itself_in_every_shape(
    results: Any, count: int, place: int, limit: int, tmp_path: Path
) -> None:
    text = json.dumps({"job_id": "j", "results": results, "item_count": count}).encode()
    with job_body(received(text, Bounds(max_record=5_000_000), limit)) as body:
        whole = [item for batch in body.batches() for item in batch]
    spool = Spool(Scratch(tmp_path), SMALL)
    with job_body(received(text, SMALL, limit)) as body:
        items = [item for batch in body.batches() for item in batch]
        assert body.count() == len(items) == count
        form = body.hand_over(spool)
    with JobBody.taken_over(json.loads(json.dumps(form)), spool) as taken:
        assert [item for batch in taken.batches() for item in batch] == items
    large = items[place]
    assert isinstance(large, LargeItem)
    assert (large.size, large.most, large) == (len(whole[place]), 1_000_000, whole[place][: len(large)])
    assert 0 < len(large) <= 2**16
    del items[place], whole[place]
    assert items == whole
    assert {type(item) for item in items} == {bytes}


@pytest.mark.parametrize("limit", [10_000, 10**9], ids=["on disk", "in memory"])
def test_many_items_within_the_bound_of_a_record_may_be_as_large_as_a_body(limit: int) -> None:
    items = [{"a": "x" * 999_000}, *([{"n": 1}] * 100_000), {"b": "y" * 999_000}]
    text = json.dumps({"job_id": "j", "results": items, "item_count": len(items)}).encode()
    with job_body(received(text, Bounds(max_record=1_000_000), limit)) as body:
        assert sum(map(len, body.batches())) == len(items)


@pytest.mark.parametrize(
    "text",
    [
        b'{"job_id":"j","error":"' + b"x" * 1_100_000 + b'","results":[]}',
        b'{"job_id":"j","' + b"k" * 1_100_000 + b'":1,"results":[]}',
        b'{"job_id":"j",' + b",".join(b'"f%d":"%s"' % (n, b"x" * 300_000) for n in range(5)) + b',"results":[]}',
        b'{"job_id":"j",' + b",".join(b'"f%d":"%s"' % (n, b"x" * 1_200_000) for n in range(5)) + b"}",
    ],
    ids=["a field", "a key", "fields together", "large fields together"],
)
def test_what_a_job_says_beside_its_items_is_a_record_too(text: bytes) -> None:
    with pytest.raises(TooLarge, match="a record is larger than"):
        job_body(received(text, Bounds(max_record=1_000_000), 10_000))


def test_a_change_set_loses_no_other_change_over_an_item_that_is_too_large() -> None:
    entries = [{"job_id": "a", "results": [1]}, {"job_id": "b", "results": BIG}, {"job_id": "c", "results": [2]}]
    with change_set(received(json.dumps({"changes": entries}).encode(), SMALL, 10_000), "s") as changes:
        assert [(entry.job.job_id, entry.body is not None) for entry in changes.entries] == [
            ("a", True),
            ("b", False),
            ("c", True),
        ]


def test_a_page_of_rows_without_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter_pipeline.api.scan._MOST_PARTS", 1_000)
    text = b"[" + b",".join(b'{"id":%d}' % number for number in range(1_001)) + b"]"
    with pytest.raises(TooLarge, match="a list of more than 1,000 rows"):
        rows(received(text, SMALL, 1_000), "jobs")


def test_a_disk_that_would_be_full_is_not_filled(empty_sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    job = empty_sandbox.insert_job("S", items=[{"a": "x" * 100_000}])
    everything = shutil.disk_usage(tmp_path).total * 2
    client = connect(empty_sandbox, spool_bytes=10_000, spool_folder=tmp_path / "spool", keep_free=everything)
    with pytest.raises(
        MeterTooLarge, match=r"there is no room in .*spool: .* free; free the disk, or set METER_SPOOL_DIR"
    ) as caught:
        client.job_body(job)
    assert (caught.value.attempts, caught.value.body) == (1, b"")
    # What fits into memory needs no room.
    with connect(empty_sandbox, spool_folder=tmp_path / "spool", keep_free=everything).job_body(job) as body:
        assert body.job.job_id == job


def test_a_spool_folder_that_cannot_be_written_is_named(
    empty_sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    job = empty_sandbox.insert_job("S", items=[{"a": "x" * 100_000}])
    (tmp_path / "spool").write_text("a file stands where the folder should")
    with pytest.raises(MeterTooLarge, match="spool cannot be written"):
        connect(empty_sandbox, spool_bytes=10_000, spool_folder=tmp_path / "spool").job_body(job)


def test_a_list_of_new_jobs_for_ever_ends_with_an_error(empty_sandbox: Sandbox, connect: Connect) -> None:
    for _ in range(3):
        empty_sandbox.insert_job("S", items=[])
    empty_sandbox.set_faults(endless_jobs="new")
    with pytest.raises(
        MeterTooLarge, match=r"GET /v1/jobs: the listing does not end: after .* at offset 1,000,000,000"
    ):
        for _ in connect(empty_sandbox).job_pages():
            pass
    assert len(empty_sandbox.log) < 150


def test_a_list_of_the_same_jobs_for_ever_ends_with_an_error(empty_sandbox: Sandbox, connect: Connect) -> None:
    ids = {empty_sandbox.insert_job("S", items=[]) for _ in range(250)}
    empty_sandbox.set_faults(endless_jobs="again")
    pages, found = connect(empty_sandbox).job_pages(), set()

    def read() -> None:
        for page in pages:
            found.update(job.job_id for job in page)

    with pytest.raises(MeterTooLarge, match="the listing does not end"):
        read()
    assert found == ids
    assert len(empty_sandbox.log) < 250


def test_a_long_list_that_has_an_end_is_read_whole(empty_sandbox: Sandbox, connect: Connect) -> None:
    ids = {empty_sandbox.insert_job("S", items=[]) for _ in range(400)}
    pages = connect(empty_sandbox).job_pages(page_size=3)
    assert {job.job_id for page in pages for job in page} == ids
    assert sum("offset=1000000000" in entry.query for entry in empty_sandbox.log) == 1


@pytest.mark.parametrize(
    "page",
    [
        lambda offset, turn: [f"{turn}-{number}" for number in range(5)],
        lambda offset, turn: [f"{offset + number}" for number in range(5)],
        lambda offset, turn: ["ab"[turn % 2], f"{turn % 7}"],
        lambda offset, turn: [] if offset > 10**8 else [f"{turn % 40}-{number}" for number in range(3)],
    ],
    ids=["always others", "more for ever", "two in turn", "the same forty again, and none far away"],
)
def test_a_walk_ends_whatever_the_pages_are(page: Callable[[int, int], list[str]]) -> None:
    turns: Iterator[int] = iter(range(3_000))

    def fetch(offset: int) -> tuple[list[str], int]:
        return page(offset, next(turns)), 5

    with pytest.raises(Endless):
        for _ in Walk(fetch, str).pages():
            pass


def test_a_walk_that_seems_endless_stops_at_a_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter_pipeline.api.paging._MOST_ROWS", 1_000)

    def fetch(offset: int) -> tuple[list[str], int]:
        return ([] if offset > 10**8 else [str(offset + number) for number in range(10)]), 10

    with pytest.raises(Endless, match="more than 1,000 rows"):
        for _ in Walk(fetch, str).pages():
            pass
