"""The tables are the same whatever the order in which jobs are loaded, and whatever fails in between."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from meter_pipeline.host.scratch import Scratch
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.sync.limits import Limits
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, flagging, insert_drifting

# Of each strategy, every shape that its items take.
JOBS = 16 if thorough.TIMES == 1 else 40
# A late job is judged by what precedes it, so verdicts may differ from order to order: here they make no difference.
LENIENT = flagging("Alpha", "Beta")
#: No job of these tests is smaller.
ALL_LARGE = Limits(large_bytes=600)


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """Forty jobs of two strategies whose columns keep changing."""
    with Sandbox(worlds=()) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def ids(world: Sandbox) -> list[str]:
    """The jobs' ids."""
    return insert_drifting(world, JOBS)


@pytest.fixture(scope="module")
def whole(world: Sandbox, ids: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """All forty jobs, loaded by one sync."""
    with Station(tmp_path_factory.mktemp("whole"), world) as station:
        assert station.sync(config=LENIENT).jobs == len(ids)
        yield station


@settings(
    max_examples=2 * thorough.TIMES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example is several syncs: shrinking takes too long
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    order=st.permutations(range(JOBS)),
    sizes=st.lists(st.integers(1, 15), min_size=3, max_size=8),
    failing=st.sets(st.integers(0, JOBS - 1), max_size=4),
    batch=st.sampled_from([600, 4_000, 8 * 2**20]),
    workers=st.integers(1, 6),
)
def test_any_order_any_batches_and_failures_in_between_give_the_same_tables(
    world: Sandbox, ids: list[str], whole: Station, order: list[int], sizes: list[int], failing: set[int], batch: int,
    workers: int,
) -> None:  # fmt: skip
    limits = Limits(workers=workers, batch_bytes=batch, large_bytes=batch)
    with tempfile.TemporaryDirectory() as folder:
        with Station(Path(folder), world, max_attempts=1) as station:
            world.set_faults(fail_jobs={ids[number] for number in failing})
            start = 0
            for size in sizes:
                wanted = [ids[number] for number in order[start : start + size]]
                start += size
                if wanted:
                    station.sync(jobs=wanted, limits=limits, config=LENIENT)
            world.clear_faults()
            assert station.sync(reconcile=True, limits=limits, config=LENIENT).exit_code == 0
            assert_whole(station)
            assert_equal(station, whole)
            assert set(station.files()) >= {part.name for slug in station.slugs for part in station.parts(slug)}


def test_a_job_too_large_for_memory_has_the_columns_of_a_small_one(
    make_station: Callable[..., Station], empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {f"key {n}": n for n in range(30)}
    items = [first, *({f"late {n}": n, "in": {f"deep {n}": "x" * 1_000, "other": n}} for n in range(20))]
    empty_sandbox.insert_job("Big", items=items)
    small, large = make_station(empty_sandbox, "small"), make_station(empty_sandbox, "large", spool_bytes=4_096)
    small.sync()
    monkeypatch.setattr("meter_pipeline.api.bodies._BATCH_BYTES", 2_000)
    large.sync(limits=ALL_LARGE)
    assert_whole(large)
    assert_equal(small, large)


def test_jobs_too_large_for_memory_are_compared_in_the_folder_that_was_chosen(
    make_station: Callable[..., Station], empty_sandbox: Sandbox, tmp_path: Path
) -> None:
    for number in range(2):
        items = [{"id": n, "price": n + number * (n % 2), "text": "x" * 50} for n in range(100)]
        empty_sandbox.insert_job("Shop", items=items, completed_at=empty_sandbox.world.now - 60 * (2 - number))
    small, large = make_station(empty_sandbox, "small"), make_station(empty_sandbox, "large")
    small.sync()
    with Scratch(tmp_path / "it's [a] spool") as scratch:
        large.lake = Lake.open(str(large.folder / "lake"), scratch)
        large.sync(limits=ALL_LARGE)
        assert len(list(scratch.folder.iterdir())) == 1
        assert large.read("changes", "shop").num_rows == small.read("changes", "shop").num_rows == 50
    assert not list(scratch.folder.iterdir())
    large.lake = Lake.open(str(large.folder / "lake"), Scratch(small.folder / "lake" / "lake.json" / "spool"))
    (problem,) = large.sync(again=True, limits=ALL_LARGE).problems
    assert "cannot be written" in problem.reason


@pytest.mark.parametrize(
    ("nested", "later"), [(False, {"n": 1}), (True, [1]), thorough.slow(True, {"n": 1}), thorough.slow(False, [1])]
)
def test_text_is_spelled_as_json_from_the_first_job_on_once_it_stands_beside_other_kinds(
    make_station: Callable[..., Station], empty_sandbox: Sandbox, later: object, nested: bool
) -> None:
    def item(value: object) -> dict[str, object]:
        return {"id": {"of": [value]} if nested else value}

    first = empty_sandbox.insert_job("Shop", items=[item("2")], completed_at=empty_sandbox.world.now - 60)
    second = empty_sandbox.insert_job("Shop", items=[item(later)], completed_at=empty_sandbox.world.now)
    whole, parts, other = (make_station(empty_sandbox, name) for name in ("whole", "parts", "other"))
    whole.sync()
    for station, order in ((parts, (first, second)), (other, (second, first))):
        for job in order:
            station.sync(jobs=[job])
        assert_equal(station, whole)
    values = [row["id"]["of"][0] if nested else row["id"] for row in whole.results("shop").to_pylist()]
    assert values == ['"2"', json.dumps(later, separators=(",", ":"))]
