"""What the gate costs: the same world loaded with and without it, in turn; ratios of the medians within one run.

Without the gate no job is profiled or judged (see `ungated`). Both load in one process, so that the processor time is
that of the same work. The goal beside the ratios is this project's; nothing fails when it is missed, since machines are
noisy.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import checks
from benchmarks.contenders import environment
from benchmarks.measure import Cost, run
from benchmarks.server import Served
from benchmarks.worlds import QUICK, WORKLOADS, Totals, Workload, write_world

GATE = "gate"
GOAL = 1.15
WITH, WITHOUT = "meter_pipeline", "benchmarks.ungated"
WORLDS = (
    WORKLOADS["small-many"],
    WORKLOADS["medium"],
    Workload("wide", 5, 10, 100, "5 strategies x 10 jobs x 100 items of 600 columns", columns=591),
    WORKLOADS["big"],
)
SMALL_WORLDS = (
    QUICK["small-many"],
    QUICK["medium"],
    Workload("wide", 2, 5, 40, "2 strategies x 5 jobs x 40 items of 600 columns", columns=591),
    QUICK["big"],
)


@dataclass
class Case:
    """A world loaded with and without the gate."""

    name: str
    gated: list[Cost] = field(default_factory=list)
    ungated: list[Cost] = field(default_factory=list)

    def ratio(self, of: str) -> float:
        """The median cost with the gate over that without; `of` is wall, cpu or memory."""
        return _median(self.gated, of) / _median(self.ungated, of)

    def line(self) -> str:
        """The case as a line of the table."""
        return (
            f"  {self.name:<52}{_median(self.ungated, 'cpu'):>8.2f}{_median(self.gated, 'cpu'):>8.2f}"
            f"{self.ratio('cpu'):>8.2f}{self.ratio('wall'):>8.2f}{self.ratio('memory'):>8.2f}{GOAL:>8.2f}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON; seconds and bytes."""
        costs = {
            name: [vars(cost) for cost in found] for name, found in (("gated", self.gated), ("ungated", self.ungated))
        }
        return {"goal": GOAL, "ratios": {of: self.ratio(of) for of in ("cpu", "wall", "memory")}, **costs}


def _median(costs: list[Cost], of: str) -> float:
    return float(median(getattr(cost, of) for cost in costs))


def measure(folder: Path, *, quick: bool, runs: int, timeout: int) -> dict[str, Any]:
    """Measures every world, prints the table, and returns the numbers: seconds, bytes and ratios."""
    print(f"{GATE}: a sync in one process without and with the gate; ratios of the medians of {runs}")
    print(f"  {'':<52}{'CPU s':>8}{'CPU s':>8}{'CPU':>8}{'wall':>8}{'memory':>8}{'goal':>8}", flush=True)
    found: dict[str, Any] = {}
    for world in SMALL_WORLDS if quick else WORLDS:
        case = measure_world(world, folder / world.name, runs, timeout)
        print(case.line(), flush=True)
        found[world.name] = case.as_dict()
        shutil.rmtree(folder / world.name, ignore_errors=True)
    print(flush=True)
    return found


def measure_world(world: Workload, folder: Path, runs: int, timeout: int) -> Case:
    """Loads a world with and without the gate, in turn, and checks what arrived.

    Raises:
        LoadDiffers: Other items were loaded than were served.
    """
    case = Case(world.about)
    totals = write_world(world, folder / "world")
    with Served(folder / "world") as server:
        for _ in range(runs):
            for module, costs in ((WITHOUT, case.ungated), (WITH, case.gated)):
                costs.append(_load(module, server, folder / module, totals, timeout))
    return case


def _load(module: str, server: Served, folder: Path, totals: Totals, timeout: int) -> Cost:
    """Runs a sync with one of the command lines, and checks what it loaded after a publication."""
    shutil.rmtree(folder, ignore_errors=True)
    env = environment(server.url, folder) | {"METER_PROCESSES": "1"}
    cost = run([sys.executable, "-m", module, "sync"], folder=folder, env=env, timeout=timeout)
    run([sys.executable, "-m", module, "publish", "--raw"], folder=folder, env=env, timeout=timeout)
    checks.compare(GATE, totals, checks.published(folder / "data" / "warehouse.duckdb"))
    return cost
