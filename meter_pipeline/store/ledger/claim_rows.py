"""Rows of claims: who holds which, since when, and how many syncs in a row have skipped a strategy because of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, case, delete, func, select, update

from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.ledger.tables import claims, strategies
from meter_pipeline.store.ledger.upserts import upsert
from meter_pipeline.store.times import iso, moment, now, shift

#: Syncs in a row that skip a strategy, from which on that is a finding.
SKIPS_FOUND = 3


@dataclass(frozen=True)
class ClaimRow:
    """A claim.

    Attributes:
        name: The strategy's slug; or, with a dot in it, other work that one process does at a time.
        holder_id: A random name of the holder.
        machine: The holder's host name.
        process_id: The holder's process there.
        work: What the holder is, such as a command or a Dagster run.
        since: When it took the claim.
        renewed_at: When it last said that it still works.
        skips: Syncs in a row that skipped the strategy while the holder committed nothing of it.
    """

    name: str
    holder_id: str
    machine: str
    process_id: int
    work: str
    since: str
    renewed_at: str
    skips: int = 0

    @property
    def holder(self) -> str:
        """The holder in words."""
        return f"{self.work} (process {self.process_id} on {self.machine})"

    def describe(self) -> str:
        """The holder, and since when it holds the claim, in words."""
        return f"{self.holder} since {spell_time(self.since)}"


def spell_time(time: str) -> str:
    """A time of the ledger, to the second, as people read it."""
    return f"{time[:19].replace('T', ' ')} UTC"


def read_clock(connection: Connection) -> str:
    """This moment by the database's clock: those of several machines may differ."""
    if connection.dialect.name == "sqlite":
        return now()
    return str(iso(connection.execute(select(func.clock_timestamp())).scalar_one()))


def shift_back(time: str, by: timedelta) -> str:
    """A time of the ledger moved back by a span."""
    return str(iso(shift(moment(time), -by)))


def read_claims(connection: Connection, names: Sequence[str] | None = None) -> list[ClaimRow]:
    """All claims, or those with some names, in the order of their names."""
    is_counted = strategies.c.version == claims.c.skipped_version
    columns = [claims.c[name] for name in ClaimRow.__dataclass_fields__ if name != "skips"]
    query = (
        select(*columns, case((is_counted, claims.c.skips), else_=0))
        .join(strategies, strategies.c.slug == claims.c.name, isouter=True)
        .order_by(claims.c.name)
    )
    queries = [query] if names is None else [query.where(claims.c.name.in_(some)) for some in chunks(list(names))]
    return [ClaimRow(*row) for some in queries for row in connection.execute(some)]


def write_claims(connection: Connection, rows: Iterable[ClaimRow]) -> None:
    """Enters claims, in place of those of earlier holders."""
    values = [{**vars(row), "skipped_version": None} for row in rows]
    upsert(
        connection, claims, values, keys=["name"], set_=[column.name for column in claims.c if column.name != "name"]
    )


def renew_claims(connection: Connection, holder_id: str) -> None:
    """Notes that a holder still works."""
    own = update(claims).where(claims.c.holder_id == holder_id)
    connection.execute(own.values(renewed_at=read_clock(connection)))


def remove_claims(connection: Connection, holder_id: str, names: Sequence[str]) -> None:
    """Removes claims of a holder; those that others hold by now stay."""
    for some in chunks(list(names)):
        connection.execute(delete(claims).where(claims.c.holder_id == holder_id, claims.c.name.in_(some)))


def remove_holders(connection: Connection, holder_ids: Collection[str]) -> None:
    """Removes all claims of holders that have ended."""
    for some in chunks(list(holder_ids)):
        connection.execute(delete(claims).where(claims.c.holder_id.in_(some)))


def count_skips(connection: Connection, slugs: Sequence[str]) -> None:
    """Counts a sync that skipped strategies; those that are free by now, or were committed since, begin again."""
    version = select(strategies.c.version).where(strategies.c.slug == claims.c.name).scalar_subquery()
    skips = case((claims.c.skipped_version == version, claims.c.skips + 1), else_=1)
    for some in chunks(list(slugs)):
        skipped = update(claims).where(claims.c.name.in_(some))
        connection.execute(skipped.values(skips=skips, skipped_version=version))
