"""Jobs held or dropped by hand leave results and feed as if they had never been accepted."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.ledger.troubles import find_failing
from meter_pipeline.sync import drop, hold, release
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.decisions import DecisionError
from meter_pipeline.sync.loading.release import find_alike
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, insert_drifting

JOBS = 16
#: Keys that `meter.yaml` gives: a key that is found in the jobs would depend on which jobs there are.
CONFIG = Config(strategies={slug: StrategyConfig(key=("id",)) for slug in ("alpha", "beta")})


def feed(station: Station) -> dict[str, Counter[str]]:
    """The change feed of every strategy as a multiset."""
    return {
        slug: Counter(json.dumps(row, sort_keys=True, default=str) for row in station.read("changes", slug).to_pylist())
        for slug in station.slugs
    }


def counts(station: Station) -> dict[str, tuple[Any, ...]]:
    """What the ledger counts of accepted jobs."""
    return {id_: (row.items, row.duplicates, row.changes) for id_, row in station.jobs("accepted").items()}


def assert_alike(station: Station, whole: Station) -> None:
    """Two stations have the same rows, feed and counts."""
    assert_whole(station)
    assert_equal(station, whole)
    assert feed(station) == feed(whole)
    assert counts(station) == counts(whole)


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """Jobs of two strategies whose columns keep changing."""
    with Sandbox(worlds=()) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def ids(world: Sandbox) -> list[str]:
    """The jobs' ids."""
    return insert_drifting(world, JOBS)


@pytest.fixture(scope="module")
def whole(world: Sandbox, ids: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """All jobs, loaded and never touched."""
    with Station(tmp_path_factory.mktemp("whole"), world) as station:
        assert station.sync(config=CONFIG).jobs == len(ids)
        yield station


_PROPERTY = settings(
    max_examples=thorough.examples(2, 3),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example is several loads: shrinking takes too long
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@_PROPERTY
@given(data=st.data(), large=st.sampled_from([600, 8 * 2**20]))
def test_jobs_that_are_held_or_dropped_were_never_accepted(
    world: Sandbox, ids: list[str], data: st.DataObject, large: int
) -> None:
    limits = Limits(large_bytes=large)
    chosen = st.lists(st.sampled_from(ids), unique=True, min_size=1, max_size=JOBS)
    held = data.draw(chosen)
    dropped = [job_id for job_id in data.draw(chosen) if job_id not in held]
    rest = [job_id for job_id in ids if job_id not in held and job_id not in dropped]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "touched").mkdir()
        (Path(folder) / "never").mkdir()
        with Station(Path(folder) / "touched", world) as station, Station(Path(folder) / "never", world) as never:
            station.sync(config=CONFIG)
            hold(station.ledger, station.lake, held, config=CONFIG, limits=limits)
            if dropped:
                drop(station.ledger, station.lake, dropped, config=CONFIG, limits=limits)
            if rest:
                never.sync(jobs=rest, config=CONFIG)
            assert_whole(station)
            assert set(station.jobs("held")) == set(held)
            assert set(station.jobs("dropped")) == set(dropped)
            assert counts(station) == counts(never)
            for slug in {
                job.strategy_id: never.slug(job.strategy_id) for job in never.jobs("accepted").values()
            }.values():
                assert feed(station)[slug] == feed(never)[slug]
                assert station.results(slug).schema == never.results(slug).schema
                assert station.rows()["results", slug] == never.rows()["results", slug]


@_PROPERTY
@given(data=st.data(), large=st.sampled_from([600, 8 * 2**20]))
def test_hold_and_release_in_any_order_leave_no_trace(
    world: Sandbox, ids: list[str], whole: Station, data: st.DataObject, large: int
) -> None:
    limits = Limits(large_bytes=large)
    out: set[str] = set()
    with tempfile.TemporaryDirectory() as folder, Station(Path(folder), world) as station:
        station.sync(config=CONFIG)
        for _ in range(data.draw(st.integers(1, 4))):
            inside = sorted(set(ids) - out)
            if inside and (not out or data.draw(st.booleans())):
                some = data.draw(st.lists(st.sampled_from(inside), unique=True, min_size=1))
                hold(station.ledger, station.lake, some, config=CONFIG, limits=limits)
                out |= set(some)
            else:
                some = data.draw(st.lists(st.sampled_from(sorted(out)), unique=True, min_size=1))
                release(station.ledger, station.lake, some, config=CONFIG, limits=limits)
                out -= set(some)
            assert_whole(station)
        if out:
            release(station.ledger, station.lake, sorted(out), config=CONFIG, limits=limits)
        assert_alike(station, whole)


def test_a_dropped_job_is_loaded_again_only_when_it_is_named(
    station: Station, make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    ids = insert_drifting(empty_sandbox, 6)
    station.sync(config=CONFIG)
    drop(station.ledger, station.lake, ids[2:4], " the shop\nwas closed ", config=CONFIG)
    row = station.jobs()[ids[2]]
    assert (row.state, row.reason, row.items) == ("dropped", "dropped by hand: the shop was closed", None)
    for options in ({}, {"again": True}, {"reconcile": True}, {"jobs": [ids[2]]}):
        station.sync(config=CONFIG, **options)
        assert set(station.jobs("dropped")) == set(ids[2:4])
        assert_whole(station)
    assert station.sync(config=CONFIG, jobs=ids[2:4], again=True).exit_code == 0
    assert station.jobs()[ids[2]].reason is None
    never = make_station(empty_sandbox, "never")
    never.sync(config=CONFIG)
    assert_alike(station, never)


def test_a_failed_job_that_is_dropped_fails_no_longer(station: Station, empty_sandbox: Sandbox) -> None:
    failed = empty_sandbox.insert_job("Alpha", status="failed", error="no such page")
    station.sync()
    assert [row.job_id for row in find_failing(station.ledger)] == [failed]
    drop(station.ledger, station.lake, [failed])
    station.sync(reconcile=True)
    assert station.jobs()[failed].state == "dropped"
    assert find_failing(station.ledger) == []


def test_a_job_that_is_held_by_hand_stays_held_when_it_is_loaded_again(
    station: Station, empty_sandbox: Sandbox
) -> None:
    ids = insert_drifting(empty_sandbox, 6)
    station.sync(config=CONFIG)
    hold(station.ledger, station.lake, ids[:1], "wrong country", config=CONFIG)
    before = feed(station)
    for options in ({}, {"again": True}, {"jobs": ids[:1], "again": True}):
        station.sync(config=CONFIG, **options)
        row = station.jobs()[ids[0]]
        assert (row.state, row.reason) == ("held", "held by hand: wrong country")
        assert feed(station) == before
        assert_whole(station)
    release(station.ledger, station.lake, ids[:1], config=CONFIG)
    station.sync(config=CONFIG, again=True)
    assert station.jobs()[ids[0]].state == "accepted"


def test_a_released_job_can_be_held_and_released_once_more(station: Station, empty_sandbox: Sandbox) -> None:
    held = empty_sandbox.insert_job("Shop", items=[{"id": 1}], item_count=7)
    station.sync()
    release(station.ledger, station.lake, [held])
    (withdrawn,) = hold(station.ledger, station.lake, [held])
    assert (withdrawn.slug, withdrawn.jobs, withdrawn.items) == ("shop", 1, 1)
    assert station.results("shop").num_rows == 0
    station.sync(again=True)
    assert set(station.jobs("held")) == {held}
    release(station.ledger, station.lake, [held])
    station.sync(again=True)
    assert station.jobs()[held].state == "accepted"
    assert_whole(station)


def test_columns_and_types_that_only_a_held_job_brought_go_with_it(station: Station, empty_sandbox: Sandbox) -> None:
    scrapes: list[dict[str, Any]] = [
        {"id": 1, "price": 2},
        {"id": 1, "price": "Log in", "form": "x"},
        {"id": 1, "price": 3},
    ]
    first, broken, _ = (
        empty_sandbox.insert_job("Alpha", items=[item], completed_at=empty_sandbox.world.now - 60 * (3 - number))
        for number, item in enumerate(scrapes)
    )
    station.sync(config=CONFIG)
    assert str(station.results("alpha").schema.field("price").type) == "string"
    (withdrawn,) = hold(station.ledger, station.lake, [broken], config=CONFIG)
    assert withdrawn.is_rewritten
    assert station.results("alpha").to_pylist()[-1]["price"] == 3
    assert "form" not in station.results("alpha").column_names
    (change,) = station.read("changes", "alpha").to_pylist()
    assert (change["previous_job_id"], change["old_value"], change["new_value"]) == (first, "2", "3")


def test_rows_are_made_by_the_rules_of_today_before_a_job_is_released_or_held(
    station: Station, empty_sandbox: Sandbox
) -> None:
    for number in range(3):
        items = [{"id": 1, "sku": "a", "n": number}]
        empty_sandbox.insert_job("Alpha", items=items, completed_at=empty_sandbox.world.now - 60 * number)
    held = empty_sandbox.insert_job("Alpha", items=[{"id": 1, "sku": "a"}], item_count=7)
    station.sync(config=CONFIG)
    by_sku = Config(strategies={"alpha": StrategyConfig(key=("sku",))})
    release(station.ledger, station.lake, [held], by_sku)
    assert set(station.results("alpha")["_meter_item_key"].to_pylist()) == {"a"}
    hold(station.ledger, station.lake, [held], config=CONFIG)
    assert set(station.results("alpha")["_meter_item_key"].to_pylist()) == {"1"}
    assert_whole(station)


def test_jobs_held_for_the_same_are_found_whatever_their_numbers(station: Station, empty_sandbox: Sandbox) -> None:
    empty_sandbox.add_strategy("Shop", items=[])
    alike = [empty_sandbox.insert_job("Shop", items=[{"id": n}], item_count=7 + n) for n in range(3)]
    other = empty_sandbox.insert_job("Shop", items=[{"id": 1}])
    elsewhere = empty_sandbox.insert_job("Else", items=[{"id": 1}], item_count=7)
    station.sync()
    hold(station.ledger, station.lake, [other])
    assert sorted(find_alike(station.ledger, alike[1])) == sorted(alike)
    assert find_alike(station.ledger, other) == [other]
    assert find_alike(station.ledger, elsewhere) == [elsewhere]


def test_what_cannot_be_decided_is_one_line_and_changes_nothing(station: Station, empty_sandbox: Sandbox) -> None:
    ids = insert_drifting(empty_sandbox, 4)
    waiting = empty_sandbox.insert_job("Alpha", status="running")
    station.sync(config=CONFIG)
    hold(station.ledger, station.lake, ids[:1], config=CONFIG)
    before = station.rows()
    for decide, job_id, message in (
        (hold, "nobody", "no job nobody: see `meter-pipeline jobs list`"),
        (hold, ids[0], f"job {ids[0]} is held: only accepted jobs can be held by hand"),
        (drop, waiting, f"job {waiting} is known: only accepted, held, failed and unreadable jobs can be dropped"),
        (release, ids[1], f"job {ids[1]} is accepted: only held jobs can be released"),
    ):
        with pytest.raises(DecisionError) as raised:
            decide(station.ledger, station.lake, [ids[1] if decide is not release else ids[0], job_id])
        assert str(raised.value) == message
    claim = station.ledger.claims.try_claim("beta")
    assert claim is not None
    with pytest.raises(DecisionError, match=r"beta is being loaded by .*: try again when that has ended"):
        drop(station.ledger, station.lake, ids[1:3])
    claim.release()
    assert station.rows() == before
    assert not station.jobs("dropped")
