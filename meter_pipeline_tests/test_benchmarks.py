"""The benchmark measures what it says: its server serves whole worlds, and its costs are those of the command alone."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import checks, floor, report
from benchmarks.contenders import FLOOR, OURS
from benchmarks.download import download
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


def test_costs_are_told_as_multiples_of_the_floor() -> None:
    lines = [report.Line(who, 10, [report.Run({"load": Cost(wall, cpu, 0)}, 1)])
             for who, wall, cpu in ((OURS, 6.0, 3.0), (FLOOR, 2.0, 1.5))]  # fmt: skip
    assert report.over_floor(lines) == {
        OURS: {"cpu_best": 2.0, "cpu_median": 2.0, "wall_best": 3.0, "wall_median": 3.0}
    }
    assert "ours over floor: CPU 2.0 best" in report.table("small", lines)
    assert report.over_floor(lines[:1]) == {}
