"""Any content of a page is loaded without loss, or held with the reason, from the response to the published view."""

from __future__ import annotations

import json

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store import columns
from meter_pipeline.store.item_json import as_objects, parse_items
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline_tests.behaviour.station import Station, assert_whole
from meter_pipeline_tests.store.survival import survives

NESTED = '{"in":' * 40 + "1" + "}" * 40
ITEMS = [
    '{"v":1}',
    '{"v":2.5}',
    '{"v":"text"}',
    '{"v":{"a":1}}',
    '{"v":[1,"x"]}',
    '{"price":1,"Price":2,"PRICE":3}',
    '{"job_id":"mine","month":"May","strategy":"s","_meter_job_id":"no"}',
    '{"":1," ":2,"_":3,"名前":4,"€":5}',
    json.dumps({f"field {n}": n for n in range(600)}),
    f'{{"deep":{NESTED}}}',
    '{"n":"NaN","i":"Infinity","e":""}',
    '{"big":123456789012345678901234567890}',
    '{"big":18446744073709551615}',
    '{"huge":1e400,"tiny":-1e400}',
    '{"half":"\\ud800","nul":"a\\u0000b","\\udfff":1}',
    '{"long":"' + "x" * 10_000_000 + '"}',
    '{"zero":-0.0}',
    '{"lists":[[[[1]]],[],[[]]],"objects":{},"none":null}',
    '{"lists":[[[[2.5]]]],"objects":{"a":{}},"none":null}',
    '{"flag":true}',
    '{"flag":0}',
    '[1,2]',
    '"scalar"',
    "null",
    "7",
]  # fmt: skip


def test_every_odd_value_is_loaded_without_loss(station: Station, empty_sandbox: Sandbox) -> None:
    now = empty_sandbox.world.now
    for number, item in enumerate(ITEMS):
        empty_sandbox.insert_job("Odd", items=[item.encode()], completed_at=now + number)
    empty_sandbox.insert_job("Odd", items=[item.encode() for item in ITEMS], completed_at=now + 100)
    report = station.sync()
    assert (report.exit_code, report.problems) == (0, [])
    assert_whole(station)
    (strategy,) = station.ledger.strategies()
    raw, results = station.read("raw", "odd"), station.results("odd")
    raw = raw.sort_by([("job_id", "ascending"), ("item_index", "ascending")])
    results = results.sort_by([("_meter_job_id", "ascending"), ("_meter_item_index", "ascending")])
    assert raw["job_id"].to_pylist() == results["_meter_job_id"].to_pylist()
    values = as_objects(parse_items([text.encode() for text in raw["item"].to_pylist()]))
    fields = columns.load(strategy.fields)
    assert {field.name for field in fields} == {key for value in values for key in value}
    for column, field in zip(strategy.columns, fields, strict=True):
        for value, cell in zip(values, results[column.name].to_pylist(), strict=True):
            assert survives(value.get(field.name), cell, field.type), (field.name, column.name)
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)
    with reading(path) as connection:
        assert connection.execute("SELECT count(*), count(v), count(field_2) FROM results.odd").fetchone() == (
            50,
            10,
            2,
        )


def test_items_that_are_not_json_are_kept_with_the_reason(station: Station, empty_sandbox: Sandbox) -> None:
    for item in (b'{"a":NaN}', b'{"a":"\xff\xfe"}', b'{"a":"\xed\xa0\x80"}'):
        empty_sandbox.insert_job("Odd", items=[item])
    empty_sandbox.insert_job("Odd", items=[{"a": 1}])
    report = station.sync()
    assert [problem.state for problem in report.problems] == ["held"] * 3
    assert all(problem.reason and "\n" not in problem.reason for problem in report.problems)
    assert len(station.jobs("accepted")) == 1
    assert_whole(station)
