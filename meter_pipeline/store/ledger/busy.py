"""Strategies whose jobs are unusual by the counts of the ledger: nearly all items change, or each has one item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, func, select

from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.tables import jobs


class ComparedJob(NamedTuple):
    """An accepted job with an earlier one of its target: what it scraped, when, its items, and its rows of changes."""

    strategy_id: str
    target_id: str
    job_id: str
    time: str
    items: int
    changes: int


def find_busy_jobs(ledger: Ledger, *, latest: int, share: float, strategy_id: str | None = None) -> list[ComparedJob]:
    """The latest compared jobs of strategies with many changes, by strategy, target and time.

    Args:
        ledger: The ledger.
        latest: Number of jobs of each target.
        share: A strategy is busy if these jobs have as many changes as this share of their items.
        strategy_id: Only this strategy; all when None.
    """
    target = (jobs.c.strategy_id, jobs.c.target_id)
    newest_first = (jobs.c.completed_at.desc(), jobs.c.job_id.desc())
    ranked = select(
        *target,
        jobs.c.job_id,
        jobs.c.completed_at,
        jobs.c["items"].label("loaded"),
        func.coalesce(jobs.c.changes, 0).label("changes"),
        func.row_number().over(partition_by=target, order_by=newest_first).label("age"),
        func.count().over(partition_by=target).label("known"),
    ).where((jobs.c.state == "accepted") & (jobs.c["items"] > 0))
    if strategy_id is not None:
        ranked = ranked.where(jobs.c.strategy_id == strategy_id)
    every = ranked.subquery()
    # The first job of a target is compared with nothing.
    compared = select(every).where((every.c.age <= latest) & (every.c.age < every.c.known)).subquery()
    busy = (
        select(compared.c.strategy_id)
        .group_by(compared.c.strategy_id)
        .having(func.sum(compared.c.changes) >= share * func.sum(compared.c.loaded))
    )
    columns = [compared.c[name] for name in ("strategy_id", "target_id", "job_id", "completed_at", "loaded", "changes")]
    order = (compared.c.strategy_id, compared.c.target_id, compared.c.completed_at, compared.c.job_id)
    with ledger.reading() as connection:
        found = connection.execute(select(*columns).where(compared.c.strategy_id.in_(busy)).order_by(*order))
        return [ComparedJob(id_, target_id or "", *rest) for id_, target_id, *rest in found]


def group_by_strategy(found: Sequence[ComparedJob]) -> dict[str, list[ComparedJob]]:
    """Jobs by strategy id."""
    grouped: dict[str, list[ComparedJob]] = {}
    for job in found:
        grouped.setdefault(job.strategy_id, []).append(job)
    return grouped


def find_latest_of_one(ledger: Ledger, *, few: int, latest: int) -> dict[str, dict[str, str]]:
    """The latest accepted jobs of strategies that have at least `few` accepted jobs, all of one item.

    Args:
        ledger: The ledger.
        few: Number of accepted jobs from which on a strategy counts.
        latest: Number of jobs: the strategy's latest one, and those before it on the same target.

    Returns:
        By strategy id, the times of these jobs by id, the latest job first.
    """
    accepted = jobs.c.state == "accepted"
    every = func.min(jobs.c["items"]) == 1, func.max(jobs.c["items"]) == 1, func.count() >= few
    single = select(jobs.c.strategy_id).where(accepted).group_by(jobs.c.strategy_id).having(and_(*every))
    newest_first = (jobs.c.completed_at.desc(), jobs.c.job_id.desc())
    target = func.coalesce(jobs.c.target_id, "")
    own, of_target = [jobs.c.strategy_id], [jobs.c.strategy_id, target]
    ranked = (
        select(
            jobs.c.strategy_id,
            jobs.c.job_id,
            jobs.c.completed_at,
            target.label("target"),
            func.first_value(target).over(partition_by=own, order_by=newest_first).label("latest_target"),
            func.row_number().over(partition_by=of_target, order_by=newest_first).label("age"),
        )
        .where(accepted & jobs.c.strategy_id.in_(single))
        .subquery()
    )
    query = (
        select(ranked.c.strategy_id, ranked.c.job_id, ranked.c.completed_at)
        .where((ranked.c.target == ranked.c.latest_target) & (ranked.c.age <= latest))
        .order_by(ranked.c.strategy_id, ranked.c.age)
    )
    found: dict[str, dict[str, str]] = {}
    with ledger.reading() as connection:
        for strategy_id, job_id, time in connection.execute(query):
            found.setdefault(strategy_id, {})[job_id] = time or ""
    return found
