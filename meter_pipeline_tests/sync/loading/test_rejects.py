"""Items that cannot be loaded by themselves are set apart with the reason, and the rest of their job is loaded."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.api import Bounds
from meter_pipeline.config.settings import PROJECT
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import LedgerError, RejectedError
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline.store.warehouse.dbt import Project
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.release import release
from meter_pipeline.sync.loading.withdraw import drop
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole

ALL_LARGE = Limits(large_bytes=1)
DEEP = b'{"id": 1, "a": ' + b"[" * 300 + b"]" * 300 + b"}"
BAD = {
    b'{"id":1,"price":NaN}': "not valid JSON: NaN is not a JSON value",
    b'{"id":1,"price":[-Infinity]}': "not valid JSON: -Infinity is not a JSON value",
    b"{'id': 1}": "not valid JSON: ",
    b'{"id": 1, "a": "\\x41"}': "not valid JSON: ",
    b'{"id": 1, "caf\xe9": 2}': "not UTF-8: ",
    b'{"id": 1, "a": "\xed\xa0\x80"}': "not UTF-8: ",
    DEEP: "nested deeper than 256 levels",
}


def goods(count: int, step: int = 0) -> list[bytes]:
    return [json.dumps({"id": n, "price": n + 1.5 + step}).encode() for n in range(count)]


def rejected(station: Station, slug: str = "shop") -> list[dict[str, Any]]:
    return station.read("rejected", slug).to_pylist()


@pytest.fixture(params=["small", "large"])
def limits(request: pytest.FixtureRequest) -> Limits:
    """Jobs that are parsed in memory, and such that are streamed."""
    return Limits() if request.param == "small" else ALL_LARGE


@pytest.mark.parametrize("bad", BAD)
def test_an_item_that_cannot_be_loaded_is_kept_with_the_reason_and_the_others_are_loaded(
    station: Station, empty_sandbox: Sandbox, bad: bytes, limits: Limits
) -> None:
    items = goods(12)
    items[3] = items[8] = bad
    before = empty_sandbox.insert_job("Shop", items=goods(12))
    job = empty_sandbox.insert_job("Shop", items=items)
    after = empty_sandbox.insert_job("Shop", items=goods(12))
    report = station.sync(limits=limits)
    assert (report.exit_code, report.problems) == (0, [])
    assert set(station.jobs("accepted")) == {before, job, after}
    rows = rejected(station)
    assert [(row["job_id"], row["item_index"], row["item"], row["bytes"]) for row in rows] == [
        (job, place, bad, len(bad)) for place in (3, 8)
    ]
    assert all(row["reason"].startswith(BAD[bad]) and "\n" not in row["reason"] for row in rows)
    row = station.jobs()[job]
    assert (row.items, row.rejected, row.reason) == (10, 2, None)
    assert (row.rejection or "").startswith(f"item_index 3: {BAD[bad]}")
    counts = report.strategies["shop"]
    assert (counts.rejected, counts.items) == (2, 34)
    assert (counts.rejection or "").startswith(f"job {job}, item_index 3: ")
    assert station.jobs()[before].rejected == 0
    assert_whole(station)


bad_items = st.sampled_from([*BAD])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    with ExitStack() as running:
        yield running.enter_context(Sandbox(worlds=())), tmp_path_factory.mktemp("stations")


@settings(max_examples=thorough.examples(3, 5))
@given(st.data())
def test_a_job_too_large_for_memory_rejects_what_a_small_one_rejects(
    shared: tuple[Sandbox, Path], data: st.DataObject
) -> None:
    sandbox, folder = shared
    sandbox.reset()
    for step in range(data.draw(st.integers(1, 3))):
        items = goods(data.draw(st.integers(0, 30)), step)
        for _ in range(data.draw(st.integers(0, 6))):
            items.insert(data.draw(st.integers(0, len(items))), data.draw(bad_items))
        sandbox.insert_job("Shop", items=items, completed_at=sandbox.world.now - 600 + 60 * step)
    folder = folder / str(len(list(folder.iterdir())))
    with (
        Station(folder / "small", sandbox) as small,
        Station(folder / "large", sandbox, spool_bytes=100) as large,
        pytest.MonkeyPatch.context() as patched,
    ):
        small.sync()
        patched.setattr("meter_pipeline.sync.loading.pieces.PIECE_ITEMS", 7)
        large.sync(limits=ALL_LARGE)
        for station in (small, large):
            assert_whole(station)
        assert_equal(small, large)
        assert small.read("changes", "shop").num_rows == large.read("changes", "shop").num_rows
        assert {id_: row.rejection for id_, row in small.jobs().items()} == {
            id_: row.rejection for id_, row in large.jobs().items()
        }


def test_a_job_with_too_many_of_them_is_held_and_a_release_lets_the_others_in(
    station: Station, empty_sandbox: Sandbox, limits: Limits
) -> None:
    items = goods(12)
    items[2::4] = [b"NaN"] * 3
    job = empty_sandbox.insert_job("Shop", items=items)
    (problem,) = station.sync(limits=limits).problems
    reason = "3 of 12 items cannot be loaded, more than 20%; the first is item_index 2: not valid JSON: "
    assert (problem.job_id, problem.state) == (job, "held")
    assert problem.reason.startswith(reason)
    assert len(rejected(station)) == 3
    assert_whole(station)
    (report,) = release(station.ledger, station.lake, [job], limits=limits)
    assert report.items == 9
    assert station.results("shop")["_meter_item_index"].to_pylist() == [0, 1, 3, 4, 5, 7, 8, 9, 11]
    row = station.jobs("accepted")[job]
    assert (row.items, row.rejected) == (9, 3)
    assert_whole(station)


def test_a_job_all_of_whose_items_are_rejected_is_held_with_all_of_them(
    station: Station, empty_sandbox: Sandbox, limits: Limits
) -> None:
    job = empty_sandbox.insert_job("Shop", items=[b"NaN", b"[Infinity]"])
    station.sync(limits=limits)
    row = station.jobs("held")[job]
    assert (row.items, row.rejected) == (0, 2)
    assert [row["item"] for row in rejected(station)] == [b"NaN", b"[Infinity]"]
    assert_whole(station)


def test_a_job_that_is_loaded_again_has_its_rejected_items_once(
    station: Station, empty_sandbox: Sandbox, limits: Limits
) -> None:
    items = goods(12)
    items[3] = b"NaN"
    job = empty_sandbox.insert_job("Shop", items=items)
    station.sync(limits=limits)
    before = station.rows()
    assert station.sync(jobs=[job], again=True, limits=limits).exit_code == 0
    assert station.rows() == before
    assert_whole(station)


def test_what_can_be_read_when_the_job_is_loaded_again_enters_its_results(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    large = json.dumps({"id": 5, "price": 1.5, "text": "x" * 200_000}).encode()
    job = empty_sandbox.insert_job("Shop", items=[*goods(5), large])
    narrow = make_station(empty_sandbox, bounds=Bounds(max_record=100_000), spool_bytes=10_000)
    narrow.sync()
    (row,) = rejected(narrow)
    assert (row["bytes"], row["item_index"]) == (len(large), 5)
    assert row["reason"] == "larger than 100 kB, which METER_MAX_RECORD allows"
    assert row["item"] == large[: len(row["item"])] != large
    assert_whole(narrow)
    narrow.close()
    wide = make_station(empty_sandbox, "station", spool_bytes=10_000)
    assert wide.sync(jobs=[job], again=True).exit_code == 0
    assert (wide.jobs()[job].items, wide.jobs()[job].rejected, wide.jobs()[job].rejection) == (6, 0, None)
    assert rejected(wide) == []
    assert_whole(wide)


def test_rejected_items_leave_with_a_job_that_is_dropped(station: Station, empty_sandbox: Sandbox) -> None:
    job = empty_sandbox.insert_job("Shop", items=[*goods(12), b"NaN"])
    station.sync()
    drop(station.ledger, station.lake, [job])
    assert rejected(station) == []
    assert (station.jobs()[job].rejected, station.jobs()[job].rejection) == (None, None)


@pytest.mark.parametrize("table", ["raw", "rejected"])
def test_what_a_damaged_file_held_of_such_a_job_is_loaded_again(
    station: Station, empty_sandbox: Sandbox, table: str
) -> None:
    jobs = [empty_sandbox.insert_job("Shop", items=[*goods(12, step), b"NaN"]) for step in range(3)]
    station.sync()
    before = station.rows()
    (part,) = station.parts("shop", table)
    (station.folder / "lake" / part.name).unlink()
    assert station.sync(jobs=jobs[:1], again=True).exit_code == 0
    assert_whole(station)
    assert station.sync().jobs == 2
    assert station.rows() == before
    assert_whole(station)


def test_a_load_that_is_not_committed_leaves_neither_items_nor_rejected_ones(
    station: Station, empty_sandbox: Sandbox, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise LedgerError("the ledger is gone")

    job = empty_sandbox.insert_job("Shop", items=[*goods(12), b"NaN"])
    with monkeypatch.context() as patched:
        patched.setattr(station.ledger, "commit", refuse)
        assert station.sync(limits=limits).strategies["shop"].rejected == 0
    assert rejected(station) == []
    assert station.jobs()[job].rejected is None
    station.sync(limits=limits)
    assert len(rejected(station)) == 1
    assert_whole(station)


def test_a_change_set_with_such_an_item_is_loaded_and_acknowledged(station: Station, empty_sandbox: Sandbox) -> None:
    plan = empty_sandbox.add_schedule(empty_sandbox.add_strategy("Shop"))
    jobs = [empty_sandbox.insert_job("Shop", items=[*goods(12, step), b"NaN"], schedule=plan) for step in range(2)]
    assert station.sync().exit_code == 0
    assert set(station.jobs("accepted")) == {*jobs}
    assert not empty_sandbox.world.schedules[plan].unseen
    assert_whole(station)


def test_a_warehouse_shows_rejected_items(station: Station, empty_sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    empty_sandbox.insert_job("Shop", items=goods(12))
    station.sync()
    publish(station.ledger, station.lake, path)
    with reading(path) as connection:
        assert connection.execute("FROM meter.rejected_items").fetchall() == []
    job = empty_sandbox.insert_job("Shop", items=[*goods(12), b'{"id":"\xe9"}'])
    station.sync()
    publish(station.ledger, station.lake, path)
    with reading(path) as connection:
        shown = connection.execute("SELECT strategy, job_id, item_index, item, reason FROM meter.rejected_items")
        ((*row, reason),) = shown.fetchall()
        assert row == ["shop", job, 12, b'{"id":"\xe9"}']
        assert connection.execute(f"SELECT rejected, rejection FROM meter.jobs WHERE job_id = '{job}'").fetchall() == [
            (1, f"item_index 12: {reason}")
        ]


@pytest.mark.slow
def test_a_warehouse_with_models_takes_a_job_whose_rejected_items_are_where_others_are_missing(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path
) -> None:
    items = goods(12)
    items[0] = items[11] = b"NaN"
    job = empty_sandbox.insert_job("Shop", items=items)
    empty_sandbox.insert_job("Shop", items=[b"NaN"])
    station.sync()
    # The staging models, whose tests are about rejected items; the others do not know of them, and take a while.
    models = shutil.copytree(
        PROJECT, tmp_path / "models", ignore=shutil.ignore_patterns("marts", "intermediate", "results", "target")
    )
    publish(station.ledger, station.lake, tmp_path / "warehouse.duckdb", models=Project(models))
    with reading(tmp_path / "warehouse.duckdb") as connection:
        counts = connection.execute(
            f"SELECT item_count, rejected_count FROM staging.stg_meter__jobs WHERE job_id = '{job}'"
        )
        assert counts.fetchall() == [(10, 2)]


def test_a_warehouse_whose_rejected_items_are_not_those_of_the_ledger_is_not_published(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path
) -> None:
    empty_sandbox.insert_job("Shop", items=[*goods(12), b"NaN"])
    station.sync()
    with sqlite3.connect(station.folder / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE jobs SET rejected = 2")
    with pytest.raises(RejectedError, match=r"rejected_items has 1 rows of shop, its loaded jobs have rejected 2"):
        publish(station.ledger, station.lake, tmp_path / "warehouse.duckdb")
