"""Delivery into a database whose transactions change rows, but no tables or columns.

Rows are uploaded first, and every statement that changes something is kept in a *plan*. The plan is carried out when
all rows are there: new tables and columns, which are empty, come just before the transaction. Rows of tables whose
columns have changed their type are replaced just before it, too, and tables are dropped after it. What is not in the
transaction is noted before it happens, so that the next delivery repairs what a crash has left.
"""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from meter_pipeline.config.deliveries import Address
from meter_pipeline.store.warehouse.delivery.relations import Column, Relation
from meter_pipeline.store.warehouse.delivery.session import ABOUT, STATE_TABLES, Session
from meter_pipeline.store.warehouse.delivery.state import DELIVERIES, PARTITIONS, TABLES, Existing, Held, HeldTable


@dataclass(frozen=True)
class Described:
    """A table as it is to be.

    Attributes:
        columns: Types of the columns by name, in their order.
        comments: Comments of columns; those without one are absent.
        comment: What the table holds.
        key: Columns of the primary key.
    """

    columns: Mapping[str, str]
    comments: Mapping[str, str]
    comment: str
    key: tuple[str, ...] = ()


@dataclass
class _Plan:
    """What a delivery will do when everything is uploaded, in this order.

    Attributes:
        tables: Tables to create or to describe again, by name.
        replaced: Columns of the tables whose rows are replaced as a whole, by table.
        groups: Statements for one table each, with those about its state.
        dropped: Tables to drop.
    """

    tables: dict[str, Described] = field(default_factory=dict)
    replaced: dict[str, list[str]] = field(default_factory=dict)
    groups: list[list[str]] = field(default_factory=lambda: [[]])
    dropped: list[str] = field(default_factory=list)


class PlannedSession(Session):
    """A delivery that is planned first.

    Raises:
        WarehouseError: The target cannot be reached, or refuses.
    """

    has_schemas = False
    #: How many tables a transaction may change, and how many characters its statements may have; 0 for any number.
    max_tables = max_characters = 0

    def __init__(self, address: Address, schema: str) -> None:
        super().__init__(address, schema)
        self._plan = _Plan()
        #: What `upload` has returned, by table.
        self.uploaded: dict[str, str] = {}
        #: Tables of the target, and whether a delivery has made them; `begin` sets it.
        self.listed: dict[str, bool] = {}
        #: Types of columns by table, as they are in the target.
        self.existing: dict[str, dict[str, str]] = {}
        # The same, as the plan leaves them.
        self._planned: dict[str, dict[str, str]] = {}
        self._held: Held | None = None
        # The highest number of a delivery.
        self._number = 0
        self._is_reset = False

    # -- what differs between kinds of targets

    @abstractmethod
    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Executes a statement at once, and returns its rows."""

    @abstractmethod
    def list_columns(self) -> Iterable[tuple[str, str, str]]:
        """Table, name and type of every column, in the order of the columns."""

    @abstractmethod
    def upload(self, columns: Sequence[str], types: Mapping[str, str], file: Path) -> str:
        """Uploads a Parquet file, whose columns are named by `staged_name`, and returns what it is found by."""

    @abstractmethod
    def insert(self, table: str, columns: Sequence[str], types: Mapping[str, str]) -> str:
        """The statement that adds uploaded rows to a table."""

    @abstractmethod
    def describe_table(self, name: str, table: Described) -> None:
        """Creates a table, or adds the columns and comments that it lacks."""

    @abstractmethod
    def replace(self, name: str, table: Described, columns: Sequence[str]) -> None:
        """Gives a table other columns and the uploaded rows, if there are any, in one statement."""

    @abstractmethod
    def transact(self, statements: Sequence[str], number: int) -> None:
        """Executes statements in one transaction, if `number` is that of the last delivery."""

    @abstractmethod
    def drop_table(self, name: str) -> None:
        """Drops a table unless it is gone, at once."""

    # -- reading

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Runs a query; a statement that changes rows is kept for the transaction."""
        if sql.startswith("SELECT"):
            return self.run(sql)
        self._plan.groups[-1].append(sql)
        return []

    def find_tables(self) -> dict[str, Existing]:
        """The tables of the target."""
        for table, column, type_ in self.list_columns():
            self.existing.setdefault(table, {})[column] = type_
        self._planned = {table: dict(columns) for table, columns in self.existing.items()}
        self._held = super().read_held()
        if DELIVERIES in self.listed:
            ((number,),) = self.run(f"SELECT MAX({self.quote('number')}) FROM {self.name(DELIVERIES)}")  # noqa: S608
            self._number = int(number or 0)
        self._tidy()
        return {
            table: Existing(self.existing.get(table, {}), is_ours)
            for table, is_ours in self.listed.items()
            if not table.startswith("_meter_")
        }

    def has_state(self) -> bool:
        """Whether the tables about deliveries are there."""
        return {DELIVERIES, TABLES, PARTITIONS} <= self.listed.keys()

    def read_held(self) -> Held | None:
        """What the target has, as `find_tables` has read it."""
        return self._held

    def _tidy(self) -> None:
        """Drops tables that a killed delivery has left: those that it had yet to fill, or to drop."""
        if self._held is None or not self._held.publication_id:
            return
        left = [
            name
            for name, is_ours in self.listed.items()
            if is_ours and name not in self._held.tables and not name.startswith("_meter_")
        ]
        for name in left:
            self.drop_table(name)
            del self.listed[name]

    # -- preparing: rows are uploaded, everything else goes into the plan

    def create(self, relation: Relation) -> str:
        """Plans a table; it is created when all rows are uploaded."""
        self._planned[relation.target] = {column.target: self.type_of(column) for column in relation.columns}
        return relation.target

    def load(self, table: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Uploads rows as a Parquet file, from where the transaction takes them."""
        types = self._planned[table]
        with tempfile.TemporaryDirectory(prefix="meter-delivery-") as folder:
            file = Path(folder) / "rows.parquet"
            if _write(file, batches):
                self.uploaded[table] = self.upload(columns, types, file)
                self._plan.groups[-1].append(self.insert(table, columns, types))

    def put_in_place(self, table: str, relation: Relation, old: Existing | None) -> None:
        """Plans the replacement of a table whose columns have changed their type, with its rows."""
        if old is None:
            return
        self._plan.replaced[table] = [column.target for column in relation.columns]
        if table in self.uploaded:
            # The replacement brings the rows that the transaction would have inserted.
            self._plan.groups[-1].pop()

    def add_columns(self, table: str, columns: Iterable[Column]) -> None:
        """Plans columns, which `comment` adds with their comments."""
        self._planned[table] |= {column.target: self.type_of(column) for column in columns}

    def comment(self, table: str, relation: Relation) -> None:
        """Plans the columns of a table, their comments and the primary key."""
        self._plan.tables[table] = Described(
            columns=self._planned[table],
            comments={column.target: column.comment for column in relation.columns if column.comment},
            comment=self.describe(relation),
            key=tuple(relation.column(name).target for name in relation.key),
        )

    def reset_state(self) -> None:
        """Plans empty tables about deliveries."""
        for table, columns in STATE_TABLES.items():
            types = {name: self.types[kind] for name, kind in columns.items()}
            self._plan.tables[table] = Described(types, {}, ABOUT[table])
            self.empty(table)
        self._is_reset = True

    def empty(self, table: str) -> None:
        """Deletes all rows of a table."""
        self.execute(f"DELETE FROM {self.name(table)} WHERE TRUE")  # noqa: S608

    def drop(self, table: str) -> None:
        """Plans to drop a table."""
        self._plan.dropped.append(table)

    def write_table_state(self, name: str, before: HeldTable | None, after: HeldTable | None) -> None:
        """Notes the states of a table's months."""
        # The state of a table that is replaced is taken away before.
        super().write_table_state(name, None if name in self._plan.replaced else before, after)
        self._plan.groups.append([])

    # -- committing

    def commit(self) -> None:
        """Does what was planned, the changes of rows in one transaction."""
        plan, number = self._plan, self._number
        scripts = list(self._pack([group for group in plan.groups if group]))
        for name, table in plan.tables.items():
            if name not in plan.replaced:
                self.describe_table(name, table)
        if plan.replaced or len(scripts) > 1:
            self._admit()
        for name, columns in plan.replaced.items():
            self.replace(name, plan.tables[name], columns)
        for script in scripts:
            self.transact(script, number)
            number = 0 if self._is_reset else number
        for name in plan.dropped:
            self.drop_table(name)

    def _admit(self) -> None:
        """Notes that the target has no whole publication for a moment, so that no delivery relies on one."""
        number = self.quote("number")
        statements = [
            f"UPDATE {self.name(DELIVERIES)} SET {self.quote('publication_id')} = '' WHERE {number} = {self._number}"  # noqa: S608
        ]
        if self._plan.replaced:
            names = ", ".join(map(self.literal, self._plan.replaced))
            statements += [
                f"DELETE FROM {self.name(state)} WHERE table_name IN ({names})"  # noqa: S608
                for state in (TABLES, PARTITIONS)
            ]
        self.transact(statements, self._number)

    def _pack(self, groups: Iterable[list[str]]) -> Iterator[list[str]]:
        """Statements of as many tables as one transaction takes."""
        script: list[str] = []
        tables = characters = 0
        for group in groups:
            size = sum(len(statement) + 2 for statement in group)
            is_full = (self.max_tables and tables >= self.max_tables) or (
                self.max_characters and characters + size > self.max_characters
            )
            if script and is_full:
                yield script
                script, tables, characters = [], 0, 0
            script = [*script, *group]
            tables, characters = tables + 1, characters + size
        yield script


def staged_name(place: int) -> str:
    """The name of a column in an uploaded file, by its place: files take fewer characters in names than tables do."""
    return f"c{place}"


def _write(file: Path, batches: Iterable[pa.RecordBatch]) -> bool:
    """Writes rows as Parquet; whether there were any."""
    writer = None
    for batch in batches:
        renamed = batch.rename_columns([staged_name(place) for place in range(batch.num_columns)])
        writer = writer or pq.ParquetWriter(file, renamed.schema, compression="zstd")
        writer.write_batch(renamed)
    if writer is not None:
        writer.close()
    return writer is not None
