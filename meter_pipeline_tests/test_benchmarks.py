"""The benchmark measures what it says: its server serves whole worlds, and its costs are those of the command alone."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from benchmarks import account, checks, floor, gate, growth, report
from benchmarks.contenders import FLOOR, OURS
from benchmarks.download import download
from benchmarks.history import History
from benchmarks.lengthen import Past, lengthen
from benchmarks.measure import Cost, RunFailed, run
from benchmarks.server import API_KEY, Served
from benchmarks.worlds import Totals, Workload, write_world

# More than a page of jobs, and one body bigger than the server sends in one piece.
MANY = Workload("many", 5, 25, 10, "")
BIG = Workload("big", 1, 1, 10_000, "")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Totals]]:
    folder = tmp_path_factory.mktemp("many")
    totals = write_world(MANY, folder)
    with Served(folder) as server:
        yield server, totals


def _get(server: Served, path: str, key: str = API_KEY) -> object:
    request = urllib.request.Request(server.url + path, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_every_body_is_served_and_every_request_is_counted(many: tuple[Served, Totals]) -> None:
    server, totals = many
    server.reset()
    assert download(server.url) == {"strategies": 5, "schedules": 5, "jobs": 125, "bytes": totals.body_bytes}
    assert server.counts() == {"connections": 1, "strategies": 2, "schedules": 1, "jobs": 3, "job": 125}


def test_bodies_add_up_to_the_totals(many: tuple[Served, Totals]) -> None:
    server, totals = many
    rows = [*_get(server, "/api/jobs?limit=100"), *_get(server, "/api/jobs?limit=100&offset=100")]
    jobs = [_get(server, f"/api/jobs/{row['id']}") for row in rows]
    items = [item for job in jobs for item in job["results"]]
    assert [job["item_count"] for job in jobs] == [len(job["results"]) for job in jobs]
    assert len(items) == totals.items
    assert sum(int("".join(filter(str.isdigit, item["price"]))) for item in items) == totals.cents
    assert sum(item["stock"] for item in items) == totals.stock
    assert sum(round(item["rating"] * 10) for item in items) == totals.rating_tenths


def test_lists_are_newest_first_and_filtered(many: tuple[Served, Totals]) -> None:
    server, _ = many
    rows = _get(server, "/v1/jobs?limit=100")
    made = [row["created_at"] for row in rows]
    assert made == sorted(made, reverse=True)
    strategy = _get(server, "/v1/strategies?limit=1")[0]["id"]
    assert strategy == _get(server, "/api/strategies?limit=1")[0]["strategy_id"]
    assert len(_get(server, f"/v1/jobs?limit=100&strategy_id={strategy}")) == MANY.jobs
    assert len(_get(server, f"/v1/jobs?limit=100&since={made[3]}")) == 4


def test_most_items_of_a_job_are_those_of_the_job_before(many: tuple[Served, Totals]) -> None:
    server, _ = many
    strategy = _get(server, "/v1/strategies?limit=1")[0]["id"]
    newer, older = (
        {json.dumps(item) for item in _get(server, f"/v1/jobs/{row['id']}")["results"]}
        for row in _get(server, f"/v1/jobs?limit=2&strategy_id={strategy}")
    )
    assert len(newer & older) >= len(newer) // 2


def test_a_wrong_key_is_refused(many: tuple[Served, Totals]) -> None:
    server, _ = many
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _get(server, "/v1/strategies", key="sk_live_other")


def test_a_body_bigger_than_a_piece_arrives_whole(tmp_path: Path) -> None:
    totals = write_world(BIG, tmp_path)
    assert totals.body_bytes > 2 << 20
    with Served(tmp_path) as server:
        assert download(server.url)["bytes"] == totals.body_bytes
        (row,) = _get(server, "/v1/jobs")
        assert len(_get(server, f"/v1/jobs/{row['id']}")["results"]) == totals.items


def test_a_world_is_the_same_every_time(tmp_path: Path) -> None:
    assert write_world(MANY, tmp_path / "a") == write_world(MANY, tmp_path / "b")
    assert (tmp_path / "a" / "bodies.bin").read_bytes() == (tmp_path / "b" / "bodies.bin").read_bytes()


def test_the_peak_memory_is_that_of_the_largest_process_and_not_of_who_measures(tmp_path: Path) -> None:
    ballast = b"x" * (80 << 20)
    small = run(["true"], folder=tmp_path, env=dict(os.environ))
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'len(bytearray(40 << 20))'], check=True)"
    large = run([sys.executable, "-c", script], folder=tmp_path, env=dict(os.environ))
    assert len(ballast) > 40 << 20 > small.memory
    assert 40 << 20 < large.memory < len(ballast)


def test_a_command_that_fails_or_hangs_is_an_error_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"(?s)exited with 3.*no such shop"):
        run(["sh", "-c", "echo no such shop; exit 3"], folder=tmp_path, env=dict(os.environ))
    with pytest.raises(RunFailed, match="took more than 1 s"):
        run(["sh", "-c", "sleep 60 & wait"], folder=tmp_path, env=dict(os.environ), timeout=1)


HISTORY = History(strategies=7, jobs=30, items=12, hold=2)


@pytest.fixture(scope="module")
def history() -> Iterator[Served]:
    with Served(HISTORY) as server:
        yield server


@pytest.fixture
def short_history(history: Served) -> Iterator[Served]:
    """The history before its last five runs."""
    history.show(25)
    yield history
    history.show(30)


def _listed(server: Served, query: str = "") -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    while page := _get(server, f"/api/jobs?limit=100&offset={len(rows)}{query}"):
        rows += page  # type: ignore[operator]
    return rows


def test_a_history_is_listed_newest_first_and_served_whole(history: Served) -> None:
    rows = _listed(history)
    assert len({row["id"] for row in rows}) == len(rows) == 7 * 30
    assert [row["created_at"] for row in rows] == sorted((str(row["created_at"]) for row in rows), reverse=True)
    for row in rows[::17]:
        job = _get(history, f"/v1/jobs/{row['id']}")
        assert {key: job[key] for key in row} == row
        assert len(job["results"]) == row["item_count"] == 12
        assert len({item["url"] for item in job["results"]}) == 12


def test_a_history_is_filtered_as_a_recorded_world_is(history: Served) -> None:
    rows = _listed(history)
    strategy = rows[40]["strategy_id"]
    own = [row for row in rows if row["strategy_id"] == strategy]
    assert _listed(history, f"&strategy_id={strategy}") == own
    assert _listed(history, f"&schedule_id={own[0]['schedule_id']}") == own
    for place in (0, 3, 7, 100, 209):
        since = rows[place]["created_at"]
        assert _listed(history, f"&since={since}") == rows[: place + 1]
        assert _listed(history, f"&since={since}&strategy_id={strategy}") == [r for r in own if r in rows[: place + 1]]
    assert _listed(history, "&since=2001-01-01T00:00:00Z") == rows
    assert _listed(history, "&since=2101-01-01T00:00:00Z") == _listed(history, "&status=failed") == []


def test_a_page_of_a_history_changes_a_little_and_its_hash_with_it() -> None:
    changed = kept = 0
    for number in range(2, 24):
        before, after = HISTORY.items_of(3, number - 1), HISTORY.items_of(3, number)
        rows = [HISTORY.job_rows(3, shown, range(1))[0] for shown in (number, number + 1)]
        is_held = len({json.loads(row)["content_hash"] for row in rows}) == 1
        assert is_held == (number % 2 == 1)
        assert before == after or not is_held
        changed += len(set(before) - set(after))
        kept += len(set(before) & set(after))
    assert 0 < changed < kept / 10


def test_more_jobs_appear_when_they_are_shown(short_history: Served, many: tuple[Served, Totals]) -> None:
    for server, shown, every in ((short_history, 25, 7), (many[0], 24, 5)):
        server.show(shown)
        rows = _listed(server)
        schedules = {row["schedule_id"]: row["last_run_at"] for row in _get(server, "/api/schedules")}
        server.show(shown + 1)
        more = _listed(server)
        assert more[every:] == rows
        assert len(rows) == shown * every
        later = {row["schedule_id"]: row["last_run_at"] for row in _get(server, "/api/schedules")}
        assert {row["schedule_id"]: row["created_at"] for row in more[:every]} == later
        assert all(later[key] > schedules[key] for key in schedules)
        server.show(shown)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            _get(server, f"/v1/jobs/{more[0]['id']}")
    many[0].show(MANY.jobs)


def test_unseen_changes_are_whole_jobs_until_they_are_marked_as_seen(history: Served) -> None:
    history.leave_unseen(2)
    row = _listed(history)[0]
    path = f"/api/schedules/{row['schedule_id']}/changes"
    seen = _get(history, f"{path}?mark_seen=false")
    (older, newest) = seen["changes"]
    assert (seen["count"], seen["marked_seen"]) == (2, False)
    assert newest["job_id"] == row["id"]
    assert newest["results"] == _get(history, f"/api/jobs/{row['id']}")["results"]
    assert older["created_at"] < newest["created_at"]
    assert _get(history, path)["count"] == 2
    assert _get(history, path) == {"changes": [], "count": 0, "marked_seen": True}


def test_a_history_of_two_million_jobs_begins_at_once_and_needs_no_memory(tmp_path: Path) -> None:
    script = (
        "from benchmarks.history import History; h = History(5_000, 400, 40);"
        "assert h.count_jobs(None, None, 400) == 2_000_000;"
        "assert len(h.job_rows(None, 400, range(1_999_950, 2_000_000))) == 50;"
        "h.body(4_999, 399); h.strategy_records(); h.schedule_records(400)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    assert run([sys.executable, "-c", script], folder=tmp_path, env=env).memory < 150 << 20


def test_growth_is_the_second_cost_over_the_first() -> None:
    case = growth.Case(
        "sync", 1.2, [Cost(1.0, 2.0, 100)] * 3, [Cost(3.0, 3.0, 150), Cost(2.0, 9.0, 150), Cost(2.0, 3.0, 90)]
    )
    assert (case.ratio("cpu"), case.ratio("wall"), case.ratio("memory")) == (1.5, 2.0, 1.5)
    assert case.line().split() == ["sync", "2.00", "3.00", "1.50", "2.00", "1.50", "1.2"]
    assert case.as_dict()["ratios"] == {"cpu": 1.5, "wall": 2.0, "memory": 1.5}


@pytest.mark.slow
def test_the_growth_suite_loads_with_the_command_line_and_checks_what_arrived(tmp_path: Path) -> None:
    sizes = replace(growth.QUICK, million=Workload("million", 1, 2, 200, ""))
    (case,) = growth._second_job(tmp_path, sizes, runs=1, timeout=120)
    assert (len(case.small), len(case.large)) == (1, 1)
    with Served(History(2, 3, 4)) as server:
        pipeline = growth.Pipeline(server, tmp_path / "history", 120)
        pipeline("sync")
        pipeline.check(jobs=6, items=24)
        with pytest.raises(checks.LoadDiffers, match="6 jobs and 24 items instead of 7 and 24"):
            pipeline.compare(jobs=7, items=24)


@pytest.mark.slow
def test_an_account_that_was_made_old_is_as_if_its_past_had_been_loaded(tmp_path: Path) -> None:
    size = account.Size(Workload("old", 2, 3, 6, "", changed=0.5, still=1), Past(9, timedelta(days=5), hold=2))
    write_world(size.world, tmp_path / "world")
    data = tmp_path / "data"
    with Served(tmp_path / "world") as server:
        pipeline = growth.Pipeline(server, tmp_path, 120)
        server.show(2)
        pipeline("sync")
        assert lengthen(data, size.past) == 18
        server.reset()
        pipeline("sync")
        assert "job" not in server.counts()
        names = [measured.name for measured in account._many_items(pipeline, server, data, size)]
        assert names[0] == "publish --raw, in full"
        assert len(names) == 9
    with duckdb.connect(str(data / "warehouse.duckdb"), read_only=True) as warehouse:
        # The items of a job are those that stood when it ran, and each change is one between two jobs.
        differs = warehouse.execute("""
            SELECT count(*) FROM (
                SELECT strategy, job_id, item FROM meter.items
                EXCEPT ALL
                SELECT jobs.strategy, jobs.job_id, item FROM meter.jobs JOIN meter.item_versions AS versions
                ON jobs.strategy = versions.strategy AND valid_from <= completed_at
                AND (valid_to IS NULL OR valid_to > completed_at)
            )
        """).fetchall()
        changed = warehouse.execute(
            "SELECT count(DISTINCT job_id), count(DISTINCT strategy) FROM meter.item_changes"
        ).fetchall()
    assert differs == [(0,)]
    # A page turns after each second run of the past, and once between the two jobs that were loaded.
    assert changed == [(2 * 5, 2)]


def test_the_floor_loads_the_whole_world(many: tuple[Served, Totals], tmp_path: Path) -> None:
    server, totals = many
    floor.load(server.url, tmp_path)
    checks.compare("floor", totals, checks.generic(tmp_path / floor.DATABASE, job="job_id"))
    assert len(list((tmp_path / "parquet").glob("*.parquet"))) == totals.strategies
    with pytest.raises(checks.LoadDiffers, match="stock: "):
        checks.compare("floor", totals, replace(totals, stock=totals.stock + 1))


def test_the_floor_reads_what_pyarrow_cannot() -> None:
    items = [{"a": 1, "b": {"c": [1, 2]}}, {"a": 2, "b": None}]
    for text in (json.dumps({"results": items}), json.dumps({"results": items}, indent=2)):
        assert floor.parse_items(text.encode()).to_pylist() == items
    assert floor.parse_items(b'{"results": []}').num_rows == 0


def test_costs_are_printed_as_multiples_of_the_floor() -> None:
    lines = [report.Line(who, 10, [report.Run({"load": Cost(wall, cpu, 0)}, 1)])
             for who, wall, cpu in ((OURS, 6.0, 3.0), (FLOOR, 2.0, 1.5))]  # fmt: skip
    assert report.over_floor(lines) == {
        OURS: {"cpu_best": 2.0, "cpu_median": 2.0, "wall_best": 3.0, "wall_median": 3.0}
    }
    assert "ours over floor: CPU 2.0 best" in report.table("small", lines)
    assert report.over_floor(lines[:1]) == {}


@pytest.mark.slow
def test_a_load_without_the_gate_brings_the_same_items_and_no_verdict(tmp_path: Path) -> None:
    world = Workload("gate", 2, 4, 10, "")
    case = gate.measure_world(world, tmp_path, runs=1, timeout=120)
    assert len(case.gated) == len(case.ungated) == 1
    verdicts = {}
    for module in (gate.WITH, gate.WITHOUT):
        with duckdb.connect(str(tmp_path / module / "data" / "warehouse.duckdb"), read_only=True) as warehouse:
            (verdicts[module],) = warehouse.execute("select count(audit) from meter.jobs").fetchone() or (None,)
    assert verdicts == {gate.WITH: 8, gate.WITHOUT: 0}


def test_a_wide_world_has_items_of_as_many_columns_as_it_asks_for(tmp_path: Path) -> None:
    write_world(Workload("wide", 1, 1, 2, "", columns=591), tmp_path)
    with Served(tmp_path) as server:
        (row,) = _get(server, "/api/jobs?limit=100")
        assert [len(item) for item in _get(server, f"/api/jobs/{row['id']}")["results"]] == [600, 600]
