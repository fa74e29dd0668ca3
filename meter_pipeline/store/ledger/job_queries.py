"""Questions about recorded jobs: which there are, how many, and which are accepted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from sqlalchemy import ColumnElement, Connection, and_, func, literal, select, tuple_

from meter_pipeline.store.chunks import VALUES_PER_STATEMENT, chunks
from meter_pipeline.store.ledger.rows import Counts, ItemsRow, JobRow
from meter_pipeline.store.ledger.tables import jobs, strategies


def stream_jobs(
    connection: Connection,
    strategy_ids: Sequence[str] | None,
    states: Sequence[str],
    ids: Sequence[str] | None,
) -> Iterator[JobRow]:
    """Jobs in order of strategy, time and id, fetched as they are read; `None` and no states let everything pass."""
    if ids is not None and len(ids) > VALUES_PER_STATEMENT:
        parts = (stream_jobs(connection, strategy_ids, states, part) for part in chunks(sorted(set(ids))))
        yield from sorted(chain.from_iterable(parts), key=lambda row: (row.strategy_id, row.time or "", row.job_id))
        return
    if strategy_ids is not None and len(strategy_ids) > VALUES_PER_STATEMENT:
        for part in chunks(sorted(set(strategy_ids))):
            yield from stream_jobs(connection, part, states, ids)
        return
    query = select(jobs).order_by(
        jobs.c.strategy_id,
        func.coalesce(jobs.c.completed_at, jobs.c.started_at, jobs.c.created_at, ""),
        jobs.c.job_id,
    )
    if strategy_ids is not None:
        query = query.where(jobs.c.strategy_id.in_(list(strategy_ids)))
    if states:
        query = query.where(jobs.c.state.in_(states))
    if ids is not None:
        query = query.where(jobs.c.job_id.in_(list(ids)))
    for row in connection.execution_options(stream_results=True, max_row_buffer=5_000).execute(query):
        yield JobRow(*row)


def count_jobs(connection: Connection) -> list[Counts]:
    """Jobs and items by strategy and state."""
    query = (
        select(strategies.c.slug, jobs.c.state, func.count(), func.coalesce(func.sum(jobs.c["items"]), 0))
        .join(strategies, strategies.c.strategy_id == jobs.c.strategy_id)
        .group_by(strategies.c.slug, jobs.c.state)
        .order_by(strategies.c.slug, jobs.c.state)
    )
    return [Counts(slug, state, int(count), int(items)) for slug, state, count, items in connection.execute(query)]


def count_duplicates(connection: Connection) -> dict[str, int]:
    """Items of accepted jobs that repeat the key of an earlier item of the job, by strategy id."""
    query = select(jobs.c.strategy_id, func.sum(jobs.c.duplicates)).where(jobs.c.state == "accepted")
    return {id_: int(count or 0) for id_, count in connection.execute(query.group_by(jobs.c.strategy_id))}


def read_accepted(connection: Connection, strategy_id: str) -> set[str]:
    """Ids of a strategy's accepted jobs."""
    query = select(jobs.c.job_id).where((jobs.c.strategy_id == strategy_id) & (jobs.c.state == "accepted"))
    return set(connection.execute(query).scalars())


def find_strategies_with(connection: Connection, strategy_ids: Sequence[str], state: str) -> set[str]:
    """Those of the given strategies that have a job in a state."""
    some = select(jobs.c.job_id).where((jobs.c.strategy_id == strategies.c.strategy_id) & (jobs.c.state == state))
    found: set[str] = set()
    for part in chunks(strategy_ids):
        query = select(strategies.c.strategy_id).where(strategies.c.strategy_id.in_(part) & some.exists())
        found.update(connection.execute(query).scalars())
    return found


def read_accepted_of(connection: Connection, strategy_id: str, schedule_ids: Iterable[str | None]) -> list[JobRow]:
    """A strategy's accepted jobs of some schedules, in any order; `None` stands for jobs of no schedule."""
    of_strategy = select(jobs).where((jobs.c.strategy_id == strategy_id) & (jobs.c.state == "accepted"))
    wanted = set(schedule_ids)
    conditions = [jobs.c.schedule_id.in_(part) for part in chunks(sorted(wanted - {None}, key=str))]
    conditions += [jobs.c.schedule_id.is_(None)] if None in wanted else []
    return [JobRow(*row) for condition in conditions for row in connection.execute(of_strategy.where(condition))]


def find_lists_around(connection: Connection, strategy_id: str, first: str, last: str) -> set[tuple[str | None, ...]]:
    """Schedule, parameters and target of the accepted jobs within a span of time (ISO 8601), each combination once."""
    query = select(jobs.c.schedule_id, jobs.c.parameters, jobs.c.target_id).where(
        (jobs.c.strategy_id == strategy_id) & (jobs.c.state == "accepted") & jobs.c.completed_at.between(first, last)
    )
    return {tuple(row) for row in connection.execute(query.distinct())}


def find_neighbours(
    connection: Connection, strategy_id: str, spans: Mapping[str, tuple[tuple[str, str], tuple[str, str]]], reach: int
) -> dict[str, list[JobRow]]:
    """The accepted jobs within spans of time and some on either side, by target; see `Ledger.neighbourhood`."""
    position = tuple_(jobs.c.completed_at, jobs.c.job_id)
    oldest_first = (jobs.c.completed_at, jobs.c.job_id)
    newest_first = (jobs.c.completed_at.desc(), jobs.c.job_id.desc())
    found = {}
    for target, (first, last) in spans.items():
        start, end = (tuple_(*map(literal, bound)) for bound in (first, last))
        accepted = select(jobs).where(
            (jobs.c.strategy_id == strategy_id) & (jobs.c.target_id == target) & (jobs.c.state == "accepted")
        )
        before = accepted.where(position < start).order_by(*newest_first).limit(reach)
        within = accepted.where((position >= start) & (position <= end)).order_by(*oldest_first)
        after = accepted.where(position > end).order_by(*oldest_first).limit(reach)
        found[target] = [JobRow(*row) for query in (before, within, after) for row in connection.execute(query)]
        found[target].sort(key=lambda row: (row.completed_at or "", row.job_id))
    return found


def count_comparable(connection: Connection, strategy_id: str) -> int:
    """Accepted jobs with items that have an earlier one of the same target."""
    targets = func.count(jobs.c.target_id.distinct())
    count, targets = connection.execute(select(func.count(), targets).where(_with_items(strategy_id))).one()
    return int(count) - int(targets)


def read_with_items(connection: Connection, strategy_id: str) -> list[ItemsRow]:
    """Accepted jobs with items, in any order."""
    query = select(jobs.c.job_id, jobs.c.target_id, jobs.c.completed_at, jobs.c["items"], jobs.c.batch_id)
    return [
        ItemsRow(job_id, target_id or "", completed_at or "", items, batch_id)
        for job_id, target_id, completed_at, items, batch_id in connection.execute(
            query.where(_with_items(strategy_id))
        )
    ]


def _with_items(strategy_id: str) -> ColumnElement[bool]:
    return and_(jobs.c.strategy_id == strategy_id, jobs.c.state == "accepted", jobs.c["items"] > 0)
