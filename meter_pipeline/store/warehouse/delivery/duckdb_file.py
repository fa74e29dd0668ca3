"""A DuckDB file as a target, or a database of MotherDuck: one transaction, nested values as they are.

Tables have neither keys nor indexes: DuckDB refuses to delete a key and to insert it again in one transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from meter_pipeline.config.deliveries import Address
from meter_pipeline.host.causes import LOCKED, find_cause
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.relations import Column
from meter_pipeline.store.warehouse.delivery.session import MARK, STATE_TABLES, Session, in_a_target, make_folder
from meter_pipeline.store.warehouse.delivery.state import Existing, gather_tables
from meter_pipeline.store.warehouse.delivery.types import kind_of
from meter_pipeline.store.warehouse.sql import literal, quote

_NO_EXTENSION = re.compile(r"extension .?motherduck", re.IGNORECASE)
_AS_TEXT = ("numeric", "interval", "rare")


class DuckdbSession(Session):
    """A transaction on a DuckDB file.

    Raises:
        WarehouseError: The file cannot be opened.
    """

    types = {"bigint": "BIGINT", "text": "VARCHAR", "double": "DOUBLE", "time": "TIMESTAMPTZ"}
    has_keys = False

    def __init__(self, address: Address, schema: str) -> None:
        super().__init__(address, schema)
        if not address.url.startswith("md:"):
            make_folder(Path(address.url))
        with self._explained():
            self._connection = duckdb.connect(address.url)

    def begin(self) -> None:
        """Begins the transaction; DuckDB lets one process write to a file."""
        self.execute("SET TimeZone = 'UTC'")
        self.execute("BEGIN")
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(self.schema)}")

    def load(self, table: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Inserts rows."""
        listed = ", ".join(map(quote, columns))
        for batch in batches:
            with self._explained():
                self._connection.register("_meter_incoming", batch)
                self._connection.execute(f"INSERT INTO {self.name(table)} ({listed}) FROM _meter_incoming")
                self._connection.unregister("_meter_incoming")

    def find_tables(self) -> dict[str, Existing]:
        """The tables of the schema."""
        rows = self.execute(
            "SELECT c.table_name, c.column_name, c.data_type, t.comment FROM duckdb_columns() c "  # noqa: S608
            "LEFT JOIN duckdb_tables() t USING (database_oid, table_oid) "
            f"WHERE c.database_name = current_database() AND c.schema_name = {literal(self.schema)} "
            "AND NOT starts_with(c.table_name, '_meter_') ORDER BY c.table_name, c.column_index"
        )
        return gather_tables(
            (table, column, type_, (comment or "").endswith(MARK)) for table, column, type_, comment in rows
        )

    def type_of(self, column: Column) -> str:
        """The type of a column."""
        return column.type

    def select(self, column: Column) -> str:
        """The values of a column."""
        name = quote(column.name)
        return f"CAST({name} AS VARCHAR) AS {name}" if kind_of(column.type) in _AS_TEXT else name

    def has_state(self) -> bool:
        """Whether the tables about deliveries are there."""
        rows = self.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() "  # noqa: S608
            f"AND schema_name = {literal(self.schema)}"
        )
        return STATE_TABLES.keys() <= {name for (name,) in rows}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            cause = find_cause(error)
            line = str(error).strip().splitlines()[0]
            if _NO_EXTENSION.search(line) is not None:
                line = (
                    "DuckDB's extension motherduck is missing, and could not be downloaded; run `INSTALL motherduck` "
                    f"in DuckDB {duckdb.__version__} where the network allows it"
                )
            elif cause == LOCKED or "lock" in line.lower():
                line = "another delivery, or another program, has it open; deliver again when it is closed"
            elif cause is not None:
                line = f"{line}: {in_a_target(cause)}"
            raise WarehouseError(self.address.scrub(f"{self.address.shown}: {line}")) from None
