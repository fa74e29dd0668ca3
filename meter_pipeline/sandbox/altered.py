"""Alters coming runs of a world's schedules, and lists the jobs that were altered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meter_pipeline.sandbox.alterations import Alteration, Plan
from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.kinds import KINDS, make_alteration
from meter_pipeline.sandbox.records import COMPLETED, Schedule
from meter_pipeline.sandbox.world import World


@dataclass(frozen=True, slots=True)
class AlteredJob:
    """A completed job whose items differ from the page, and how.

    `field` is the dotted path that is concerned, or empty for the whole scrape; a job with two alterations has two
    records. `is_healthy` is true for events that a person would accept, false for a broken scrape.
    """

    job_id: str
    strategy_id: str
    strategy: str
    schedule_id: str | None
    url: str
    completed_at: float  # seconds since 1970
    kind: str
    field: str
    is_healthy: bool


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for: alter the next `runs` runs of a strategy's schedules."""

    strategy: str
    alteration: Alteration
    runs: int


def alter(
    world: World, schedule: str, kind: str, field: str = "", *, runs: int | None = 1, after: int = 0,
    every: int | None = None, url: str | None = None,
) -> list[str]:  # fmt: skip
    """Alter coming runs of a schedule, or of a strategy's schedules; see `Sandbox.alter`. Returns their ids."""
    with world.lock:
        world.settle()
        alteration = make_alteration(kind, field)
        if (runs is not None and runs < 1) or after < 0 or (every is not None and every < (runs or 1)):
            raise SandboxError("runs must be 1 or more, after 0 or more, and every at least as large as runs")
        plans = _find_schedules(world, schedule)
        for plan in plans:
            plan.occasions.append(Plan(alteration, plan.runs_so_far + after, runs, every, url))
        return [plan.schedule_id for plan in plans]


def _find_schedules(world: World, wanted: str) -> list[Schedule]:
    strategies = {key for key, row in world.strategies.items() if wanted in (key, row.name)}
    plans = [row for key, row in world.schedules.items() if key == wanted or row.strategy_id in strategies]
    if not plans:
        raise SandboxError(f"{wanted!r} is not the id of a schedule, nor the name of a strategy with schedules")
    return plans


def list_altered(world: World) -> Iterator[AlteredJob]:
    """The altered jobs that are completed, oldest first: the truth that an audit is measured by."""
    for job in world.jobs:
        if job.status == COMPLETED and job.alterations:
            strategy = world.strategies.get(job.strategy_id)
            for alteration in job.alterations:
                yield AlteredJob(
                    job.job_id, job.strategy_id, strategy.name if strategy else "", job.schedule_id, job.url,
                    job.completed_at or 0.0, alteration.kind, alteration.field, KINDS[alteration.kind].is_healthy,
                )  # fmt: skip


def parse_order(text: str) -> Order:
    """Parse `STRATEGY=KIND[:FIELD][:RUNS]`, as in `New books=field_null:price:3` or `New books=zero_items`.

    Raises:
        SandboxError: The text does not have this form, or the alteration is not valid.
    """
    strategy, equals, rest = text.rpartition("=")
    kind, *parts = rest.split(":")
    runs = int(parts.pop()) if parts and parts[-1].isdecimal() else 1
    if not equals or not strategy.strip() or len(parts) > 1 or not runs:
        raise SandboxError(
            f"{text!r} is not of the form STRATEGY=KIND[:FIELD][:RUNS], e.g. New books=field_null:price:3"
        )
    return Order(strategy.strip(), make_alteration(kind.strip(), parts[0].strip() if parts else ""), runs)
