"""What the runs of a contender come to, as a table for people and as a document for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.contenders import DLT, FLOOR, OURS, TUNED
from benchmarks.measure import Cost

_MB = 1_000_000
_HEAD = ("", "wall s", "", "CPU s", "", "peak MB", "requests", "rows")
_UNDER = ("", "best", "median", "best", "median", "largest", "", "")
_WIDTHS = (10, 9, 9, 9, 9, 9, 10, 12)


@dataclass(frozen=True)
class Run:
    """One run: the cost of each of its steps, and the requests the server saw."""

    steps: dict[str, Cost]
    requests: int

    @property
    def cost(self) -> Cost:
        """All steps together: seconds added, memory of the largest."""
        return sum(self.steps.values(), start=Cost(0.0, 0.0, 0))


@dataclass
class Line:
    """A contender's runs on a workload."""

    who: str
    rows: int
    runs: list[Run] = field(default_factory=list)

    def walls(self) -> list[float]:
        """Seconds of each run."""
        return [run.cost.wall for run in self.runs]

    def cpus(self) -> list[float]:
        """CPU seconds of each run."""
        return [run.cost.cpu for run in self.runs]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; seconds and bytes."""
        return {
            "who": self.who,
            "rows": self.rows,
            "requests": self.runs[-1].requests,
            "wall": {"best": min(self.walls()), "median": median(self.walls())},
            "cpu": {"best": min(self.cpus()), "median": median(self.cpus())},
            "memory": max(run.cost.memory for run in self.runs),
            "runs": [
                {"requests": run.requests, "steps": {name: vars(cost) for name, cost in run.steps.items()}}
                for run in self.runs
            ],
        }


def ratios(lines: list[Line]) -> dict[str, dict[str, float]]:
    """How many times faster ours was than each dlt, best against best and median against median, wall and CPU time."""
    by_name = {line.who: line for line in lines}
    ours = by_name.get(OURS)
    if ours is None:
        return {}
    return {
        name: {
            "wall_best": min(other.walls()) / min(ours.walls()),
            "wall_median": median(other.walls()) / median(ours.walls()),
            "cpu_best": min(other.cpus()) / min(ours.cpus()),
            "cpu_median": median(other.cpus()) / median(ours.cpus()),
        }
        for name in (DLT, TUNED)
        if (other := by_name.get(name)) is not None
    }


def over_floor(lines: list[Line]) -> dict[str, dict[str, float]]:
    """CPU and wall time of each contender that stores something, over that of the floor: best and median."""
    by_name = {line.who: line for line in lines}
    floor = by_name.get(FLOOR)
    if floor is None:
        return {}
    return {
        name: {
            "cpu_best": min(other.cpus()) / min(floor.cpus()),
            "cpu_median": median(other.cpus()) / median(floor.cpus()),
            "wall_best": min(other.walls()) / min(floor.walls()),
            "wall_median": median(other.walls()) / median(floor.walls()),
        }
        for name in (OURS, DLT, TUNED)
        if (other := by_name.get(name)) is not None
    }


def table(title: str, lines: list[Line]) -> str:
    """A workload's table, with the ratio below it."""
    out = [title, _cells(_HEAD), _cells(_UNDER)]
    for line in lines:
        numbers = (*_pair(line.walls()), *_pair(line.cpus()))
        peak = max(run.cost.memory for run in line.runs) / _MB
        out.append(_cells((line.who, *numbers, f"{peak:,.0f}", f"{line.runs[-1].requests:,}", f"{line.rows:,}")))
    for line in lines:
        if len(line.runs[0].steps) > 1:
            steps = (f"{name} {min(run.steps[name].wall for run in line.runs):.2f} s" for name in line.runs[0].steps)
            out.append(f"  {line.who}, best of each step: {', '.join(steps)}")
    for name, found in ratios(lines).items():
        out.append(
            f"  {name} / ours: wall {found['wall_best']:.1f} best, {found['wall_median']:.1f} median; "
            f"CPU {found['cpu_best']:.1f} best, {found['cpu_median']:.1f} median"
        )
    for name, found in over_floor(lines).items():
        out.append(
            f"  {name} over floor: CPU {found['cpu_best']:.1f} best, {found['cpu_median']:.1f} median; "
            f"wall {found['wall_best']:.1f} best, {found['wall_median']:.1f} median"
        )
    return "\n".join(out)


def _pair(values: list[float]) -> tuple[str, str]:
    return f"{min(values):.2f}", f"{median(values):.2f}"


def _cells(values: tuple[str, ...]) -> str:
    first, *rest = (value.rjust(width) for value, width in zip(values, _WIDTHS, strict=True))
    return values[0].ljust(len(first)) + "".join(rest)
