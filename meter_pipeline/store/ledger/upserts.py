"""Inserting rows that may exist already, on SQLite and PostgreSQL alike, and the text that JSON columns hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Dialect, Table


def upsert(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, keys: Sequence[str], set_: Sequence[str]
) -> None:
    """Inserts rows; of a row whose `keys` exist, the columns `set_` are updated, or nothing when `set_` is empty.

    All rows name the same columns.
    """
    if not rows:
        return
    sql, positions = _compile(connection.dialect, table, tuple(keys), tuple(set_), tuple(rows[0]))
    if positions is None:
        connection.exec_driver_sql(sql, list(rows))
    else:
        connection.exec_driver_sql(sql, [tuple(map(row.__getitem__, positions)) for row in rows])


# SQLAlchemy does not cache this kind of statement, and compiling it takes longer than executing it.
@lru_cache(maxsize=256)
def _compile(
    dialect: Dialect, table: Table, keys: tuple[str, ...], set_: tuple[str, ...], names: tuple[str, ...]
) -> tuple[str, Sequence[str] | None]:
    """The statement's text, and the order of its parameters; None where they go by name."""
    statement = import_module(f"sqlalchemy.dialects.{dialect.name}").insert(table)
    if set_:
        new = {name: statement.excluded[name] for name in set_}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=new)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    return str(compiled), compiled.positiontup


def dump_json(value: Any) -> str:
    """A value as JSON text, the same text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
