"""A SQLite file as a target: one transaction, times as ISO text, nested values as JSON text.

SQLite keeps the text of each `CREATE TABLE` as it was written, so the comments stand there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from meter_pipeline.config.deliveries import Address
from meter_pipeline.host.causes import LOCKED, find_cause
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.dialect import Dialect
from meter_pipeline.store.warehouse.delivery.relations import Column, Relation
from meter_pipeline.store.warehouse.delivery.session import MARK, STATE_TABLES, Session, in_a_target, make_folder
from meter_pipeline.store.warehouse.delivery.state import Existing, gather_tables
from meter_pipeline.store.warehouse.delivery.types import as_plain, kind_of
from meter_pipeline.store.warehouse.sql import quote

_TYPES = {
    "boolean": "INTEGER",
    "smallint": "INTEGER",
    "integer": "INTEGER",
    "bigint": "INTEGER",
    "real": "REAL",
    "double": "REAL",
}
_BUSY_SECONDS = 5
_WITH_ZONE = "'%Y-%m-%d %H:%M:%S.%f+00:00'"


class SqliteSession(Session):
    """A transaction on a SQLite file.

    Raises:
        WarehouseError: The file cannot be opened.
    """

    types = {"bigint": "INTEGER", "text": "TEXT", "double": "REAL", "time": "TEXT"}
    # Times are text in ISO 8601.
    dialect = Dialect(first_moment=lambda day, is_date: f"'{day}'")
    has_schemas = False

    def __init__(self, address: Address, schema: str) -> None:
        super().__init__(address, schema)
        self._path = Path(address.url)
        make_folder(self._path)
        with self._explained():
            self._connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)

    def begin(self) -> None:
        """Begins the transaction as a writer: there is one at a time."""
        self.execute("BEGIN IMMEDIATE")

    def load(self, table: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Inserts rows."""
        marks = ", ".join("?" for _ in columns)
        statement = f"INSERT INTO {self.name(table)} ({', '.join(map(quote, columns))}) VALUES ({marks})"  # noqa: S608
        with self._explained():
            for batch in batches:
                self._connection.executemany(statement, zip(*(column.to_pylist() for column in batch), strict=True))

    def find_tables(self) -> dict[str, Existing]:
        """The tables of the file."""
        rows = self.execute(
            "SELECT m.name, m.sql, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c "
            "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "AND m.name NOT LIKE '\\_meter\\_%' ESCAPE '\\'"
        )
        return gather_tables((table, column, type_, MARK in (sql or "")) for table, sql, column, type_ in rows)

    def type_of(self, column: Column) -> str:
        """The type of a column."""
        return _TYPES.get(kind_of(column.type), "TEXT")

    def select(self, column: Column) -> str:
        """The values of a column; times sort as text."""
        name, kind = quote(column.name), kind_of(column.type)
        if kind == "time":
            return f"strftime({name} AT TIME ZONE 'UTC', {_WITH_ZONE}) AS {name}"
        return f"CAST({name} AS VARCHAR) AS {name}" if kind == "date" else as_plain(column.name, column.type)

    def define(self, relation: Relation) -> str:
        """The columns, with comments."""
        lines = [f"-- {_one_line(self.describe(relation))}"]
        for place, column in enumerate(relation.columns, 1):
            comma = "," if place < len(relation.columns) or relation.key else ""
            note = f" -- {_one_line(column.comment)}" if column.comment else ""
            lines.append(f"{quote(column.target)} {self.type_of(column)}{comma}{note}")
        if relation.key:
            lines.append(f"PRIMARY KEY ({', '.join(quote(relation.column(name).target) for name in relation.key)})")
        return "\n".join(["", *lines, ""])

    def add_keys(self, relation: Relation) -> None:
        """Adds the index; the key is in the definition, since SQLite adds none later."""
        self.add_index(relation)

    def add_index(self, relation: Relation) -> None:
        """Adds an index by which months are found again."""
        if relation.indexed:
            columns = ", ".join(quote(relation.column(name).target) for name in relation.indexed)
            index = quote(f"{relation.target}_by_month")
            self.execute(f"CREATE INDEX {index} ON {self.name(relation.target)} ({columns})")

    def comment(self, table: str, relation: Relation) -> None:
        """Nothing: the comments are in the definition."""

    def comment_on(self, table: str, text: str) -> None:
        """Nothing: SQLite keeps no comments of its own."""

    def name(self, table: str) -> str:
        """A table's name as SQL."""
        return quote(table)

    def has_state(self) -> bool:
        """Whether the tables about deliveries are there."""
        return STATE_TABLES.keys() <= {name for (name,) in self.execute("SELECT name FROM sqlite_master")}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            cause = find_cause(error, self._path)
            if cause == LOCKED:
                reason = "another delivery, or another program, is writing to it; deliver again when it has ended"
            else:
                reason = f"{error}: {in_a_target(cause)}" if cause else str(error)
            raise WarehouseError(f"{self.address.shown}: {reason}") from None


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", "").split())
