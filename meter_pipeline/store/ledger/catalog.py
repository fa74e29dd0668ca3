"""The catalog: strategies and schedules as Meter lists them, each with every version that was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, bindparam, func, select, update

from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.ledger.facts import revise
from meter_pipeline.store.ledger.rows import ScheduleRow, StrategyRow
from meter_pipeline.store.ledger.slugs import make_slug
from meter_pipeline.store.ledger.tables import plain, schedules, strategies, versions
from meter_pipeline.store.ledger.upserts import dump_json
from meter_pipeline.store.times import iso, now

if TYPE_CHECKING:  # the client is a tenth of a second to import, and publishing has no use for it
    from meter_pipeline.api import Schedule, Strategy

# Members that change with every run of a schedule: a change of these makes no new version.
_CHANGE_WITH_EVERY_RUN = frozenset({"next_run_at", "last_run_at", "updated_at", "preview_data"})


@dataclass(frozen=True)
class _Kind:
    """A kind of record: its name in `versions`, its table and the column of its id."""

    name: str
    table: Table
    key: str


_STRATEGY = _Kind("strategy", strategies, "strategy_id")
_SCHEDULE = _Kind("schedule", schedules, "schedule_id")


def record_strategies(connection: Connection, listed: Iterable[Strategy], *, whole: bool) -> list[str]:
    """Records the strategies that the API listed; returns the slugs of the new ones.

    Args:
        connection: A transaction that writes.
        listed: The strategies.
        whole: Whether the list is complete: a strategy that it lacks then gets a `deleted_at`.
    """
    used = set(connection.execute(select(strategies.c.slug)).scalars())
    fresh: list[str] = []

    def name_strategy(strategy: Strategy) -> dict[str, Any]:
        slug = make_slug(strategy.name, strategy.strategy_id, used)
        used.add(slug)
        fresh.append(slug)
        return {"slug": slug}

    # In the order of their making: of two strategies with one name, the older one gets the plain slug.
    oldest_first = sorted(listed, key=lambda strategy: (iso(strategy.created_at) or "", strategy.strategy_id))
    _record(connection, _STRATEGY, oldest_first, _strategy_values, name_strategy, whole=whole)
    return fresh


def record_schedules(connection: Connection, listed: Iterable[Schedule], *, whole: bool) -> None:
    """Records the schedules that the API listed; one that a `whole` list lacks gets a `deleted_at`."""
    _record(connection, _SCHEDULE, listed, _schedule_values, lambda schedule: {}, whole=whole)


def _record(
    connection: Connection,
    kind: _Kind,
    listed: Iterable[Any],
    read_values: Callable[[Any], dict[str, Any]],
    complete: Callable[[Any], dict[str, Any]],
    *,
    whole: bool,
) -> None:
    """Inserts new records, updates changed ones, marks missing ones of a `whole` list, and keeps new versions.

    Args:
        connection: A transaction that writes.
        kind: The kind of the records.
        listed: The records.
        read_values: A record's values by column name.
        complete: What a new record's row has besides.
        whole: Whether the list is complete.
    """
    seen_at = now()
    key = kind.table.c[kind.key]
    known = {getattr(row, kind.key): row for row in connection.execute(select(kind.table))}
    latest = _read_latest_versions(connection, kind.name)
    inserts: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []
    new_versions: list[dict[str, Any]] = []
    current = set()
    for record in listed:
        values = plain(read_values(record))
        id_ = getattr(record, kind.key)
        current.add(id_)
        row = known.get(id_)
        if row is None:
            inserts.append({**values, **complete(record), "first_seen_at": seen_at})
        elif any(getattr(row, name) != value for name, value in values.items()):
            updates.append({**values, "changed_id": id_})
        version = {name: value for name, value in record.raw.items() if name not in _CHANGE_WITH_EVERY_RUN}
        number, last_text = latest.get(id_, (0, None))
        text = dump_json(version)
        if text != last_text:
            latest[id_] = (number + 1, text)
            new_versions.append(
                {"kind": kind.name, "id": id_, "version": number + 1, "seen_at": seen_at, "record": text}
            )
    gone = [id_ for id_, row in known.items() if whole and id_ not in current and row.deleted_at is None]
    for some in chunks(gone):
        connection.execute(update(kind.table).where(key.in_(some)).values(deleted_at=seen_at))
    if updates:
        # One statement for all rows: building one takes longer than executing it, and after a day all schedules ran.
        connection.execute(update(kind.table).where(key == bindparam("changed_id")), updates)
    if inserts:
        connection.execute(kind.table.insert(), inserts)
    if new_versions:
        connection.execute(versions.insert(), new_versions)
    if updates or gone or inserts or new_versions:
        revise(connection)


def _strategy_values(strategy: Strategy) -> dict[str, Any]:
    return {
        "strategy_id": strategy.strategy_id,
        "name": strategy.name,
        "url": strategy.url,
        "description": strategy.description,
        "scraper_type": strategy.scraper_type,
        "created_at": iso(strategy.created_at),
        "updated_at": iso(strategy.updated_at),
        "deleted_at": None,
    }


def _schedule_values(schedule: Schedule) -> dict[str, Any]:
    return {
        "schedule_id": schedule.schedule_id,
        "strategy_id": schedule.strategy_id,
        "url": schedule.url,
        "urls": dump_json(list(schedule.urls)) if schedule.urls else None,
        "schedule_type": schedule.schedule_type,
        "interval_seconds": schedule.interval_seconds,
        "cron_expression": schedule.cron_expression,
        "enabled": schedule.enabled,
        "webhook_url": schedule.webhook_url,
        "next_run_at": iso(schedule.next_run_at),
        "last_run_at": iso(schedule.last_run_at),
        "created_at": iso(schedule.created_at),
        "updated_at": iso(schedule.updated_at),
        "deleted_at": None,
    }


def _read_latest_versions(connection: Connection, kind: str) -> dict[str, tuple[int, str]]:
    """The number and the text of the latest version of each record of a kind, by its id."""
    columns = versions.c
    latest = select(columns.id, func.max(columns.version).label("version")).where(columns.kind == kind)
    last = latest.group_by(columns.id).subquery()
    query = select(columns.id, columns.version, columns.record).where(columns.kind == kind)
    rows = connection.execute(query.join(last, (columns.id == last.c.id) & (columns.version == last.c.version)))
    return {id_: (number, text) for id_, number, text in rows}


def adopt_strategies(connection: Connection, ids: set[str], seen_at: str) -> None:
    """Gives a row to strategies that are known by their jobs alone, such as those deleted at Meter."""
    known: set[str] = set()
    for some in chunks(sorted(ids)):
        query = select(strategies.c.strategy_id).where(strategies.c.strategy_id.in_(some))
        known.update(connection.execute(query).scalars())
    unknown = sorted(ids - known)
    used = set(connection.execute(select(strategies.c.slug)).scalars()) if unknown else set()
    rows = []
    for id_ in unknown:
        slug = make_slug(None, id_, used)
        used.add(slug)
        rows.append({"strategy_id": id_, "slug": slug, "first_seen_at": seen_at, "deleted_at": seen_at})
    if rows:
        connection.execute(strategies.insert(), rows)


def read_strategies(connection: Connection, ids: Sequence[str] | None) -> list[StrategyRow]:
    """Every strategy, or those with some ids, in the order of their slugs."""
    if ids is not None:
        where = strategies.c.strategy_id.in_
        found = [row for part in chunks(ids) for row in connection.execute(select(strategies).where(where(part)))]
        return sorted((StrategyRow(**row._mapping) for row in found), key=lambda row: row.slug)
    rows = connection.execute(select(strategies).order_by(strategies.c.slug))
    return [StrategyRow(**row._mapping) for row in rows]


def read_schedules(connection: Connection) -> list[ScheduleRow]:
    """Every schedule, in the order of their ids."""
    rows = connection.execute(select(schedules).order_by(schedules.c.schedule_id))
    return [ScheduleRow(**row._mapping) for row in rows]
