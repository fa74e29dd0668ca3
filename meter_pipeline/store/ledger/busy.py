"""Strategies whose jobs are unusual by the counts of the ledger: nearly all items change, or each has one item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, FromClause, Subquery, and_, func, select

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
    recent = _find_recent(latest, strategy_id)
    of_target = (jobs.c.strategy_id == recent.c.strategy_id) & (jobs.c.target_id == recent.c.target_id)
    ranked = (
        select(
            *target,
            jobs.c.job_id,
            jobs.c.completed_at,
            jobs.c["items"].label("loaded"),
            func.coalesce(jobs.c.changes, 0).label("changes"),
            func.row_number().over(partition_by=target, order_by=newest_first).label("age"),
            func.count().over(partition_by=target).label("known"),
        )
        # An outer join goes through the few targets, an inner one through all jobs.
        .select_from(recent.outerjoin(jobs, of_target & _with_items(jobs) & (jobs.c.completed_at >= recent.c.since)))
    )
    every = ranked.subquery()
    compared = (
        select(
            every,
            func.sum(every.c.changes).over(partition_by=every.c.strategy_id).label("all_changes"),
            func.sum(every.c.loaded).over(partition_by=every.c.strategy_id).label("all_loaded"),
        )
        # The first job of a target is compared with nothing.
        .where((every.c.age <= latest) & (every.c.age < every.c.known))
        .subquery()
    )
    columns = [compared.c[name] for name in ("strategy_id", "target_id", "job_id", "completed_at", "loaded", "changes")]
    order = (compared.c.strategy_id, compared.c.target_id, compared.c.completed_at, compared.c.job_id)
    busy = select(*columns).where(compared.c.all_changes >= share * compared.c.all_loaded).order_by(*order)
    with ledger.reading() as connection:
        return [ComparedJob(*row) for row in connection.execute(busy)]


def _find_recent(latest: int, strategy_id: str | None) -> Subquery:
    """Since when each target had its latest jobs, and the one before them: by the index, without sorting all jobs."""
    targets = select(jobs.c.strategy_id, jobs.c.target_id).distinct()
    if strategy_id is not None:
        targets = targets.where(jobs.c.strategy_id == strategy_id)
    target, earlier = targets.subquery(), jobs.alias()
    before = (
        select(earlier.c.completed_at)
        .where((earlier.c.strategy_id == target.c.strategy_id) & (earlier.c.target_id == target.c.target_id))
        .where(_with_items(earlier))
        .order_by(earlier.c.completed_at.desc(), earlier.c.job_id.desc())
        .offset(latest)
        .limit(1)
        .scalar_subquery()
    )
    return select(target.c.strategy_id, target.c.target_id, func.coalesce(before, "").label("since")).subquery()


def _with_items(table: FromClause) -> ColumnElement[bool]:
    # The state as an expression, which no index has: a target's jobs are few, those of a state may be all.
    return and_(table.c.state.concat("") == "accepted", table.c["items"] > 0)


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
