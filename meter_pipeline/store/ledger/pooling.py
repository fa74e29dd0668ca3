"""Finds out whether a pooler of connections (PgBouncer and the like) lies between this machine and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

_ROUNDS = 3
_SESSION = text("SELECT pg_backend_pid()")


def pools_transactions(engine: Engine) -> bool:
    """Whether transactions of one connection may run in different sessions of the server.

    A pooler lends the session of a connection that is idle to the next connection that begins a transaction.
    """
    if engine.dialect.name != "postgresql":
        return False
    with engine.connect() as idle, engine.connect() as busy:
        for _ in range(_ROUNDS):
            before = _read_session(idle)
            idle.commit()
            lent = _read_session(busy)
            after = _read_session(idle)
            idle.commit()
            busy.commit()
            if before == lent or before != after:
                return True
    return False


def _read_session(connection: Connection) -> int:
    return int(connection.execute(_SESSION).scalar_one())
