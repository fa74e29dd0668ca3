"""Shares a large load among processes: Python runs one thread at a time, and most of a load is Python.

Each share is a set of strategies, which no other process touches; whoever shares loads the first one itself, and what a
process has left undone that died.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from meter_pipeline.sync.report import Problem, Progress, StrategyReport, SyncReport
from meter_pipeline.sync.selection import Selection

# What a load takes, about, and from which of it on another process is worth its start. In seconds.
_PER_JOB, _PER_ITEM = 1e-3, 6e-6
_WORTH = 2.0


class Process(Protocol):
    """Another process that loads a share."""

    def join(self) -> SyncReport | None:
        """Waits for its end; what it did, `None` when it did not get to the end."""

    def stop(self) -> None:
        """Ends it; nothing when it has ended."""


class Processes(Protocol):
    """Starts processes that load shares."""

    most: int

    def start(self, selection: Selection, workers: int, progress: Progress) -> Process:
        """Starts one that loads what is selected with so many threads that fetch."""


@dataclass
class Weight:
    """How much of one strategy there is to be loaded."""

    jobs: int = 0
    items: int = 0

    @property
    def seconds(self) -> float:
        """What that takes, about."""
        return self.jobs * _PER_JOB + self.items * _PER_ITEM


def share_out(weights: Mapping[str, Weight], most: int, own: Collection[str] = ()) -> list[list[str]]:
    """Strategies in shares of about the same weight; one share where more would not pay.

    Args:
        weights: What there is to load, by strategy id.
        most: Most shares.
        own: Strategies that have to be in the first share.
    """
    total = sum(weight.seconds for weight in weights.values())
    count = min(most, len(weights), int(total / _WORTH) + 1)
    shares: list[list[str]] = [[id_ for id_ in weights if id_ in own]]
    shares += [[] for _ in range(count - 1)]
    loads = [sum(weights[id_].seconds for id_ in share) for share in shares]
    rest = [id_ for id_ in weights if id_ not in own]
    for id_ in sorted(rest, key=lambda id_: -weights[id_].seconds):
        lightest = loads.index(min(loads))
        shares[lightest].append(id_)
        loads[lightest] += weights[id_].seconds
    return [share for place, share in enumerate(shares) if share or place == 0]


def merge(report: SyncReport, other: SyncReport) -> None:
    """Takes what another process did into a report."""
    report.requests += other.requests
    report.problems += other.problems
    report.skipped += [slug for slug in other.skipped if slug not in report.skipped]
    report.stopped = report.stopped or other.stopped
    for slug, done in other.strategies.items():
        # What was found failed while jobs were listed is in this report already.
        done.failed += report.strategies[slug].failed if slug in report.strategies else 0
        report.strategies[slug] = done
    for line in other.notes:
        report.note(line)


def to_json(report: SyncReport) -> dict[str, Any]:
    """What a process tells of its share; with samples."""
    return {
        "requests": report.requests,
        "problems": [_plain(problem) for problem in report.problems],
        "skipped": report.skipped,
        "notes": report.notes,
        "stopped": report.stopped,
        "strategies": {slug: _plain(one) for slug, one in report.strategies.items()},
    }


def from_json(form: Mapping[str, Any]) -> SyncReport:
    """The inverse of `to_json`."""
    report = SyncReport(**{name: form[name] for name in ("requests", "skipped", "notes", "stopped")})
    report.problems = [Problem(**problem) for problem in form["problems"]]
    for slug, one in form["strategies"].items():
        tuples = {name: tuple(one[name]) for name in ("new_columns", "widened")}
        report.strategies[slug] = StrategyReport(**{**one, **tuples})
    return report


def _plain(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def joined(shares: Sequence[tuple[Selection, Process]], report: SyncReport) -> list[Selection]:
    """Waits for all processes; returns the shares of those that did not get to the end."""
    left = []
    for selection, process in shares:
        other = process.join()
        if other is None:
            left.append(selection)
        else:
            merge(report, other)
    return left
