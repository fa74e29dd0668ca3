"""Single values by name; the ledger's revision and its own name are two of them."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, select

from meter_pipeline.store.ledger.tables import facts
from meter_pipeline.store.ledger.upserts import upsert

REVISION = "revision"
_NAME = "ledger"


def read_fact(connection: Connection, name: str) -> str | None:
    """The value that was noted under a name, `None` if there is none."""
    return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()


def write_fact(connection: Connection, name: str, value: str) -> None:
    """Notes a value under a name, in place of an older one."""
    upsert(connection, facts, [{"name": name, "value": value}], keys=["name"], set_=["value"])


def read_revision(connection: Connection) -> int:
    """The ledger's revision: a number that goes up with every change."""
    return int(read_fact(connection, REVISION) or 0)


def revise(connection: Connection) -> int:
    """Gives the ledger its next revision and returns it; whoever writes is alone, so no revision is given twice."""
    revision = read_revision(connection) + 1
    write_fact(connection, REVISION, str(revision))
    return revision


def read_name(connection: Connection) -> str | None:
    """The ledger's own name, which files of the lake carry; None before it was given one."""
    return read_fact(connection, _NAME)


def give_name(connection: Connection) -> str:
    """Gives the ledger a random name, which it keeps for ever, unless it has one; returns it."""
    name = read_name(connection)
    if name is None:
        name = uuid.uuid4().hex[:8]
        write_fact(connection, _NAME, name)
    return name
