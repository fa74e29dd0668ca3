"""Inserting rows that may exist already, on SQLite and PostgreSQL alike, and the text that JSON columns hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Table


def upsert(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, keys: Sequence[str], set_: Sequence[str]
) -> None:
    """Inserts rows; of a row whose `keys` exist, the columns `set_` are updated, or nothing when `set_` is empty."""
    if rows:
        connection.execute(_statement(connection.dialect.name, table, tuple(keys), tuple(set_)), list(rows))


# Building a statement takes longer than executing it.
@lru_cache(maxsize=256)
def _statement(dialect_name: str, table: Table, keys: tuple[str, ...], set_: tuple[str, ...]) -> Any:
    dialect: Any = import_module(f"sqlalchemy.dialects.{dialect_name}")
    statement = dialect.insert(table)
    if not set_:
        return statement.on_conflict_do_nothing(index_elements=keys)
    return statement.on_conflict_do_update(index_elements=keys, set_={name: statement.excluded[name] for name in set_})


def dump_json(value: Any) -> str:
    """A value as JSON text, the same text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
