"""What a warehouse file contains: its tables, views and whatever else models have made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import duckdb

from meter_pipeline.store.lake.tables import SHOWN
from meter_pipeline.store.warehouse import dictionary
from meter_pipeline.store.warehouse.sql import quote

# Views come before the tables that they read, tables before the sequences and types that they use.
_ALL = """
SELECT 'VIEW', schema_name, view_name FROM duckdb_views() WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT 'TABLE', schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT DISTINCT
    CASE function_type WHEN 'macro' THEN 'MACRO' ELSE 'MACRO TABLE' END, schema_name, function_name
FROM duckdb_functions()
WHERE database_name = current_database() AND NOT internal AND function_type IN ('macro', 'table_macro')
UNION ALL
SELECT 'SEQUENCE', schema_name, sequence_name FROM duckdb_sequences() WHERE database_name = current_database()
UNION ALL
SELECT 'TYPE', schema_name, type_name FROM duckdb_types() WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT 'SCHEMA', schema_name, '' FROM duckdb_schemas() WHERE database_name = current_database() AND NOT internal
"""
_ORDER = ("VIEW", "TABLE", "MACRO", "MACRO TABLE", "SEQUENCE", "TYPE", "SCHEMA")


class Entry(NamedTuple):
    """A table, view, macro, sequence, type or schema; the name of a schema is empty."""

    kind: str
    schema: str
    name: str

    @property
    def full_name(self) -> str:
        """Schema and name, with a dot between them; of a schema, its name."""
        return f"{self.schema}.{self.name}" if self.name else self.schema

    @property
    def quoted(self) -> str:
        """The full name as it stands in SQL."""
        return ".".join(quote(name) for name in (self.schema, self.name) if name)


def list_contents(connection: duckdb.DuckDBPyConnection) -> list[Entry]:
    """Everything in a file, in an order in which it can be dropped."""
    entries = [Entry(*row) for row in connection.execute(_ALL).fetchall()]
    return sorted(entries, key=lambda entry: (_ORDER.index(entry.kind), entry))


def is_own(entry: Entry) -> bool:
    """Whether it is of the raw side, and not of any model."""
    if entry.kind == "SCHEMA":
        return entry.schema in ("meter", "meter_lake", "results", "main")
    own = {"meter": dictionary.TABLES, "meter_lake": SHOWN}
    return entry.kind in ("TABLE", "VIEW") and (entry.schema == "results" or entry.name in own.get(entry.schema, ()))


def drop(connection: duckdb.DuckDBPyConnection, entries: Iterable[Entry]) -> None:
    """Drops entries, in the order of `list_contents`."""
    for entry in entries:
        connection.execute(f"DROP {entry.kind} IF EXISTS {entry.quoted} CASCADE")
