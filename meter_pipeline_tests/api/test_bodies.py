"""Job bodies: every shape of results, items as they were received, in memory and in a spool alike."""

from __future__ import annotations

import json
import random
from contextlib import nullcontext
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.api import Job, Unusable, bodies, scan, spool
from meter_pipeline.api.bodies import JobBody
from meter_pipeline.api.bounds import Bounds
from meter_pipeline.api.decoding import change_set, job_body, object_of, rows
from meter_pipeline.api.spool import Content, Receiver
from meter_pipeline.api.syntax import Malformed
from meter_pipeline.host.scratch import Scratch
from meter_pipeline_tests.api.test_scan import values, written
from meter_pipeline_tests.behaviour.thorough import examples


def received(text: bytes, limit: int, piece: int = 37) -> Content:
    receiver = Receiver(limit)
    for start in range(0, len(text), piece):
        receiver.add(text[start : start + piece])
    return receiver.content()


@pytest.fixture(params=["in memory", "in a spool"])
def limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Where bodies are kept: with tiny windows even a small body is read as a big one."""
    if request.param == "in memory":
        return 2**20
    monkeypatch.setattr(scan, "WINDOW", 16)
    monkeypatch.setattr(spool, "WINDOW", 16)
    return 0


def items_of(body: JobBody) -> list[bytes]:
    return [item for batch in body.batches(2) for item in batch]


def body_of(results: str | None, limit: int, item_count: int | None = None) -> JobBody:
    part = "" if results is None else f'"results": {results} ,'
    count = json.dumps(item_count)
    return job_body(received(f' {{"job_id": "j1", {part} "item_count": {count}}}\n'.encode(), limit))


@pytest.mark.parametrize(
    ("results", "item_count", "shape", "items"),
    [
        ('[{"a": 1},  {"b" :[2]} ]', 2, "array", ['{"a": 1}', '{"b" :[2]}']),
        ("[ ]", 0, "array", []),
        ("[]", 0, "array", []),
        ('[1, "x", null, [3,4], {"a":5}]', 5, "array", ["1", '"x"', "null", "[3,4]", '{"a":5}']),
        ('{ "listings" : [ {"a":1} , {"a":2} ] }', 2, "wrapped", ['{"a":1}', '{"a":2}']),
        ('{"listings": []}', 0, "wrapped", []),
        ('[ { "k": [{"a":1},{"a":2},{"a":3}] } ]', 3, "wrapped", ['{"a":1}', '{"a":2}', '{"a":3}']),
        ('[{"k": [1,2,3]}]', 1, "array", ['{"k": [1,2,3]}']),
        ('[{"k": [1,2,3]}]', None, "array", ['{"k": [1,2,3]}']),
        ('[{"k": [1,2]}, {"k": [3]}]', 2, "array", ['{"k": [1,2]}', '{"k": [3]}']),
        ('{"title": "x", "tags": [1,2]}', 1, "object", ['{"title": "x", "tags": [1,2]}']),
        ("{}", 1, "object", ["{}"]),
        ('{"k": {"a": [1,2]}}', 1, "object", ['{"k": {"a": [1,2]}}']),
        ("null", None, "null", []),
        (None, None, "absent", []),
        ('"just text, [not] {items}"', 1, "scalar", ['"just text, [not] {items}"']),
        ("42", 1, "scalar", ["42"]),
    ],
)
def test_results_of_every_shape(
    results: str | None, item_count: int | None, shape: str, items: list[str], limit: int
) -> None:
    with body_of(results, limit, item_count) as body:
        assert body.shape == shape
        assert items_of(body) == [item.encode() for item in items]
        assert body.count() == len(items)


@pytest.mark.parametrize(
    "item",
    [
        "123456789012345678901234567890123456789",
        "-0.10000000000000000000000000001e-400",
        '"\\ud800 alone"',
        '"\\udc00\\ud83d\\ude00\\\\ud800"',
        '{"\\ud800": "\\udfff", "b": "\\\\"}',
        '"\\u0000"',
        '{"a": 1, "a": 2}',
        '{ "spaced" : [ 1 ,2 ] }',
        '"é€😀 \\u00e9"',
        "1" * 6000,
    ],
)
def test_items_are_the_bytes_that_were_received(item: str, limit: int) -> None:
    with body_of(f'[{item} , {{"next": {item}}}]', limit) as body:
        assert items_of(body) == [item.encode(), f'{{"next": {item}}}'.encode()]
        assert body.count() == 2


@settings(max_examples=examples(15, 2))
@given(st.lists(values, max_size=12), st.integers(0, 2**32), st.integers(1, 50), st.booleans())
def test_spooled_and_in_memory_are_the_same(items: Any, seed: int, piece: int, wrapped: bool) -> None:
    envelope = {"id": "j", "results": {"k": items} if wrapped else items, "after": {"x": [1, 2]}}
    keys = list(envelope)
    random.Random(seed).shuffle(keys)
    text = written({key: envelope[key] for key in keys}, seed).encode()
    with job_body(received(text, 2**20, piece)) as small, job_body(received(text, 0, piece)) as big:
        assert items_of(small) == items_of(big)
        assert [json.loads(item) for item in items_of(small)] == items
        assert (small.job, small.shape, small.size) == (big.job, big.shape, big.size)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"job_id": "j", "results": [1, 2', "ends in the middle"),
        (b'{"job_id": "j", "results": [1,,2]}', "not JSON"),
        (b'{"job_id": "j", "results": [1,2,]}', "not JSON"),
        (b'{"job_id": "j", "results": [1}]}', "not JSON"),
        (b'{"job_id": "j", "results": [NaN, {"a": [1}]}', "do not match|in the middle"),
        (b'{"job_id": "j", "results": [NaN, "cut]}', "ends in the middle"),
        (b'{"job_id": "j", "results": [NaN, , 1]}', "not JSON"),
        (b'{"job_id": "j", "results": NaN}', "not JSON"),
        (b'{"job_id": "j", "error": NaN, "results": [1]}', "not JSON: NaN"),
        (b'{"job_id": "j", "error": "\xff", "results": [1]}', "not UTF-8"),
        (b'{"job_id": "\xff", "results": [1]}', "not UTF-8"),
        (b'{"job_id": "j"} {"job_id": "k"}', "not JSON"),
        (b"", "ends in the middle|empty body"),
        (b"[]", "not a job"),
        (b'"text"', "not a job|neither a JSON object"),
        (b'{"status": "completed", "results": []}', "neither job_id nor id"),
        (b'{"job_id": "", "results": []}', "neither job_id nor id"),
        (b"<html>502</html>", "not JSON|neither a JSON object"),
        (b'{"job_id": "j", "parameters": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested deeper"),
        (b'{"job_id": "j", "parameters": ' + b"[" * 257 + b"]" * 257 + b"}", "nested deeper"),
        (
            b'{"job_id": "j", "results": ' + b"[" * 50_000 + b"]" * 49_999 + b"}",
            "do not match|in the middle",
        ),
    ],
)
def test_what_is_no_job_is_refused_with_the_reason(text: bytes, reason: str, limit: int) -> None:
    with pytest.raises(Malformed, match=reason):
        job_body(received(text, limit, 5000))


@pytest.mark.parametrize(
    "item",
    [
        b"NaN",
        b'{"a": -Infinity}',
        b'{"a": [1, NaN, {"b": "]}"}]}',
        b"01",
        b'"\\x"',
        b"undefined",
        b"{'a': 1}",
        b'{"a": }',
        b'"he said "hi" to"',
        b'"\xff\xfe"',
        b'{"caf\xe9": "]"}',
        b'"\xed\xa0\x80"',
        b'"tab\tand\nline"',
    ],
)
@pytest.mark.parametrize("results", [b'[%s, {"b": "\\ud800"} , %s]', b'{"k": [%s , {"b": "\\ud800"},%s]}'])
def test_an_item_that_is_not_json_is_handed_on_as_received_beside_the_others(
    item: bytes, results: bytes, limit: int
) -> None:
    text = b'{"job_id": "j", "results": ' + results % (item, item) + b', "status": "completed"}'
    with job_body(received(text, limit)) as body:
        assert items_of(body) == [item, b'{"b": "\\ud800"}', item]
        assert (body.count(), body.job.status) == (3, "completed")


@settings(max_examples=60)
@given(st.lists(values, max_size=12), st.data(), st.booleans())
def test_items_that_are_not_json_change_no_other_item(items: Any, data: st.DataObject, wrapped: bool) -> None:
    texts = [json.dumps(item).encode() for item in items]
    bad = st.sampled_from([b"NaN", b'{"a":[Infinity,"]"]}', b'{"\xff":"}"}', b'"\\x"'])
    for _ in range(data.draw(st.integers(0, 3))):
        texts.insert(data.draw(st.integers(0, len(texts))), data.draw(bad))
    results = b"[" + b" , ".join(texts) + b"]"
    text = b'{"id": "j", "results": %s, "after": [1]}' % (b'{"k": %s}' % results if wrapped else results)
    with job_body(received(text, 2**20)) as small, job_body(received(text, 0, 7)) as big:
        assert items_of(small) == items_of(big) == texts


def test_a_row_that_is_not_json_costs_itself(limit: int) -> None:
    text = b'[{"id": "a"}, {"id": "b", "parameters": {"n": NaN}}, {"id": "c"}]'
    found = rows(received(text, limit), "jobs", Job.from_json)
    assert [row.job_id if isinstance(row, Job) else row.reason for row in found] == [
        "a",
        "not JSON: NaN is not a JSON value",
        "c",
    ]


@pytest.mark.parametrize("levels", [300, 900, 990, 1_000, 1_100, 50_000])
def test_an_item_of_any_depth_is_handed_on_as_received_beside_the_others(levels: int, limit: int) -> None:
    deep = b'{"a": ' * levels + b'"]}"' + b"}" * levels
    text = b'{"job_id": "j", "results": [{"b": "\\ud800"}, ' + deep + b' , 3], "status": "completed"}'
    with job_body(received(text, limit)) as body:
        assert items_of(body) == [b'{"b": "\\ud800"}', deep, b"3"]
        assert body.job.status == "completed"


def test_the_last_of_equal_keys_counts(limit: int) -> None:
    text = b'{"job_id": "j", "results": [1], "status": "failed", "results": [2, 3], "status": "completed"}'
    with job_body(received(text, limit)) as body:
        assert (items_of(body), body.job.status) == ([b"2", b"3"], "completed")


def test_an_escaped_key_is_the_same_key(limit: int) -> None:
    with job_body(received(b'{"job_id": "j", "\\u0072esults": [1]}', limit)) as body:
        assert items_of(body) == [b"1"]


def test_a_record_survives_what_json_allows() -> None:
    job = object_of(received(b'{"id": "j", "error": "\\ud800!", "n": 1e999, "big": ' + b"9" * 5000 + b"}", 2**20))
    assert job["error"] == "\ufffd!"
    assert job["n"] == "1e999"
    assert job["big"] == "9" * 5000


def test_a_byte_order_mark_is_no_harm(limit: int) -> None:
    with job_body(received(b'\xef\xbb\xbf{"id": "j", "results": [1]}', limit)) as body:
        assert items_of(body) == [b"1"]


@pytest.mark.parametrize("envelope", ["%s", '{"items": %s}', '{"data": %s, "n": 1}', '{"results": %s}', '{"jobs": %s}'])
def test_lists_come_bare_or_in_an_envelope(envelope: str, limit: int) -> None:
    text = envelope % '[{"id": "a", "results": [{"x": "\\ud800"}]}, {"id": "b", "results": null}]'
    assert rows(received(text.encode(), limit), "jobs", dict) == [{"id": "a"}, {"id": "b"}]
    assert rows(received((envelope % " [ ] ").encode(), limit), "jobs", dict) == []


@pytest.mark.parametrize("text", [b'{"detail": "x"}', b'"x"', b'[{"id": 1},]'])
def test_what_is_no_list_is_refused(text: bytes, limit: int) -> None:
    with pytest.raises(Malformed):
        rows(received(text, limit), "jobs", dict)


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b'{"detail": "x"}', "JSON, but not a list"), (b"7", "JSON, but not a list"), (b"<html>", "not JSON")],
)
def test_a_page_of_html_is_not_called_json(text: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        rows(received(text, 1_000), "jobs", dict)
    assert caught.value.reason == reason


def test_a_row_that_cannot_be_used_costs_itself(limit: int) -> None:
    deep = "[" * 2_000 + "]" * 2_000
    text = f'[{{"id": "a"}}, 7, {{"url": "https://x.example", "key": "s3cret"}}, {{"id": "b", "parameters": {deep}}}, '
    found = rows(received((text + '{"id": "c"}]').encode(), limit), "jobs", Job.from_json)
    jobs = [row.job_id for row in found if isinstance(row, Job)]
    assert jobs == ["a", "c"]
    assert [str(row) for row in found if isinstance(row, Unusable)] == [
        "a row of jobs cannot be used (JSON, but not an object in each row)",
        "a row of jobs cannot be used (an object with neither job_id nor id): url 'https://x.example'",
        "a row of jobs cannot be used (nested deeper than 256 levels)",
    ]


def test_an_entry_of_a_change_set_that_cannot_be_used_costs_itself(limit: int) -> None:
    text = '{"changes": [{"job_id": "a", "results": [1]}, {"results": [2]}, {"job_id": "c", "results": [3]}]}'
    with change_set(received(text.encode(), limit), "s1") as changes:
        assert [entry.job.job_id for entry in changes.entries] == ["a", "c"]
        assert [row.reason for row in changes.unusable] == ["an object with neither job_id nor id"]


def test_a_change_set_carries_jobs_with_their_items(limit: int) -> None:
    text = """{"changes": [
        {"job_id": "a", "url": "https://x.example", "item_count": 2, "results": [{"t": "1"}, {"t": "2"}]},
        {"id": "b", "results": {"rows": [3]}}, {"job_id": "c"}], "count": 3, "mark_seen": true}"""
    with change_set(received(text.encode(), limit), "s1") as changes:
        assert (changes.schedule_id, changes.count, changes.marked_seen) == ("s1", 3, True)
        found = [(entry.job.job_id, entry.body and items_of(entry.body)) for entry in changes.entries]
        assert found == [("a", [b'{"t": "1"}', b'{"t": "2"}']), ("b", [b"3"]), ("c", None)]


def test_entries_of_known_jobs_come_without_their_items_and_new_ones_with_them(limit: int) -> None:
    text = """{"changes": [
        {"results": [{"job_id": "b"}], "id": "a", "item_count": 1}, {"id": "b", "results": [1, 2]}, {"results": []}]}"""
    with change_set(received(text.encode(), limit), "s1", known={"a"}) as changes:
        assert [(entry.job.job_id, entry.job.item_count) for entry in changes.entries] == [("a", 1), ("b", None)]
        assert [entry.body and items_of(entry.body) for entry in changes.entries] == [None, [b"1", b"2"]]
        assert [row.reason for row in changes.unusable] == ["an object with neither job_id nor id"]


def test_a_closed_spool_is_said_to_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "WINDOW", 16)
    body = job_body(received(b'{"id": "j1", "results": [' + b"1," * 100 + b"1]}", 0))
    body.close()
    with pytest.raises(ValueError, match="j1 is closed"):
        list(body.batches())


def test_batches_are_bounded_by_count_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes(items: int) -> list[int]:
        with body_of("[" + ",".join(["123456789"] * 25) + "]", 2**20) as body:
            return [len(batch) for batch in body.batches(items)]

    assert sizes(10) == [10, 10, 5]
    monkeypatch.setattr(bodies, "_BATCH_BYTES", 50)
    assert sizes(10) == [6, 6, 6, 6, 1]


@pytest.mark.parametrize(
    "results", ["[1, {}, [2] ]", "[]", "null", None, '{"only": [1, 2]}', '{"a": 1, "b": [2]}', '"text"']
)
def test_a_body_that_is_handed_over_is_the_same_in_another_process(results: str | None, limit: int) -> None:
    shared, body = spool.Spool(Scratch(), Bounds()), body_of(results, limit, item_count=2)
    kept = (body.job, body.shape, body.size, items_of(body))
    form = json.loads(json.dumps(body.hand_over(shared)))
    with pytest.raises(ValueError, match="closed") if body._chunks else nullcontext():
        items_of(body)
    with JobBody.taken_over(form, shared) as other:
        assert (other.job, other.shape, other.size, items_of(other)) == kept
    shared.release()


_TIMES = st.none() | st.datetimes(timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=5))]))


@given(
    st.builds(
        Job,
        job_id=st.text(min_size=1).filter(str.strip),
        url=st.none() | st.text(min_size=1),
        status=st.sampled_from(["completed", "paused", None]),
        item_count=st.none() | st.integers(0, 2**40),
        structural_signature=values,
        parameters=st.none() | st.dictionaries(st.text(), st.integers(-9, 9), min_size=1),
        created_at=_TIMES,
        completed_at=_TIMES,
    )
)
def test_a_job_is_the_same_after_json(job: Job) -> None:
    assert Job.from_json(json.loads(json.dumps(job.as_dict()))) == job
