"""What an account costs that has grown old: many jobs, many files, many items; through the command line alone.

The accounts are made by `lengthen`, since loading two million jobs takes an hour. The goals beside the costs are those
of this project for two cores; nothing fails when one is missed, since machines are noisy.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.checks import LoadDiffers
from benchmarks.growth import Pipeline
from benchmarks.lengthen import Past, lengthen
from benchmarks.measure import Cost
from benchmarks.queries import ask
from benchmarks.server import Served
from benchmarks.worlds import Workload, write_world

ACCOUNT = "account"
# Jobs of each strategy that the world has: two are loaded before its past is made, the third comes as news.
_LOADED, _SERVED = 2, 3


@dataclass(frozen=True)
class Size:
    """An account: what is served, and what came before."""

    world: Workload
    past: Past

    @property
    def jobs(self) -> int:
        """Jobs without the one that comes as news."""
        return self.world.strategies * (_LOADED + self.past.runs)


@dataclass(frozen=True)
class Sizes:
    """How large the accounts are: of many strategies, of many items, and one whose models are built."""

    many: Size
    long: Size
    modelled: Size


# A few items of which half have changed: what is new must be still, or the audit doubts it after such a past.
# Two years of a job each 44 hours; a thousand runs with changes in each; two million items.
FULL = Sizes(
    Size(Workload("account", 5_000, _SERVED, 5, "", changed=0.5, still=1), Past(398, timedelta(hours=44), hold=20)),
    Size(Workload("long", 100, _SERVED, 200, "", changed=0.025), Past(998, timedelta(hours=6))),
    Size(Workload("modelled", 20, _SERVED, 1_000, ""), Past(98, timedelta(hours=6))),
)
QUICK = Sizes(
    Size(Workload("account", 20, _SERVED, 5, "", changed=0.5, still=1), Past(30, timedelta(hours=44), hold=5)),
    Size(Workload("long", 5, _SERVED, 20, "", changed=0.2), Past(30, timedelta(hours=6))),
    Size(Workload("modelled", 3, _SERVED, 50, ""), Past(20, timedelta(hours=6))),
)


@dataclass(frozen=True)
class Measured:
    """What something cost, and what it is to cost at most: seconds of CPU and bytes, if there is a goal for them."""

    name: str
    cost: Cost
    cpu_goal: float | None = None
    memory_goal: int | None = None

    def line(self) -> str:
        """The line of the table."""
        goals = [
            "" if self.cpu_goal is None else f"{self.cpu_goal:g} s",
            "" if self.memory_goal is None else f"{self.memory_goal / 1e6:,.0f} MB",
        ]
        memory = f"{self.cost.memory / 1e6:,.0f}" if self.cost.memory else ""
        goal = ", ".join(filter(None, goals))
        return f"  {self.name:<62}{self.cost.cpu:>8.2f}{self.cost.wall:>8.2f}{memory:>8}  {goal}".rstrip()

    def as_dict(self) -> dict[str, Any]:
        """For JSON; seconds and bytes."""
        return {**vars(self.cost), "cpu_goal": self.cpu_goal, "memory_goal": self.memory_goal}


def measure(folder: Path, *, quick: bool, timeout: int) -> dict[str, Any]:
    """Measures every account, prints the table, and returns the numbers: seconds and bytes."""
    sizes = QUICK if quick else FULL
    print(f"{ACCOUNT}: an account that has grown old; each command once")
    print(f"  {'':<62}{'CPU s':>8}{'wall s':>8}{'MB':>8}  goal", flush=True)
    found: dict[str, Any] = {}
    measures: tuple[tuple[Callable[[Pipeline, Served, Path, Size], Iterator[Measured]], Size], ...] = (
        (_many_strategies, sizes.many), (_many_items, sizes.long), (_with_models, sizes.modelled),
    )  # fmt: skip
    for measure_account, size in measures:
        place = folder / size.world.name
        write_world(size.world, place / "world")
        with Served(place / "world") as server:
            pipeline = Pipeline(server, place, timeout, models=measure_account is _with_models)
            server.show(_LOADED)
            pipeline("sync")
            lengthen(place / "data", size.past)
            print(f"  {size.world.strategies:,} strategies, {size.jobs:,} jobs", flush=True)
            for measured in measure_account(pipeline, server, place / "data", size):
                print(measured.line(), flush=True)
                found[f"{size.world.name}: {measured.name}"] = measured.as_dict()
        shutil.rmtree(place, ignore_errors=True)
    print(flush=True)
    return found


def _many_strategies(pipeline: Pipeline, server: Served, data: Path, size: Size) -> Iterator[Measured]:
    """Syncs and publications of very many jobs and files."""
    yield Measured("sync, nothing new", pipeline("sync"), 3)
    yield Measured("publish --raw, in full", pipeline("publish", "--raw"), 20, 10**9)
    _check(data, size.jobs)
    server.show(_SERVED)
    slug, files = _find_one(data)
    pipeline("sync", "--strategy", slug)
    yield Measured("publish --raw, one strategy has a new job", pipeline("publish", "--raw"), 20, 10**9)
    yield Measured("sync, each other strategy has a new job", pipeline("sync"))
    yield Measured("publish --raw, each other strategy has a new job", pipeline("publish", "--raw"), 20, 10**9)
    _check(data, size.jobs + size.world.strategies)
    yield from _ask(data, "count(*) of all items", 10, "SELECT count(*) FROM meter.items")
    yield from _ask(data, f"count(*) of one strategy, in {files} files", 1, f'SELECT count(*) FROM results."{slug}"')


def _many_items(pipeline: Pipeline, server: Served, data: Path, size: Size) -> Iterator[Measured]:
    """Queries of a long history."""
    yield Measured("publish --raw, in full", pipeline("publish", "--raw"))
    _check(data, size.jobs)
    slug, _ = _find_one(data)
    with duckdb.connect(str(data / "warehouse.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "SELECT max(completed_at)::VARCHAR, (max(completed_at) - INTERVAL 7 DAY)::VARCHAR, "
            "quantile_disc(completed_at, 0.5)::VARCHAR FROM meter.jobs"
        ).fetchall()
        item = connection.execute("SELECT max(item_key) FROM meter.item_versions WHERE strategy = ?", [slug]).fetchall()
    (_, week_ago, then), ((key,),) = found[0], item
    week = f"FROM meter.item_changes WHERE observed_at >= TIMESTAMPTZ '{week_ago}' AND new_number IS NOT NULL"
    columns = "strategy, item_key, field, old_number, new_number, relative_change, observed_at"
    history = f"SELECT * FROM meter.item_versions WHERE strategy = '{slug}'"
    standing = f"valid_from <= TIMESTAMPTZ '{then}' AND (valid_to IS NULL OR valid_to > TIMESTAMPTZ '{then}')"
    yield from _ask(data, "versions of one item", 0.2, f"{history} AND item_key = '{key}'")
    yield from _ask(data, "a strategy as it was at a time", 0.5, f"{history} AND {standing}")
    yield from _ask(data, "a week of changes with numbers", 0.5, f"SELECT {columns} {week}")
    yield from _ask(data, "all strategies as they are", 2, "SELECT * FROM meter.item_versions WHERE is_current")


def _with_models(pipeline: Pipeline, server: Served, data: Path, size: Size) -> Iterator[Measured]:
    """Publications with models."""
    yield Measured("publish, in full", pipeline("publish"), None, 700 * 10**6)
    _check(data, size.jobs)
    server.show(_SERVED)
    pipeline("sync")
    yield Measured("publish, each strategy has a new job", pipeline("publish"), None, 700 * 10**6)
    _check(data, size.jobs + size.world.strategies)


def _ask(data: Path, name: str, goal: float, query: str) -> Iterator[Measured]:
    """What a query costs whose rows become objects of Python, and an Arrow table."""
    for kind, cost in ask(data / "warehouse.duckdb", query).items():
        yield Measured(f"{name}, {kind}", cost, goal)


def _find_one(data: Path) -> tuple[str, int]:
    """A strategy, and the number of its files in the warehouse."""
    with duckdb.connect(str(data / "warehouse.duckdb"), read_only=True) as connection:
        row = connection.execute("SELECT strategy, count(*) FROM meter.lake_files GROUP BY ALL ORDER BY ALL").fetchone()
    assert row is not None
    return str(row[0]), int(row[1])


def _check(data: Path, jobs: int) -> None:
    """Makes sure that the warehouse has all jobs and the items of each.

    Raises:
        LoadDiffers: It has others.
    """
    with duckdb.connect(str(data / "warehouse.duckdb"), read_only=True) as connection:
        row = connection.execute(
            "SELECT count(*), sum(items), (SELECT count(*) FROM meter.items) FROM meter.jobs WHERE state = 'accepted'"
        ).fetchone()
    assert row is not None
    if row[0] != jobs or row[1] != row[2]:
        raise LoadDiffers(f"{ACCOUNT}: {row[0]:,} jobs of {row[1]:,} items, and {row[2]:,} items, instead of {jobs:,}")
