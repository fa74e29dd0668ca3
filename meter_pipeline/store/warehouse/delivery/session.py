"""A connection to a target during one delivery, and the SQL that all kinds of targets share."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from meter_pipeline.config.deliveries import Address
from meter_pipeline.host.causes import Cause
from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.warehouse.delivery.contents import Month, condition
from meter_pipeline.store.warehouse.delivery.dialect import STANDARD, Dialect
from meter_pipeline.store.warehouse.delivery.relations import Column, Relation
from meter_pipeline.store.warehouse.delivery.state import DELIVERIES, PARTITIONS, TABLES, Existing, Held, HeldTable

#: The beginning of the name of a table that is being filled.
_NEW = "_meter_new_"
#: The end of the comment of every table that a delivery has made.
MARK = "Delivered by meter-pipeline."
#: The tables about deliveries, with their columns and the kinds of their types (keys of `Session.types`).
STATE_TABLES = {
    DELIVERIES: {
        "number": "bigint",
        "delivery_id": "text",
        "target_id": "text",
        "format": "bigint",
        "publication_id": "text",
        "published_at": "time",
        "delivered_at": "time",
        "rows": "bigint",
        "seconds": "double",
        "patterns": "text",
    },
    TABLES: {"table_name": "text", "source": "text", "columns": "text", "key_columns": "text", "basis": "text"},
    PARTITIONS: {"table_name": "text", "strategy": "text", "month": "text", "state": "text"},
}
#: Their comments.
ABOUT = {
    DELIVERIES: "Deliveries of publications into this schema; the one with the highest number is what it holds.",
    TABLES: "Tables that were delivered, with the tables of the warehouse that they come from.",
    PARTITIONS: "Months of each delivered table, with the state in which they were sent.",
}


class Session(ABC):
    """One delivery's connection to a target; a context manager that undoes whatever was not committed.

    Args:
        address: Where the target is.
        schema: The schema of the tables.
    """

    #: Types of columns that deliveries write about themselves.
    types: Mapping[str, str]
    #: How names, texts and times are spelt.
    dialect: Dialect = STANDARD
    #: Whether tables are in a schema.
    has_schemas = True
    #: Whether tables have primary keys and indexes.
    has_keys = True
    #: The driver's connection.
    _connection: Any

    def __init__(self, address: Address, schema: str) -> None:
        self.address, self.schema = address, schema

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- what differs between kinds of targets

    @abstractmethod
    def begin(self) -> None:
        """Begins the transaction, and makes sure that no other delivery is under way.

        Raises:
            WarehouseError: Another delivery is under way.
        """

    @abstractmethod
    def _explained(self) -> AbstractContextManager[None]:
        """Turns the driver's errors into one line with the way out.

        Raises:
            WarehouseError: The driver has raised an error.
        """

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Executes a statement, and returns its rows."""
        with self._explained():
            rows: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return rows

    @abstractmethod
    def load(self, table: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Adds rows, whose columns are in the given order."""

    @abstractmethod
    def find_tables(self) -> dict[str, Existing]:
        """The tables of the schema by name, without those about deliveries."""

    @abstractmethod
    def type_of(self, column: Column) -> str:
        """The type that a column gets, as the target's catalog spells it."""

    @abstractmethod
    def select(self, column: Column) -> str:
        """DuckDB's expression for a column's values as `load` takes them."""

    def mark(self, relation: Relation) -> Mapping[str, str]:
        """Columns that rows are sent with beside their own, with DuckDB's expressions for them."""
        return {}

    def commit(self) -> None:
        """Makes the delivery visible, all of it at once."""
        self.execute("COMMIT")

    def close(self) -> None:
        """Closes the connection, which undoes what was not committed."""
        self._connection.close()

    def comment(self, table: str, relation: Relation) -> None:
        """Writes the comments of a table and its columns, with the mark of a delivery."""
        self.comment_on(table, self.describe(relation))
        statements = [
            f"COMMENT ON COLUMN {self.written(table)}.{self.quote(column.target)} IS {self.literal(column.comment)}"
            for column in relation.columns
            if column.comment
        ]
        for some in chunks(statements):
            self.execute("; ".join(some))

    def describe(self, relation: Relation) -> str:
        """A table's comment, with the mark of a delivery."""
        return f"{relation.comment.rstrip('. ')}. {MARK}" if relation.comment else MARK

    def name(self, table: str) -> str:
        """A table's name as SQL."""
        return f"{self.quote(self.schema)}.{self.quote(table)}"

    def written(self, table: str) -> str:
        """The name, as SQL, of what statements that change a table write to: the table itself in a transaction."""
        return self.name(table)

    def quote(self, name: str) -> str:
        """A name as SQL."""
        return self.dialect.quote(name)

    def literal(self, text: str) -> str:
        """A text as SQL."""
        return self.dialect.literal(text)

    def fold(self, name: str) -> str:
        """A name of a table or column as this target has it."""
        return name

    # -- tables

    def create(self, relation: Relation) -> str:
        """Creates an empty table that takes the relation's place when it is filled, and returns its name."""
        table = _NEW + blake2b(relation.target.encode(), digest_size=8).hexdigest()
        self.execute(f"CREATE TABLE {self.name(table)} ({self.define(relation)})")
        return table

    def define(self, relation: Relation) -> str:
        """The columns of a table, as SQL."""
        return ", ".join(f"{self.quote(column.target)} {self.type_of(column)}" for column in relation.columns)

    def put_in_place(self, table: str, relation: Relation, old: Existing | None) -> None:
        """Gives a table that was filled its name, keys, indexes and comments."""
        grants = self.read_grants(relation.target) if old is not None else []
        if old is not None:
            self.drop(relation.target)
        self.execute(f"ALTER TABLE {self.name(table)} RENAME TO {self.quote(relation.target)}")
        if self.has_keys:
            self.add_keys(relation)
        for statement in grants:
            self.execute(statement)

    def add_keys(self, relation: Relation) -> None:
        """Adds the primary key, and an index by which months are found again."""
        if relation.key:
            columns = ", ".join(self.quote(relation.column(name).target) for name in relation.key)
            self.execute(f"ALTER TABLE {self.name(relation.target)} ADD PRIMARY KEY ({columns})")
        self.add_index(relation)

    def add_index(self, relation: Relation) -> None:
        """Adds an index by which months are found again."""
        if relation.indexed:
            columns = ", ".join(self.quote(relation.column(name).target) for name in relation.indexed)
            self.execute(f"CREATE INDEX ON {self.name(relation.target)} ({columns})")

    def read_grants(self, table: str) -> list[str]:
        """Statements that grant the rights that others have on a table."""
        return []

    def drop(self, table: str) -> None:
        """Drops a table."""
        self.execute(f"DROP TABLE {self.name(table)}")

    def add_columns(self, table: str, columns: Iterable[Column]) -> None:
        """Adds columns to a table."""
        for column in columns:
            self.execute(
                f"ALTER TABLE {self.written(table)} ADD COLUMN {self.quote(column.target)} {self.type_of(column)}"
            )

    def delete(self, relation: Relation, months: Collection[Month] | None) -> None:
        """Deletes the rows of some months, or all rows."""
        if months is None:
            self.empty(relation.target)
            return
        for some in chunks(sorted(months)):
            where = condition(relation, some, self.dialect, in_target=True)
            self.execute(f"DELETE FROM {self.written(relation.target)} WHERE {where}")  # noqa: S608

    def empty(self, table: str) -> None:
        """Deletes all rows of a table."""
        self.execute(f"DELETE FROM {self.written(table)}")  # noqa: S608

    # -- what the target says that it has

    def read_held(self) -> Held | None:
        """What the target has; None if it does not say."""
        if not self.has_state():
            return None
        listed = ", ".join(map(self.quote, ("target_id", "number", "delivery_id", "publication_id", "patterns")))
        rows = self.execute(
            f"SELECT {listed} FROM {self.name(DELIVERIES)} ORDER BY {self.quote('number')} DESC LIMIT 1"  # noqa: S608
        )
        if not rows:
            return None
        states: dict[str, dict[Month, str]] = {}
        for table, strategy, month, state in self.execute(
            f"SELECT table_name, strategy, month, state FROM {self.name(PARTITIONS)}"  # noqa: S608
        ):
            states.setdefault(table, {})[Month(strategy, month)] = state
        tables = {
            table: HeldTable(source, json.loads(columns), tuple(json.loads(key)), basis, states.get(table, {}))
            for table, source, columns, key, basis in self.execute(
                f"SELECT table_name, source, {self.quote('columns')}, key_columns, basis FROM {self.name(TABLES)}"  # noqa: S608
            )
        }
        target_id, number, delivery_id, publication_id, patterns = rows[0]
        return Held(target_id, number, delivery_id, publication_id, tuple(json.loads(patterns)), tables)

    @abstractmethod
    def has_state(self) -> bool:
        """Whether the tables about deliveries are there."""

    def reset_state(self) -> None:
        """Creates the tables about deliveries, in the place of any that are there."""
        for table, columns in STATE_TABLES.items():
            listed = ", ".join(f"{self.quote(name)} {self.types[kind]}" for name, kind in columns.items())
            self.recreate(table, listed)
            self.comment_on(table, ABOUT[table])

    def recreate(self, table: str, columns: str) -> None:
        """Creates an empty table, in the place of any that is there."""
        self.execute(f"DROP TABLE IF EXISTS {self.name(table)}")
        self.execute(f"CREATE TABLE {self.name(table)} ({columns})")

    def comment_on(self, table: str, text: str) -> None:
        """Writes the comment of a table."""
        self.execute(f"COMMENT ON TABLE {self.written(table)} IS {self.literal(text)}")

    def write_table_state(self, name: str, before: HeldTable | None, after: HeldTable | None) -> None:
        """Notes the states of a table's months; only what differs is written."""
        old = before.states if before is not None else {}
        new = after.states if after is not None else {}
        gone = [month for month, state in old.items() if new.get(month) != state]
        # In the order of months: the condition names each of them once.
        for some in chunks(sorted(gone, key=lambda month: (month.month, month.strategy))):
            self.execute(
                f"DELETE FROM {self.written(PARTITIONS)} WHERE table_name = {self.literal(name)} "  # noqa: S608
                f"AND ({self._any_of(some)})"
            )
        self._insert(
            PARTITIONS, [(name, *month, state) for month, state in sorted(new.items()) if old.get(month) != state]
        )
        if before is not None and after is not None and _describe(name, before) == _describe(name, after):
            return
        if before is not None:
            self.execute(f"DELETE FROM {self.written(TABLES)} WHERE table_name = {self.literal(name)}")  # noqa: S608
        if after is not None:
            self._insert(TABLES, [_describe(name, after)])

    def write_delivery(self, values: Mapping[str, Any]) -> None:
        """Notes a delivery; `values` are those of the columns, in their order."""
        self._insert(DELIVERIES, [tuple(values[name] for name in STATE_TABLES[DELIVERIES])])

    def _any_of(self, months: Sequence[Month]) -> str:
        return " OR ".join(
            f"month = {self.literal(month)} AND strategy IN ({', '.join(self.literal(slug) for slug, _ in some)})"
            for month, some in groupby(months, key=lambda month: month.month)
        )

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        for some in chunks(list(rows)):
            listed = ", ".join(f"({', '.join(map(self._value, row))})" for row in some)
            self.execute(f"INSERT INTO {self.written(table)} VALUES {listed}")  # noqa: S608

    def _value(self, value: Any) -> str:
        return self.literal(value) if isinstance(value, str) else repr(value)


def make_folder(file: Path) -> None:
    """Makes the folder of a target that is a file, if possible: opening the file explains what is missing."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)


def in_a_target(cause: Cause) -> str:
    """A cause and the way out of it, which for a target's file is not another data folder."""
    return str(cause).partition(", or name another folder by")[0]


def _describe(name: str, table: HeldTable) -> tuple[Any, ...]:
    return name, table.source, json.dumps(dict(table.columns)), json.dumps(table.key), table.basis
