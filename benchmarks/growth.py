"""What a load costs as the data grows: ratios within one run, through the command line alone.

Each case runs the same command at two sizes, in turn, and prints the second cost over the first. The goals beside the
ratios are those of this project; nothing fails when one is missed, since machines are noisy.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import checks
from benchmarks.contenders import environment
from benchmarks.history import History
from benchmarks.measure import Cost, run
from benchmarks.server import Served
from benchmarks.worlds import Workload, write_world

GROWTH = "growth"


@dataclass(frozen=True)
class Sizes:
    """How large the cases are."""

    strategies: int  # of the case of one more job
    jobs: int  # of each strategy, at the small size
    items: int  # of each job
    many: int  # strategies without news, at the small size
    linear: Workload  # at the small size
    unseen: Workload
    million: Workload


FULL = Sizes(
    20, 10, 500, 100,
    Workload("linear", 10, 10, 400, ""), Workload("unseen", 20, 5, 2_000, ""), Workload("million", 1, 2, 1_000_000, ""),
)  # fmt: skip
QUICK = Sizes(
    3, 3, 20, 5,
    Workload("linear", 2, 2, 50, ""), Workload("unseen", 3, 2, 100, ""), Workload("million", 1, 2, 5_000, ""),
)  # fmt: skip


@dataclass
class Case:
    """A command at a small and a large size."""

    name: str
    goal: float
    small: list[Cost] = field(default_factory=list)
    large: list[Cost] = field(default_factory=list)

    def ratio(self, of: str) -> float:
        """The median cost at the large size over that at the small one; `of` is wall, cpu or memory."""
        return _median(self.large, of) / _median(self.small, of)

    def line(self) -> str:
        """The case as a line of the table."""
        return (
            f"  {self.name:<52}{_median(self.small, 'cpu'):>8.2f}{_median(self.large, 'cpu'):>8.2f}"
            f"{self.ratio('cpu'):>8.2f}{self.ratio('wall'):>8.2f}{self.ratio('memory'):>8.2f}{self.goal:>8.1f}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON; seconds and bytes."""
        ratios = {of: self.ratio(of) for of in ("cpu", "wall", "memory")}
        costs = {name: [vars(cost) for cost in found] for name, found in (("small", self.small), ("large", self.large))}
        return {"goal": self.goal, "ratios": ratios, **costs}


def _median(costs: list[Cost], of: str) -> float:
    return float(median(getattr(cost, of) for cost in costs))


class Pipeline:
    """The command line on a data folder and a server."""

    def __init__(self, server: Served, folder: Path, timeout: int, *, models: bool = False) -> None:
        self._server, self._folder, self._timeout = server, folder, timeout
        self._env = environment(server.url, folder)
        if models:
            del self._env["METER_DBT_PROJECT"]

    def __call__(self, *arguments: str) -> Cost:
        """Runs a command of meter-pipeline to its end."""
        command = [str(Path(sys.executable).parent / "meter-pipeline"), *arguments]
        return run(command, folder=self._folder, env=self._env, timeout=self._timeout)

    def check(self, jobs: int, items: int) -> None:
        """Publishes, and makes sure that what was served has arrived.

        Raises:
            LoadDiffers: Other jobs or items are there.
        """
        self("publish", "--raw")
        self.compare(jobs, items)

    def compare(self, jobs: int, items: int) -> None:
        """Makes sure that the published warehouse has these numbers of jobs and items.

        Raises:
            LoadDiffers: It has others.
        """
        loaded = checks.published(self._folder / "data" / "warehouse.duckdb")
        if (loaded.jobs, loaded.items) != (jobs, items):
            raise checks.LoadDiffers(
                f"{GROWTH}: {loaded.jobs:,} jobs and {loaded.items:,} items instead of {jobs:,} and {items:,}"
            )


def measure(folder: Path, *, quick: bool, runs: int, timeout: int) -> dict[str, Any]:
    """Measures every case, prints the table, and returns the numbers: seconds, bytes and ratios."""
    sizes = QUICK if quick else FULL
    print(f"{GROWTH}: the same command at two sizes; ratios of the medians of {runs}")
    print(f"  {'':<52}{'CPU s':>8}{'CPU s':>8}{'CPU':>8}{'wall':>8}{'memory':>8}{'goal':>8}", flush=True)
    found: dict[str, Any] = {}
    measures: tuple[Callable[[Path, Sizes, int, int], list[Case]], ...] = (
        _one_more_job, _no_news, _more_items, _unseen_changes, _second_job,
    )  # fmt: skip
    for number, measure_case in enumerate(measures):
        place = folder / str(number)
        for case in measure_case(place, sizes, runs, timeout):
            print(case.line(), flush=True)
            found[case.name] = case.as_dict()
        shutil.rmtree(place, ignore_errors=True)
    print(flush=True)
    return found


def _one_more_job(folder: Path, sizes: Sizes, runs: int, timeout: int) -> list[Case]:
    """One more job of each strategy, and then a publication with models."""
    sync, publish = Case("one more job at 10 times the history: sync", 1.2), Case("  then publish, with models", 1.3)
    for times in (1, 10):
        jobs = sizes.jobs * times
        with Served(History(sizes.strategies, jobs, sizes.items)) as server:
            pipeline = Pipeline(server, folder / str(times), timeout, models=True)
            pipeline("sync")
            pipeline("publish")
            for number in range(1, runs + 1):
                server.show(jobs + number)
                (sync.small if times == 1 else sync.large).append(pipeline("sync"))
                (publish.small if times == 1 else publish.large).append(pipeline("publish"))
                shown = sizes.strategies * (jobs + number)
                pipeline.compare(shown, shown * sizes.items)
    return [sync, publish]


def _no_news(folder: Path, sizes: Sizes, runs: int, timeout: int) -> list[Case]:
    """A sync that finds nothing new."""
    case = Case("10 times the strategies, nothing new: sync", 2.0)
    for times, costs in ((1, case.small), (10, case.large)):
        with Served(History(sizes.many * times, 5, 20)) as server:
            pipeline = Pipeline(server, folder / str(times), timeout)
            pipeline("sync")
            costs += [pipeline("sync") for _ in range(runs)]
            pipeline.check(sizes.many * times * 5, sizes.many * times * 5 * 20)
    return [case]


def _more_items(folder: Path, sizes: Sizes, runs: int, timeout: int) -> list[Case]:
    """A whole load."""
    case = Case("10 times the items of each job: sync", 11.0)
    small = sizes.linear
    large = Workload(small.name, small.strategies, small.jobs, small.items * 10, "")
    for workload, costs in ((small, case.small), (large, case.large)):
        place = folder / str(workload.items)
        totals = write_world(workload, place / "world")
        with Served(place / "world") as server:
            for number in range(runs):
                pipeline = Pipeline(server, place / str(number), timeout)
                costs.append(pipeline("sync"))
            pipeline.check(totals.jobs, totals.items)
    return [case]


def _unseen_changes(folder: Path, sizes: Sizes, runs: int, timeout: int) -> list[Case]:
    """A whole load of jobs that no schedule has as unseen changes, and of the same jobs as unseen changes."""
    case = Case("all jobs are unseen changes: sync", 1.5)
    totals = write_world(sizes.unseen, folder / "world")
    with Served(folder / "world") as server:
        for number in range(runs):
            for unseen, costs in ((0, case.small), (sizes.unseen.jobs, case.large)):
                server.leave_unseen(unseen)
                pipeline = Pipeline(server, folder / f"{number}-{unseen}", timeout)
                costs.append(pipeline("sync"))
        pipeline.check(totals.jobs, totals.items)
    return [case]


def _second_job(folder: Path, sizes: Sizes, runs: int, timeout: int) -> list[Case]:
    """The first job of a huge page, and the second."""
    case = Case(f"second job of {sizes.million.items:,} items after the first: sync", 1.5)
    totals = write_world(sizes.million, folder / "world")
    with Served(folder / "world") as server:
        for number in range(runs):
            pipeline = Pipeline(server, folder / str(number), timeout)
            for shown, costs in ((1, case.small), (2, case.large)):
                server.show(shown)
                costs.append(pipeline("sync"))
            if number == runs - 1:
                pipeline.check(totals.jobs, totals.items)
            shutil.rmtree(folder / str(number))
    return [case]
