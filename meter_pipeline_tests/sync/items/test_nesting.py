"""Items nested deeper than anything can follow: such an item is set apart, and stops nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline_tests.behaviour.station import Station, assert_whole
from meter_pipeline_tests.behaviour.thorough import slow


def nested(levels: int, inner: str = '"deep"', opening: str = '{"a":', closing: str = "}") -> str:
    """JSON with this many levels."""
    return opening * levels + inner + closing * levels


@pytest.mark.parametrize("levels", [257, *map(slow, (450, 900, 940, 980)), 1_000, slow(5_000)])
@pytest.mark.parametrize("brackets", [('{"a":', "}"), ("[", "]"), ('{"a":[null,', "]}")])
def test_an_item_nested_too_deep_is_set_apart_and_the_others_load(
    station: Station, empty_sandbox: Sandbox, levels: int, brackets: tuple[str, str]
) -> None:
    good = [empty_sandbox.insert_job("Shop", items=[{"id": 1, "n": None}]) for _ in range(2)]
    deep = nested(levels, "-0.0", *brackets)
    bad = empty_sandbox.insert_job(
        "Shop", raw=f'[{{"id": 1, "n": null}}, {deep}, {", ".join(["0"] * 3)}]', item_count=5
    )
    worse = empty_sandbox.insert_job("Shop", raw=f'[{{"id": 1}}, {deep}]', item_count=2)
    other = empty_sandbox.insert_job("Other", items=[{"id": 1}])
    report = station.sync()
    assert set(station.jobs("accepted")) == {*good, bad, other}
    (held,) = station.jobs("held").values()
    assert held.job_id == worse
    assert (held.reason or "").endswith("the first is item_index 1: nested deeper than 256 levels")
    assert [problem.job_id for problem in report.problems] == [worse]
    assert report.as_dict()["exit_code"] == 1
    rejected = station.read("rejected", "shop").select(["job_id", "item_index", "item"]).to_pylist()
    assert sorted(map(tuple, (row.values() for row in rejected))) == sorted(
        (job, 1, deep.encode()) for job in (bad, worse)
    )
    assert_whole(station)


def test_what_is_nested_as_deep_as_can_be_is_typed_keyed_compared_and_published(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path
) -> None:
    for word in ('"one"', '"two"', "null", '"\\ud800"'):
        empty_sandbox.insert_job("Shop", raw=f'[{{"id": 1, "f": {nested(255, word)}}}, {{"id": 2}}]')
        empty_sandbox.advance(hours=1)
    report = station.sync()
    assert report.exit_code == 0
    assert report.strategies["shop"].changed == 3
    assert report.as_dict()["jobs"] == 4
    assert_whole(station)
    publish(station.ledger, station.lake, tmp_path / "warehouse.duckdb")
    with reading(tmp_path / "warehouse.duckdb") as connection:
        assert connection.execute("SELECT count(*), count(f) FROM results.shop").fetchall() == [(8, 4)]


@pytest.mark.parametrize("levels", [300, 950, 2_000])
def test_a_change_set_with_such_an_entry_is_dealt_with(station: Station, empty_sandbox: Sandbox, levels: int) -> None:
    strategy = empty_sandbox.add_strategy("Shop", items=[{"id": 1}])
    plan = empty_sandbox.add_schedule(strategy, interval_seconds=3600)
    empty_sandbox.insert_job("Shop", raw=f"[{nested(levels)}]", schedule=plan)
    empty_sandbox.advance(hours=1.5)
    station.sync()
    assert empty_sandbox.world.schedules[plan].unseen == []
    assert (len(station.jobs("held")), len(station.jobs("accepted"))) == (1, 1)
