"""How names and texts stand in SQL of the standard, which DuckDB, PostgreSQL and SQLite share."""

from __future__ import annotations


def quote(name: str) -> str:
    """A name as SQL, in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"
