"""A large sync shared among processes gives the same tables as a single process, whatever happens to the others."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.config.settings import Settings
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync import beside
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.report import Silent
from meter_pipeline.sync.selection import Selection
from meter_pipeline.sync.sharding import Weight, share_out
from meter_pipeline.workers import OwnProcesses, _Process
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, insert_drifting
from meter_pipeline_tests.behaviour.thorough import slow

NAMES = ("Alpha", "Beta", "Gamma", "Delta", "Epsilon")
#: Every job is worth another process.
EAGER = Limits(process_seconds=1e-9)


@pytest.fixture
def stations(empty_sandbox: Sandbox, tmp_path: Path) -> Callable[[str], Station]:
    """Opens stations on a world of sixty jobs of five strategies."""
    insert_drifting(empty_sandbox, 60, NAMES)
    return lambda name: Station(tmp_path / name, empty_sandbox)


def fetched(sandbox: Sandbox) -> set[str]:
    """Ids of jobs that were fetched by id."""
    return {entry.path.rpartition("/")[2] for entry in sandbox.log if "/jobs/" in entry.path}


def processes(station: Station, sandbox: Sandbox, most: int = 3) -> OwnProcesses:
    """Other processes for a station."""
    return OwnProcesses(Settings(api_key=sandbox.api_key, base_url=sandbox.url, data_dir=station.folder), most)


class Counting(Silent):
    """Counts jobs that are done."""

    done = 0

    def advance(self, jobs: int) -> None:
        """Counts."""
        self.done += jobs


def test_shares_give_the_same_tables_as_a_single_process(
    stations: Callable[[str], Station], empty_sandbox: Sandbox
) -> None:
    with stations("alone") as alone, stations("shared") as shared:
        alone.sync()
        counting = Counting()
        report = shared.sync(processes=processes(shared, empty_sandbox), progress=counting, limits=EAGER)
        assert {problem.state for problem in report.problems} <= {"held"}
        assert report.jobs == counting.done == 60
        assert report.skipped == []
        assert sorted(report.strategies) == sorted(shared.slugs)
        assert report.requests > 60
        assert all(strategy.sample and strategy.latest_job_id for strategy in report.strategies.values())
        assert_whole(shared)
        assert_equal(alone, shared)
        assert shared.sync(processes=processes(shared, empty_sandbox), limits=EAGER).jobs == 0


def test_the_share_of_a_process_that_dies_is_loaded_all_the_same(
    stations: Callable[[str], Station], empty_sandbox: Sandbox
) -> None:
    class Dying(OwnProcesses):
        def start(self, *arguments: object, **named: object) -> _Process:
            process = super().start(*arguments, **named)  # type: ignore[arg-type]
            process._process.kill()
            return process

    with stations("alone") as alone, stations("shared") as shared:
        alone.sync()
        settings = Settings(api_key=empty_sandbox.api_key, base_url=empty_sandbox.url, data_dir=shared.folder)
        report = shared.sync(processes=Dying(settings, 3), limits=EAGER)
        assert {problem.state for problem in report.problems} <= {"held"}
        assert_whole(shared)
        assert_equal(alone, shared)


@pytest.mark.parametrize(
    ("most", "names", "rate", "started"),
    [(1, NAMES[:1], None, 0), (2, NAMES[:1], None, 1), slow(2, NAMES[:1], 1_000.0, 1), (2, NAMES[:2], None, 0)],
)
def test_processes_that_no_strategy_needs_help_with_large_jobs(
    empty_sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    names: Sequence[str],
    rate: float | None,
    started: int,
) -> None:
    """`started`: how many processes help to read, and again to type: none for as many strategies as processes."""
    for name in names:
        empty_sandbox.add_strategy(name, items=[])
        empty_sandbox.advance(60)
        empty_sandbox.insert_job(name, items=[{"id": number, "price": f"{number} €"} for number in range(2_000)])
    helpers: list[object] = []

    class Counted(beside._Helper):
        def __init__(self, *arguments: object) -> None:
            helpers.append(self)
            super().__init__(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(beside, "_Helper", Counted)
    with Station(tmp_path / "alone", empty_sandbox) as alone, Station(tmp_path / "shared", empty_sandbox) as shared:
        alone.sync()
        limits = replace(EAGER, large_bytes=1)
        settings = replace(processes(shared, empty_sandbox)._settings, max_requests_per_second=rate)
        report = shared.sync(processes=OwnProcesses(settings, most), limits=limits)
        assert report.jobs == len(names)
        assert len(helpers) == 2 * started
        assert_whole(shared)
        assert_equal(alone, shared)


@pytest.fixture
def unseen(empty_sandbox: Sandbox) -> None:
    """Forty jobs of four strategies, all of them unseen changes of their schedules."""
    for name in NAMES[:4]:
        empty_sandbox.add_strategy(name, items=[])
        empty_sandbox.add_schedule(name, schedule_id=f"daily-{name}")
    for number in range(40):
        empty_sandbox.advance(60)
        name = NAMES[number % 4]
        shapes: list[dict[str, Any]] = [{}, {"items": []}, {"raw": "null"}, {"raw": '{"lone": 1, "two": [2]}'}]
        items = [{"id": number * 10 + n, "text": "x" * 300, "price": n if number % 3 else f"{n} €"} for n in range(5)]
        shape = shapes[number % 4 if number > 30 else 0] or {"items": items}
        empty_sandbox.insert_job(name, schedule=f"daily-{name}", **shape)


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("spool_bytes", [500, slow(2**20)])
def test_items_of_unseen_changes_are_handed_over_and_not_fetched(
    empty_sandbox: Sandbox, make_station: Callable[..., Station], spool_bytes: int
) -> None:
    alone = make_station(empty_sandbox, "alone", spool_bytes=spool_bytes)
    shared = make_station(empty_sandbox, "shared", spool_bytes=spool_bytes)
    alone.sync(config=Config(acknowledge=False))
    by_id = fetched(empty_sandbox)
    report = shared.sync(processes=processes(shared, empty_sandbox, most=2), limits=EAGER)
    assert report.jobs == 40
    assert report.acknowledged == 40 - len(by_id)
    assert len(by_id) < 5
    assert fetched(empty_sandbox) == by_id
    assert_whole(shared)
    assert_equal(alone, shared)


@pytest.mark.usefixtures("unseen")
def test_items_for_which_the_disk_has_no_room_are_fetched(
    empty_sandbox: Sandbox, make_station: Callable[..., Station]
) -> None:
    alone, shared = make_station(empty_sandbox, "alone"), make_station(empty_sandbox, "shared")
    alone.sync(config=Config(acknowledge=False))
    before = fetched(empty_sandbox)
    settings = replace(processes(shared, empty_sandbox)._settings, keep_free=2**60)
    report = shared.sync(processes=OwnProcesses(settings, 3), limits=EAGER)
    assert report.jobs == 40
    assert len(fetched(empty_sandbox) - before) >= 20
    assert_whole(shared)
    assert_equal(alone, shared)


def test_jobs_held_by_another_process_are_reported_by_name(
    stations: Callable[[str], Station], empty_sandbox: Sandbox
) -> None:
    held = {
        name: empty_sandbox.insert_job(name, items=[{"id": 1}], item_count=7, completed_at=empty_sandbox.world.now)
        for name in NAMES
    }
    with stations("shared") as shared:
        report = shared.sync(processes=processes(shared, empty_sandbox, most=2), limits=EAGER)
        assert report.exit_code == 1
        counted = {problem.job_id for problem in report.problems if "counted 7 items" in problem.reason}
        assert counted == set(held.values())
        assert shared.ledger.last_sync() is not None


def test_a_process_ends_with_its_parent(stations: Callable[[str], Station], empty_sandbox: Sandbox) -> None:
    empty_sandbox.set_faults(slow=1.0, slow_seconds=30)
    with stations("shared") as shared:
        command = (
            "import sys, time; from pathlib import Path; from meter_pipeline.workers import OwnProcesses;"
            "from meter_pipeline.config.settings import Settings; from meter_pipeline.sync.selection import Selection;"
            "from meter_pipeline.sync.report import Silent; from meter_pipeline.sync.limits import Limits;"
            f"settings = Settings(api_key=sys.stdin.readline().strip(), base_url={empty_sandbox.url!r},"
            f" data_dir=Path({str(shared.folder)!r}));"
            "process = OwnProcesses(settings, 2).start(Selection(), Limits(workers=1), Silent());"
            "print(process._process.pid, flush=True); time.sleep(60)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as parent:
            assert parent.stdin is not None
            assert parent.stdout is not None
            parent.stdin.write(empty_sandbox.api_key + "\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            assert Path(f"/proc/{child}").exists()
            parent.kill()
        deadline = time.monotonic() + 30
        while _runs(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@given(
    weights=st.dictionaries(
        st.text("abcdefgh", min_size=1, max_size=3),
        st.builds(Weight, st.integers(0, 9_000), st.integers(0, 900_000)),
        max_size=30,
    ),
    most=st.integers(1, 6),
)
def test_every_strategy_is_in_one_share_and_shares_are_balanced(weights: dict[str, Weight], most: int) -> None:
    parts = share_out(weights, most)
    assert sorted(id_ for part in parts for id_ in part) == sorted(weights)
    assert 1 <= len(parts) <= most
    loads = [sum(weights[id_].seconds for id_ in part) for part in parts]
    if len(parts) > 1:
        assert max(loads) - min(loads) <= max(weight.seconds for weight in weights.values()) + 1e-9


def test_a_part_of_a_selection_is_the_same_in_another_process() -> None:
    whole = Selection(schedules=["s"], since="2026-03-02T00:00:00.000000Z", at_once=False, hinted=frozenset({"job"}))
    whole = replace(whole, carried=frozenset({"carried"}))
    part = whole.part(["one", "two"])
    assert Selection.from_dict(part.as_dict()).as_dict() == part.as_dict()
    assert Selection.from_dict(part.as_dict()).carried == {"carried"}
