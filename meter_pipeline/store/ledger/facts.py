"""Single values by name, and the ledger's revision, which is one of them."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, select

from meter_pipeline.store.ledger.tables import facts
from meter_pipeline.store.ledger.upserts import upsert

REVISION = "revision"


def read_fact(connection: Connection, name: str) -> str | None:
    """The value that was noted under a name, `None` if there is none."""
    return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()


def write_fact(connection: Connection, name: str, value: str) -> None:
    """Notes a value under a name, in place of an older one."""
    upsert(connection, facts, [{"name": name, "value": value}], keys=["name"], set_=["value"])


def revise(connection: Connection) -> None:
    """Gives the ledger a new revision, so that the next publication is not taken for unchanged."""
    write_fact(connection, REVISION, uuid.uuid4().hex)
