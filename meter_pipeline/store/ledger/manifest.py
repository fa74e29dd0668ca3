"""The manifest: which parts of the lake count, since which revision, and who still reads those that count no longer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, update

from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.errors import StaleError
from meter_pipeline.store.ledger.facts import read_fact
from meter_pipeline.store.ledger.tables import partitions, parts, pins, strategies
from meter_pipeline.store.ledger.upserts import upsert
from meter_pipeline.store.parts import Part, PartsChange
from meter_pipeline.store.times import now

#: The fact that says up to when files without an entry were deleted, ISO 8601: the latest such time of all sweeps.
SWEPT_BEFORE = "swept_before"
#: The fact that says when the last sweep ended, ISO 8601, by the clock of its machine; empty while one is running.
SWEPT_AT = "swept_at"


def read_parts(connection: Connection, strategy_ids: Sequence[str]) -> dict[str, list[Part]]:
    """The parts that count, by strategy id."""
    found: dict[str, list[Part]] = {strategy_id: [] for strategy_id in strategy_ids}
    for some in chunks(list(strategy_ids)):
        query = select(parts).where(parts.c.strategy_id.in_(some) & parts.c.revision_out.is_(None))
        for row in connection.execute(query.order_by(parts.c.name)):
            found[row.strategy_id].append(part_of(row))
    return found


def read_parts_of(connection: Connection, slug: str) -> list[Part]:
    """The parts that count of the strategy with a slug."""
    owner = select(strategies.c.strategy_id).where(strategies.c.slug == slug).scalar_subquery()
    query = select(parts).where((parts.c.strategy_id == owner) & parts.c.revision_out.is_(None))
    return [part_of(row) for row in connection.execute(query.order_by(parts.c.name))]


def read_parts_at(connection: Connection, revision: int, shown: Sequence[str]) -> list[tuple[str, Part]]:
    """The parts of some tables that counted at a revision, each with its strategy's slug.

    A revision whose parts are pinned has all of them; of others, some may be deleted and forgotten.
    """
    counted = (parts.c.revision_in <= revision) & (parts.c.revision_out.is_(None) | (parts.c.revision_out > revision))
    query = select(strategies.c.slug, parts).join(strategies, strategies.c.strategy_id == parts.c.strategy_id)
    query = query.where(counted & parts.c.table_name.in_(shown)).order_by(parts.c.name)
    return [(row.slug, part_of(row)) for row in connection.execute(query)]


def sample_names(connection: Connection, most: int) -> list[str]:
    """Names of parts that count: the `most` oldest and the `most` newest."""
    query = select(parts.c.name).where(parts.c.revision_out.is_(None)).limit(most)
    orders = (parts.c.revision_in.asc(), parts.c.revision_in.desc())
    return [name for order in orders for name in connection.execute(query.order_by(order, parts.c.name)).scalars()]


def read_last_changes(connection: Connection, table: str) -> dict[str, int]:
    """The revision in which rows of a table last changed, by strategy id."""
    query = select(partitions.c.strategy_id, func.max(partitions.c.revision)).where(partitions.c.table_name == table)
    return {id_: int(revision) for id_, revision in connection.execute(query.group_by(partitions.c.strategy_id))}


def part_of(row: Any) -> Part:
    """The part of a row of the manifest."""
    return Part(row.name, row.table_name, row.rows, row.bytes, row.first_at, row.last_at, row.schema)


def change_parts(connection: Connection, strategy_id: str, change: PartsChange, revision: int) -> None:
    """Enters and leaves parts, as of a revision.

    Raises:
        StaleError: Files of the change may have been swept, since they were begun very long ago.
    """
    is_old = change.began_at is not None and change.began_at <= (read_fact(connection, SWEPT_BEFORE) or "")
    # A sweep from before the change cannot have met its files, whatever its machine took the time to be.
    if is_old and (not change.swept_at or change.swept_at != read_fact(connection, SWEPT_AT)):
        raise StaleError("the files were written so long ago that they may have been deleted as leftovers")
    if change.added:
        rows = [_row_of(part, strategy_id, revision) for part in change.added]
        connection.execute(parts.insert(), rows)
    left_at = now()
    for some in chunks(list(change.removed)):
        left = update(parts).where(parts.c.name.in_(some) & parts.c.revision_out.is_(None))
        if connection.execute(left.values(revision_out=revision, left_at=left_at)).rowcount != len(some):
            raise StaleError("parts that were replaced had been replaced by others already")
    rows = [
        {"strategy_id": strategy_id, "table_name": table, "month": month, "revision": revision}
        for table, months in (change.months or {}).items()
        for month in sorted(months)
    ]
    upsert(connection, partitions, rows, keys=["strategy_id", "table_name", "month"], set_=["revision"])


def _row_of(part: Part, strategy_id: str, revision: int) -> dict[str, Any]:
    return {
        "name": part.name,
        "table_name": part.table,
        "strategy_id": strategy_id,
        "rows": part.rows,
        "bytes": part.bytes,
        "first_at": part.first_at,
        "last_at": part.last_at,
        "schema": part.schema,
        "revision_in": revision,
    }


# -- parts that count no longer ----------------------------------------------------------------------------------------


def find_unneeded(connection: Connection, left_before: str, most: int) -> list[str]:
    """Names of parts that left the manifest before a time, ISO 8601, and that no pinned revision shows."""
    # An open pin reads what counts at some later revision; a closed one what counted at its own.
    is_pinned = exists().where(
        and_(
            pins.c.revision < parts.c.revision_out,
            or_(pins.c.is_open, pins.c.revision >= parts.c.revision_in),
        )
    )
    query = select(parts.c.name).where(parts.c.revision_out.is_not(None) & (parts.c.left_at < left_before) & ~is_pinned)
    return list(connection.execute(query.order_by(parts.c.name).limit(most)).scalars())


def forget_parts(connection: Connection, names: Iterable[str]) -> None:
    """Deletes entries of parts whose files are deleted."""
    for some in chunks(list(names)):
        connection.execute(delete(parts).where(parts.c.name.in_(some) & parts.c.revision_out.is_not(None)))


def find_listed(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of some names of files that the manifest has, whether they count or counted once."""
    found: set[str] = set()
    for some in chunks(list(names)):
        found.update(connection.execute(select(parts.c.name).where(parts.c.name.in_(some))).scalars())
    return found


# -- pins --------------------------------------------------------------------------------------------------------------


class Pin(NamedTuple):
    """A pin: its id, the revision that it keeps, whether that may move on, and when it was set, ISO 8601."""

    pin_id: str
    revision: int
    is_open: bool
    pinned_at: str


def set_pin(connection: Connection, pin_id: str, place: str, revision: int, *, is_open: bool) -> None:
    """Keeps the parts of a revision, or changes a pin."""
    at = now()
    row = {
        "pin_id": pin_id,
        "place": place,
        "revision": revision,
        "is_open": is_open,
        "pinned_at": at,
        "renewed_at": at,
    }
    upsert(connection, pins, [row], keys=["pin_id"], set_=["revision", "is_open", "renewed_at"])


def renew_pins(connection: Connection, pin_ids: Sequence[str]) -> None:
    """Notes that pins are still needed."""
    for some in chunks(list(pin_ids)):
        connection.execute(update(pins).where(pins.c.pin_id.in_(some)).values(renewed_at=now()))


def remove_pins(connection: Connection, pin_ids: Sequence[str]) -> None:
    """Removes pins."""
    for some in chunks(list(pin_ids)):
        connection.execute(delete(pins).where(pins.c.pin_id.in_(some)))


def remove_lapsed_pins(connection: Connection, renewed_before: str) -> None:
    """Removes pins whose place has not renewed them since a time, ISO 8601."""
    connection.execute(delete(pins).where(pins.c.renewed_at < renewed_before))


def read_pins(connection: Connection, place: str) -> Mapping[str, int]:
    """The revisions that a place has pinned for good, by pin id."""
    is_closed = (pins.c.place == place) & pins.c.is_open.is_(False)
    rows = connection.execute(select(pins.c.pin_id, pins.c.revision).where(is_closed))
    return {pin_id: int(revision) for pin_id, revision in rows}


def read_pins_in_order(connection: Connection, place: str) -> list[Pin]:
    """The pins of a place, in the order in which they were set."""
    query = select(pins.c.pin_id, pins.c.revision, pins.c.is_open, pins.c.pinned_at).where(pins.c.place == place)
    return [Pin(*row) for row in connection.execute(query.order_by(pins.c.pinned_at, pins.c.pin_id))]


def find_published_revision(connection: Connection) -> int:
    """The latest revision that a publication of any place shows; 0 if there is none."""
    return int(connection.execute(select(func.max(pins.c.revision)).where(~pins.c.is_open)).scalar() or 0)


def read_renewals(connection: Connection, place: str) -> Mapping[str, str]:
    """When a place last renewed each of its pins, by pin id."""
    rows = connection.execute(select(pins.c.pin_id, pins.c.renewed_at).where(pins.c.place == place))
    return {pin_id: str(renewed_at) for pin_id, renewed_at in rows}


def has_lapsed_pins(connection: Connection, renewed_before: str) -> bool:
    """Whether a pin was not renewed since a time, ISO 8601."""
    return (
        connection.execute(select(pins.c.pin_id).where(pins.c.renewed_at < renewed_before).limit(1)).first() is not None
    )


def find_pinned(connection: Connection, place: str) -> set[str]:
    """Names of the parts that the pins of a place keep."""
    kept = and_(
        pins.c.place == place,
        or_(parts.c.revision_out.is_(None), pins.c.revision < parts.c.revision_out),
        or_(pins.c.is_open, pins.c.revision >= parts.c.revision_in),
    )
    return set(connection.execute(select(parts.c.name).join(pins, kept).distinct()).scalars())
