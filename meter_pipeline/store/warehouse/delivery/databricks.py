"""Databricks as a target: rows are added to tables, and one row more makes them visible in views.

Rows go as Parquet files to a volume, from where they are inserted. See `databricks_layout` for the tables and views.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import pyarrow as pa

from meter_pipeline.config.deliveries import Address
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.contents import Month, divide
from meter_pipeline.store.warehouse.delivery.databricks_connection import Connection
from meter_pipeline.store.warehouse.delivery.databricks_layout import (
    DATA,
    DIALECT,
    LOAD,
    MONTH,
    STRATEGY,
    View,
    define_column,
    name_column,
    write_deletion,
    write_view,
)
from meter_pipeline.store.warehouse.delivery.databricks_lock import Lock
from meter_pipeline.store.warehouse.delivery.relations import Column, Relation
from meter_pipeline.store.warehouse.delivery.session import ABOUT, MARK, STATE_TABLES, Session
from meter_pipeline.store.warehouse.delivery.state import DELIVERIES, PARTITIONS, TABLES, Existing, Held, HeldTable
from meter_pipeline.store.warehouse.delivery.types import as_uploaded, kind_of

_TYPES = {
    "boolean": "BOOLEAN",
    "smallint": "SMALLINT",
    "integer": "INT",
    "bigint": "BIGINT",
    "numeric": "DECIMAL(38,0)",
    "real": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "time": "TIMESTAMP",
}
_STATE_TYPES = {"bigint": "BIGINT", "text": "STRING", "double": "DOUBLE", "time": "TIMESTAMP"}
_TYPE = re.compile(r"[A-Z]+(?:\(\d+,\d+\))?")
#: The tables about deliveries; those about tables and months have the rows of each delivery.
_STATE = {
    DELIVERIES: STATE_TABLES[DELIVERIES],
    TABLES: {"delivery_id": "text", **STATE_TABLES[TABLES], "description": "text"},
    PARTITIONS: {"delivery_id": "text", **STATE_TABLES[PARTITIONS], "load": "text"},
}


class DatabricksSession(Session):
    """A delivery into a schema of Databricks' Unity Catalog.

    Raises:
        WarehouseError: Databricks cannot be reached, or refuses.
    """

    types = _STATE_TYPES
    dialect = DIALECT
    has_schemas = False

    def __init__(self, address: Address, schema: str) -> None:
        super().__init__(address, schema)
        self._connection: Connection = Connection(address)
        self._schema = self._connection.schema
        self._lock = Lock(self.execute, self._connection.list_comments, self._schema, address.shown)
        self._load = uuid.uuid4().hex
        self._number, self._last_number, self._last_id = 0, 0, ""
        self._held: Held | None = None
        self._descriptions: dict[str, str] = {}
        # Which load each month is from, by table; a month that is absent is of this delivery.
        self._loads: dict[str, dict[Month, str]] = {}
        self._physical: dict[str, set[str]] = {}
        self._planned: dict[str, dict[str, str]] = {}
        self._views: dict[str, View] = {}
        self._tables: dict[str, HeldTable] = {}
        self._dropped: list[str] = []
        # Tables whose rows differ from those of the delivery before, and tables that this delivery has made.
        self._touched: set[str] = set()
        self._made: set[str] = set()
        self._delivery: Mapping[str, Any] = {}

    # -- one delivery at a time

    def begin(self) -> None:
        """Makes sure that the schema is there, and that no other delivery is under way."""
        self._connection.make_schema()
        if DELIVERIES in self._connection.list_comments():
            ((number,),) = self.execute(f"SELECT max(number) FROM {self.name(DELIVERIES)}")  # noqa: S608
            self._last_number = int(number or 0)
        self._number, was_cut_off = self._lock.acquire(self._last_number)
        if was_cut_off:
            self._connection.remove_files()

    def close(self) -> None:
        """Releases the lock, and ends the session."""
        # What has failed may be the connection; then the lock expires.
        with suppress(WarehouseError):
            self._lock.release()
        self._connection.close()

    # -- reading

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Executes a statement."""
        return self._connection.run(sql)

    def find_tables(self) -> dict[str, Existing]:
        """The views of the schema, and whatever else is there, as readers see them."""
        comments = self._connection.list_comments()
        columns = {name: self._fold_all(types) for name, types in self._connection.list_columns().items()}
        self._physical = {name: set(columns.get(name, ())) for name in comments if name.startswith("_meter_")}
        self._held = self._read_held()
        known = self._held.tables if self._held is not None else {}
        found: dict[str, Existing] = {}
        for name, comment in comments.items():
            if name.startswith("_meter_"):
                continue
            is_ours = comment.endswith(MARK)
            if self._held is not None and is_ours and name not in known:
                # A delivery that was cut off had yet to fill it, or to drop it.
                self.execute(f"DROP VIEW IF EXISTS {self.name(name)}")
            elif name not in known:
                found[name] = Existing(columns.get(name, {}), is_ours)
            elif DATA + name in self._physical:
                found[name] = Existing(self._compare(name, known[name].columns, columns.get(name, {})), is_ours)
        return found

    def _compare(self, name: str, held: Mapping[str, str], shown: Mapping[str, str]) -> dict[str, str]:
        """The columns of a view, which is put back if a delivery that was cut off has changed it."""
        if dict(held) != dict(shown) and dict(shown) in self._read_unfinished(name):
            self.execute(write_view(self._read_view(name, held), self._schema, {}))
            shown = held
        physical = self._physical[DATA + name]
        return {column: type_ for column, type_ in shown.items() if name_column(column, type_) in physical}

    def _read_unfinished(self, name: str) -> list[dict[str, str]]:
        rows = self.execute(
            f"SELECT columns FROM {self.name(TABLES)} WHERE table_name = {self.literal(name)} "  # noqa: S608
            f"AND delivery_id <> {self.literal(self._last_id)}"
        )
        return [json.loads(columns) for (columns,) in rows]

    def _read_view(self, name: str, columns: Mapping[str, str]) -> View:
        comment, comments = json.loads(self._descriptions[name])
        return View(name, columns, comments, comment)

    def has_state(self) -> bool:
        """Whether the tables about deliveries are there."""
        return all(columns.keys() <= self._physical.get(table, set()) for table, columns in _STATE.items())

    def read_held(self) -> Held | None:
        """What the target has, as `find_tables` has read it."""
        return self._held

    def _read_held(self) -> Held | None:
        if not self.has_state():
            return None
        rows = self.execute(
            "SELECT delivery_id, target_id, number, publication_id, patterns "  # noqa: S608
            f"FROM {self.name(DELIVERIES)} ORDER BY number DESC LIMIT 1"
        )
        if not rows:
            return None
        self._last_id, target_id, self._last_number, publication_id, patterns = rows[0]
        where = f"WHERE delivery_id = {self.literal(self._last_id)}"
        states: dict[str, dict[Month, str]] = {}
        for table, strategy, month, state, load in self.execute(
            f"SELECT table_name, strategy, month, state, load FROM {self.name(PARTITIONS)} {where}"  # noqa: S608
        ):
            states.setdefault(table, {})[Month(strategy, month)] = state
            self._loads.setdefault(table, {})[Month(strategy, month)] = load
        tables = {}
        for table, source, columns, key, basis, description in self.execute(
            f"SELECT table_name, source, columns, key_columns, basis, description FROM {self.name(TABLES)} {where}"  # noqa: S608
        ):
            types = json.loads(columns)
            if all(map(_TYPE.fullmatch, types.values())):
                tables[table] = HeldTable(source, types, tuple(json.loads(key)), basis, states.get(table, {}))
                self._descriptions[table] = description
        self._planned = {name: dict(table.columns) for name, table in tables.items()}
        held = Held(target_id, self._last_number, self._last_id, publication_id, tuple(json.loads(patterns)), tables)
        return held if tables else None

    # -- preparing: nothing of it is visible

    def reset_state(self) -> None:
        """Makes the tables about deliveries, unless they are there."""
        for table, columns in _STATE.items():
            if not columns.keys() <= self._physical.get(table, set()):
                listed = ", ".join(f"{self.quote(name)} {_STATE_TYPES[kind]}" for name, kind in columns.items())
                self.execute(f"DROP TABLE IF EXISTS {self.name(table)}")
                self.execute(f"CREATE TABLE {self.name(table)} ({listed}) COMMENT {self.literal(ABOUT[table])}")
                self._made.add(table)
                self._last_number = 0 if table == DELIVERIES else self._last_number
        self._loads.clear()

    def mark(self, relation: Relation) -> Mapping[str, str]:
        """The strategy and the month of each row."""
        strategy, month = divide(relation)
        return {STRATEGY: f"{strategy} AS {STRATEGY}", MONTH: f"{month} AS {MONTH}"}

    def create(self, relation: Relation) -> str:
        """Prepares the data table for all rows of a relation."""
        self._loads.pop(relation.target, None)
        self._planned[relation.target] = {column.target: self.type_of(column) for column in relation.columns}
        self._prepare(relation.target)
        return relation.target

    def add_columns(self, table: str, columns: Iterable[Column]) -> None:
        """Adds columns to a data table."""
        self._planned.setdefault(table, {}).update({column.target: self.type_of(column) for column in columns})
        self._prepare(table)

    def delete(self, relation: Relation, months: Collection[Month] | None) -> None:
        """Takes months out of what the view will show."""
        self._touched.add(relation.target)
        if months is None:
            self._loads.pop(relation.target, None)
        for month in months or ():
            self._loads.get(relation.target, {}).pop(month, None)

    def comment(self, table: str, relation: Relation) -> None:
        """Plans the view."""
        types = {column.target: self.type_of(column) for column in relation.columns}
        self._planned[table] = types
        self._prepare(table)
        comments = {column.target: column.comment for column in relation.columns if column.comment}
        self._views[table] = View(table, types, comments, self.describe(relation))
        self._descriptions[table] = json.dumps([self.describe(relation), comments])

    def put_in_place(self, table: str, relation: Relation, old: Existing | None) -> None:
        """Nothing: the view does it."""

    def drop(self, table: str) -> None:
        """Drops a view when the delivery is visible."""
        self._dropped.append(table)

    def _prepare(self, table: str) -> None:
        """Makes a data table, or adds the columns that it lacks."""
        self._lock.keep()
        data, columns = DATA + table, self._planned[table]
        known = self._physical.get(data)
        lacking = [
            define_column(name, type_)
            for name, type_ in columns.items()
            if known is None or name_column(name, type_) not in known
        ]
        if known is None:
            marks = [f"{name} STRING" for name in (LOAD, STRATEGY, MONTH)]
            note = self.literal(f"Rows that the view {table} shows. {MARK}")
            self.execute(f"CREATE TABLE {self.name(data)} ({', '.join([*marks, *lacking])}) COMMENT {note}")
            self._made.add(data)
        elif lacking:
            self.execute(f"ALTER TABLE {self.name(data)} ADD COLUMNS ({', '.join(lacking)})")
        self._physical.setdefault(data, set()).update(name_column(name, type_) for name, type_ in columns.items())

    def load(self, table: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Adds rows to a data table."""
        types = {**self._planned[table], STRATEGY: "STRING", MONTH: "STRING"}
        named = [name if name in (STRATEGY, MONTH) else name_column(name, types[name]) for name in columns]
        self._touched.add(table)
        self._connection.insert(
            self.name(DATA + table),
            [LOAD, *named],
            [self.literal(self._load)],
            [types[name] for name in columns],
            batches,
            self._lock.keep,
        )

    # -- committing

    def write_table_state(self, name: str, before: HeldTable | None, after: HeldTable | None) -> None:
        """Keeps what a table will hold."""
        if after is not None:
            self._tables[name] = after

    def write_delivery(self, values: Mapping[str, Any]) -> None:
        """Keeps what will be noted of this delivery."""
        self._delivery = {**values, "number": max(self._number, self._last_number + 1)}

    def commit(self) -> None:
        """Lists what belongs to this delivery, replaces views, and makes all of it visible by one row."""
        own = self._delivery["delivery_id"]
        self._write_state(own)
        held = self._held.tables if self._held is not None else {}
        for view in self._views.values():
            self._lock.keep()
            physical = self._physical[DATA + view.name]
            before = held[view.name].columns.items() if view.name in held else ()
            shown = {name: type_ for name, type_ in before if name_column(name, type_) in physical}
            self.execute(write_view(view, self._schema, shown))
        self._switch(own)
        for name in self._dropped:
            self.execute(f"DROP VIEW IF EXISTS {self.name(name)}")
        self._clean(own)

    def _write_state(self, own: str) -> None:
        tables = [
            (own, name, table.source, json.dumps(dict(table.columns)), json.dumps(table.key), table.basis,
             self._descriptions[name])
            for name, table in self._tables.items()
        ]  # fmt: skip
        partitions = [
            (own, name, *month, state, self._loads.get(name, {}).get(month, self._load))
            for name, table in self._tables.items()
            for month, state in table.states.items()
        ]
        for table, rows in ((TABLES, tables), (PARTITIONS, partitions)):
            if rows:
                batch = pa.RecordBatch.from_arrays(
                    [pa.array(values, pa.string()) for values in zip(*rows, strict=True)], names=list(_STATE[table])
                )
                names = list(_STATE[table])
                self._connection.insert(self.name(table), names, [], ["STRING"] * len(names), [batch], self._lock.keep)

    def _switch(self, own: str) -> None:
        """Adds the row that makes this delivery visible, unless another one was added since this one began."""
        self._lock.check()
        values = ", ".join(
            f"CAST({self._value(self._delivery[name])} AS {_STATE_TYPES[kind]})"
            for name, kind in STATE_TABLES[DELIVERIES].items()
        )
        table = self.name(DELIVERIES)
        self.execute(
            f"INSERT INTO {table} SELECT {values} "  # noqa: S608
            f"WHERE (SELECT coalesce(max(number), 0) FROM {table}) = {self._last_number}"
        )
        ((newest,),) = self.execute(f"SELECT max_by(delivery_id, number) FROM {table}")  # noqa: S608
        if newest != own:
            raise WarehouseError(f"{self.address.shown}: another delivery has come between; deliver again")

    def _clean(self, own: str) -> None:
        """Deletes what neither this delivery nor the one before it shows: queries of that one may be under way."""
        kept = ", ".join(map(self.literal, filter(None, (own, self._last_id))))
        for table in {TABLES, PARTITIONS} - self._made:
            self.execute(f"DELETE FROM {self.name(table)} WHERE delivery_id NOT IN ({kept})")  # noqa: S608
        held = self._held.tables if self._held is not None else {}
        for data in [table for table in self._physical if table.startswith(DATA)]:
            name = data.removeprefix(DATA)
            self._lock.keep()
            if name not in self._tables and name not in held:
                self.execute(f"DROP TABLE IF EXISTS {self.name(data)}")
            elif name in self._touched and data not in self._made:
                self.execute(write_deletion(name, self._schema))

    # -- names and types

    def name(self, table: str) -> str:
        """A table's name as SQL."""
        return f"{self._schema}.{self.quote(table)}"

    def _fold_all(self, types: Mapping[str, str]) -> dict[str, str]:
        return {self.fold(name): type_ for name, type_ in types.items()}

    def fold(self, name: str) -> str:
        """A name in small letters, as the catalog has those of tables."""
        return "".join(letter.lower() if letter.isascii() else letter for letter in name)

    def type_of(self, column: Column) -> str:
        """The type of a column."""
        kind = kind_of(column.type)
        return column.type.replace(" ", "") if kind == "decimal" else _TYPES.get(kind, "STRING")

    def select(self, column: Column) -> str:
        """The values of a column: text of days and times."""
        return as_uploaded(column.name, column.type, ("time",))

    def _explained(self) -> AbstractContextManager[None]:
        """Turns the driver's errors into one line."""
        return self._connection.explained()
