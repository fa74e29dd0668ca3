"""Rows of the ledger as Arrow batches, for tables of millions of rows.

The database writes rows as CSV, which Arrow parses: no value becomes an object of Python. For 2 million jobs this takes
12 s of processor time, where rows of Python take 17 s (and those of SQLAlchemy 50 s).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import csv
from sqlalchemy import Connection, Table

_UTC = pa.timestamp("us", tz="UTC")
_TYPES = {int: pa.int64(), bool: pa.bool_(), float: pa.float64()}
# Size of the rows that are parsed together (bytes).
_BLOCK_BYTES = 4 * 2**20
_FETCHED_ROWS = 200
_QUOTED = csv.ParseOptions(quote_char="'", double_quote=True, newlines_in_values=True)


def schema_of(table: Table, hidden: Sequence[str] = ()) -> pa.Schema:
    """The Arrow schema of a table of the ledger without some columns; times are timestamps."""
    return pa.schema([(column.name, type_of(column)) for column in table.columns if column.name not in hidden])


def type_of(column: Any) -> pa.DataType:
    """The Arrow type of a column of the ledger."""
    return _UTC if column.name.endswith("_at") else _TYPES.get(column.type.python_type, pa.string())


def read_batches(
    connection: Connection, table: Table, schema: pa.Schema, where: str = "true"
) -> Iterator[pa.RecordBatch]:
    """Rows of a table in the columns of a schema.

    Args:
        connection: A transaction of the ledger.
        table: The table.
        schema: Some of its columns, typed as by `type_of`.
        where: A condition in SQL, without anything from outside.
    """
    # A null is the bare word or nothing, and texts are quoted, so that an empty text and the text NULL stay what they
    # are.
    converted = csv.ConvertOptions(
        column_types=schema,
        null_values=["NULL", ""],
        true_values=["1", "t"],
        false_values=["0", "f"],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    sqlite = connection.dialect.name == "sqlite"
    rows = _sqlite_rows if sqlite else _postgres_rows
    for block in _gather(rows(connection, table.name, schema, where), b"\n" if sqlite else b""):
        read = csv.ReadOptions(column_names=schema.names, block_size=len(block) + 1, use_threads=False)
        yield from csv.read_csv(pa.BufferReader(block), read, _QUOTED, converted).to_batches()


def read_table(connection: Connection, table: Table, schema: pa.Schema, where: str = "true") -> pa.Table:
    """Rows as `read_batches`, in one table."""
    return pa.Table.from_batches(list(read_batches(connection, table, schema, where)), schema)


def _gather(rows: Iterator[bytes], separator: bytes) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for text in rows:
        waiting.append(text)
        size += len(text)
        if size > _BLOCK_BYTES:
            yield separator.join(waiting)
            waiting, size = [], 0
    if waiting:
        yield separator.join(waiting)


def _sqlite_rows(connection: Connection, table: str, schema: pa.Schema, where: str) -> Iterator[bytes]:
    """Rows of SQLite, some in each text; its %Q quotes a text as CSV does, and writes a null as the bare word.

    Numbers and times need no quotes: without them, reading takes a quarter less.
    """
    formats = ",".join("%Q" if pa.types.is_string(field.type) else "%s" for field in schema)
    columns = ",".join(f'"{name}"' for name in schema.names)
    cursor = connection.connection.cursor()
    try:
        cursor.execute(f"SELECT CAST(printf('{formats}', {columns}) AS BLOB) FROM {table} WHERE {where}")  # noqa: S608
        while rows := cursor.fetchmany(_FETCHED_ROWS):
            yield b"\n".join([row[0] for row in rows])
    finally:
        cursor.close()


def _postgres_rows(connection: Connection, table: str, schema: pa.Schema, where: str) -> Iterator[bytes]:
    columns = ",".join(f'"{name}"' for name in schema.names)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        query = f"SELECT {columns} FROM {table} WHERE {where}"  # noqa: S608
        with cursor.copy(
            f"COPY ({query}) TO STDOUT (FORMAT csv, QUOTE '''', NULL 'NULL', FORCE_QUOTE *, ENCODING 'UTF8')"
        ) as copied:
            yield from map(bytes, copied)
