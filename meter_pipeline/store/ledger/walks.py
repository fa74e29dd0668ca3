"""How far back the listing of jobs is known without gaps: for all strategies together, or for one."""

from __future__ import annotations

from sqlalchemy import Connection, select

from meter_pipeline.store.ledger.tables import walks
from meter_pipeline.store.ledger.upserts import upsert
from meter_pipeline.store.times import now


def read_walk(connection: Connection, scope: str) -> str | None:
    """The time up to which all jobs of a scope are known, `None` before the first complete walk."""
    return connection.execute(select(walks.c.complete_to).where(walks.c.scope == scope)).scalar()


def record_walk(connection: Connection, scope: str, complete_to: str) -> None:
    """Notes that all jobs of a scope up to a time are known."""
    row = {"scope": scope, "complete_to": complete_to, "walked_at": now()}
    upsert(connection, walks, [row], keys=["scope"], set_=["complete_to", "walked_at"])
