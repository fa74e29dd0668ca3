"""Shares a large load among processes: Python runs one thread at a time, and most of a load is Python.

Each share is a set of strategies that no other process touches. The process that shares the load takes the first share
itself, and finishes the shares of processes that died.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from meter_pipeline.api import JobBody
from meter_pipeline.sync.limits import SECONDS_PER_ITEM, Limits
from meter_pipeline.sync.report import Problem, Progress, StrategyReport, SyncReport
from meter_pipeline.sync.selection import Selection

# Estimated time to load a job without its items.
_SECONDS_PER_JOB = 1e-3


class Process(Protocol):
    """Another process that loads a share."""

    def join(self) -> SyncReport | None:
        """Waits until the process has ended; returns what it did, or None if it died before it had loaded all."""

    def stop(self) -> None:
        """Ends the process; does nothing if it has ended."""


class Processes(Protocol):
    """Starts processes that load shares.

    Attributes:
        most: Most processes for a load, with the one that starts the others.
        helpers: Most processes beside that one which ask the API for nothing.
    """

    most: int
    helpers: int

    def start(
        self, selection: Selection, limits: Limits, progress: Progress, bodies: Collection[JobBody] = ()
    ) -> Process:
        """Starts a process that loads a selection, and hands over `bodies`, which it need not fetch then."""


@dataclass
class Weight:
    """How much of one strategy waits to be loaded."""

    jobs: int = 0
    items: int = 0

    @property
    def seconds(self) -> float:
        """Estimated time to load it."""
        return self.jobs * _SECONDS_PER_JOB + self.items * SECONDS_PER_ITEM


def share_out(
    weights: Mapping[str, Weight],
    most: int,
    process_seconds: float = Limits().process_seconds,
) -> list[list[str]]:
    """Divides strategies into shares of about the same weight; into one share if more are not worth their start.

    Args:
        weights: What waits to be loaded, by strategy id.
        most: Most shares.
        process_seconds: Estimated work that is worth another share.

    Returns:
        Strategy ids by share; only the first share may be empty.
    """
    total = sum(weight.seconds for weight in weights.values())
    count = min(most, len(weights), int(total / process_seconds) + 1)
    shares: list[list[str]] = [[] for _ in range(max(count, 1))]
    seconds = [0.0 for _ in shares]
    for strategy_id in sorted(weights, key=lambda strategy_id: -weights[strategy_id].seconds):
        lightest = seconds.index(min(seconds))
        shares[lightest].append(strategy_id)
        seconds[lightest] += weights[strategy_id].seconds
    return [share for number, share in enumerate(shares) if share or number == 0]


def merge(report: SyncReport, other: SyncReport) -> None:
    """Adds the report of another process to a report."""
    report.requests += other.requests
    report.problems += other.problems
    for slug in other.skipped:
        report.skip(slug, other.holders[slug])
    report.stopped = report.stopped or other.stopped
    for slug, strategy in other.strategies.items():
        # Jobs that were listed as failed are in this report already.
        strategy.failed += report.strategies[slug].failed if slug in report.strategies else 0
        report.strategies[slug] = strategy
    for line in other.notes:
        report.note(line)


def to_json(report: SyncReport) -> dict[str, Any]:
    """A report as JSON values, with samples of the items: how a process reports on its share."""
    return {
        "requests": report.requests,
        "problems": [_plain(problem) for problem in report.problems],
        "skipped": report.skipped,
        "holders": report.holders,
        "notes": report.notes,
        "stopped": report.stopped,
        "strategies": {slug: _plain(strategy) for slug, strategy in report.strategies.items()},
    }


def from_json(form: Mapping[str, Any]) -> SyncReport:
    """The inverse of `to_json`."""
    report = SyncReport(**{name: form[name] for name in ("requests", "skipped", "holders", "notes", "stopped")})
    report.problems = [Problem(**problem) for problem in form["problems"]]
    for slug, values in form["strategies"].items():
        tuples = {name: tuple(values[name]) for name in ("new_columns", "widened")}
        report.strategies[slug] = StrategyReport(**{**values, **tuples})
    return report


def _plain(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def join_processes(shares: Sequence[tuple[Selection, Process]], report: SyncReport) -> list[Selection]:
    """Waits for all processes and merges their reports; returns the shares of the processes that died."""
    unfinished = []
    for selection, process in shares:
        other = process.join()
        if other is None:
            unfinished.append(selection)
        else:
            merge(report, other)
    return unfinished
