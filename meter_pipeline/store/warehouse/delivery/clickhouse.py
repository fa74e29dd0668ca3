"""ClickHouse as a target: staging tables, which one statement exchanges for the tables.

Tables are copied by their parts, which are hard links, and rows are sent as Arrow. A table has the order of the columns
that divide it, so that the rows of a month are found again; ClickHouse keeps no key unique.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError

from meter_pipeline.config.deliveries import Address
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.dialect import Dialect
from meter_pipeline.store.warehouse.delivery.relations import Column, Relation
from meter_pipeline.store.warehouse.delivery.session import MARK
from meter_pipeline.store.warehouse.delivery.staged import StagedSession
from meter_pipeline.store.warehouse.delivery.state import DELIVERIES, PARTITIONS, TABLES, Existing, gather_tables
from meter_pipeline.store.warehouse.delivery.types import clamp, kind_of
from meter_pipeline.store.warehouse.sql import quote as in_duckdb

# Whatever it logs it raises as well, and an error that is raised becomes one line.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)

_TYPES = {
    "boolean": "Bool",
    "smallint": "Int16",
    "integer": "Int32",
    "bigint": "Int64",
    "real": "Float32",
    "double": "Float64",
    "date": "Date32",
    "timestamp": "DateTime64(6, 'UTC')",
    "time": "DateTime64(6, 'UTC')",
    "uuid": "UUID",
}
# The numbers beyond 64 bits with a sign.
_NUMERIC = {"UBIGINT": "UInt64", "HUGEINT": "Int128", "UHUGEINT": "UInt128"}
_AS_TEXT = ("numeric", "uuid", "interval", "rare", "time of day", "json")
# What ClickHouse's dates and times reach: it would take others for these, or for any other.
_FIRST_DAY, _LAST_DAY = "1900-01-01", "2299-12-31"
_SETTINGS = {
    # The comments of a table with hundreds of columns are one statement.
    "max_query_size": 16 * 1024 * 1024,
    # Times about deliveries are written in ISO 8601.
    "date_time_input_format": "best_effort",
    # A row that a server has put off would be missing from the swap.
    "async_insert": 0,
    # Where several servers hold a table, each statement sees what those before it have done.
    "select_sequential_consistency": 1,
}
#: What the query of an address may hold; `secure` is in its scheme as well.
_OPTIONS = ("ca_cert", "client_cert", "client_cert_key", "http_proxy", "https_proxy", "server_host_name", "verify")
_TIMEOUTS = {"connect_timeout": 20, "send_receive_timeout": 1800}
_WAYS_OUT = {
    **dict.fromkeys((192, 193, 194, 516), "check user and password"),
    **dict.fromkeys((497, 164), "grant this user the right"),
    81: "create the database, or name another",
    60: "deliver again",
    48: "give the database the engine Atomic, which ClickHouse's own default is",
    243: "free some space on the server's disk",
    241: "the server has too little memory free: deliver again, or leave tables out by `tables` in meter.yaml",
}
_SERVER = "check the address and the server"
_REASON = re.compile(r"(?:Code: (\d+)\. (?:DB::)?Exception: )+(.+?)(?:\s*\([A-Z]+_[A-Z_]+\).*)?$", re.DOTALL)
_LONGEST_REASON = 300


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\")


def _quote(name: str) -> str:
    return '"' + _escape(name).replace('"', '\\"') + '"'


def _literal(text: str) -> str:
    return "'" + _escape(text).replace("'", "\\'") + "'"


def _first_moment(day: str, is_date: bool) -> str:
    return f"toDate32('{day}')" if is_date else f"toDateTime64('{day} 00:00:00', 6, 'UTC')"


class ClickHouseSession(StagedSession):
    """A delivery into a database of a ClickHouse server, by its HTTP interface.

    Raises:
        WarehouseError: The server cannot be reached, or refuses.
    """

    types = {"bigint": "Int64", "text": "String", "double": "Float64", "time": "DateTime64(6, 'UTC')"}
    dialect = Dialect(_quote, _literal, _first_moment)
    has_schemas = False

    def __init__(self, address: Address, schema: str) -> None:
        super().__init__(address, schema)
        url = urlsplit(address.url)
        options = dict(parse_qsl(url.query))
        options.pop("secure", None)
        if wrong := sorted(options.keys() - set(_OPTIONS)):
            raise WarehouseError(
                f"{address.shown}: the address has an unknown option {wrong[0]!r}: give secure, {', '.join(_OPTIONS)}"
            )
        with self._explained():
            self._connection = clickhouse_connect.get_client(
                dsn=url._replace(query="").geturl(),
                secure=url.scheme == "clickhouses",
                client_name="meter-pipeline deliver",
                settings=_SETTINGS,
                # Without one, the server runs statements of several connections of this client side by side.
                autogenerate_session_id=False,
                **options,
                **_TIMEOUTS,
            )

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Executes a statement."""
        with self._explained():
            if sql.startswith("SELECT"):
                return [tuple(row) for row in self._connection.query(sql).result_rows]
            self._connection.command(sql)
        return []

    def load(self, table: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Sends rows as one stream of Arrow, of which the server makes few parts."""
        stream = _as_stream(columns, batches)
        first = next(stream, None)
        # The server takes an empty stream for a mistake.
        if first is None:
            return
        with self._explained():
            self._connection.raw_insert(
                self.written(table),
                column_names=[_quote(column) for column in columns],
                insert_block=chain([first], stream),
                fmt="ArrowStream",
            )

    def find_tables(self) -> dict[str, Existing]:
        """The tables of the database."""
        rows = self.execute(
            "SELECT t.name, c.name, c.type, endsWith(t.comment, "  # noqa: S608
            f"{_literal(MARK)}) FROM system.tables t LEFT JOIN system.columns c ON c.database = t.database AND "
            "c.table = t.name WHERE t.database = currentDatabase() AND NOT startsWith(t.name, '_meter_') "
            "ORDER BY t.name, c.position"
        )
        return gather_tables((table, column or None, type_, bool(is_ours)) for table, column, type_, is_ours in rows)

    def type_of(self, column: Column) -> str:
        """The type of a column, which may lack values."""
        kind = kind_of(column.type)
        if kind == "decimal":
            name = column.type.title().replace(",", ", ")
        else:
            name = _NUMERIC.get(column.type) or _TYPES.get(kind, "String")
        return f"Nullable({name})"

    def select(self, column: Column) -> str:
        """The values of a column; a day that ClickHouse does not have becomes the nearest that it has."""
        name, kind = in_duckdb(column.name), kind_of(column.type)
        if kind in _AS_TEXT:
            value = f"to_json({name})" if kind == "json" and column.type != "JSON" else name
            return f"CAST({value} AS VARCHAR) AS {name}"
        if kind == "date":
            return f"{clamp(name, 'DATE', _FIRST_DAY, _LAST_DAY)} AS {name}"
        if kind in ("time", "timestamp"):
            type_ = "TIMESTAMPTZ" if kind == "time" else "TIMESTAMP"
            return f"{clamp(name, type_, _FIRST_DAY, f'{_LAST_DAY} 23:59:59.999999')} AS {name}"
        return name

    def name(self, table: str) -> str:
        """A table's name as SQL."""
        return _quote(table)

    def has_state(self) -> bool:
        """Whether the tables about deliveries are there."""
        return {DELIVERIES, PARTITIONS, TABLES} <= self.identify().keys()

    def empty(self, table: str) -> None:
        """Deletes all rows of a table."""
        self.execute(f"TRUNCATE TABLE {self.written(table)}")

    def comment(self, table: str, relation: Relation) -> None:
        """Writes the comments of a table and its columns, with the mark of a delivery."""
        notes = [
            f"COMMENT COLUMN {_quote(column.target)} {_literal(column.comment or '')}"
            for column in relation.columns
            if column.comment
        ]
        notes.append(f"MODIFY COMMENT {_literal(self.describe(relation))}")
        self.execute(f"ALTER TABLE {self.written(table)} {', '.join(notes)}")

    def comment_on(self, table: str, text: str) -> None:
        """Writes the comment of a table."""
        self.execute(f"ALTER TABLE {self.written(table)} MODIFY COMMENT {_literal(text)}")

    # -- staging

    def identify(self) -> Mapping[str, str]:
        """Tables by name, with the ids that ClickHouse gives them."""
        rows = self.execute("SELECT name, toString(uuid) FROM system.tables WHERE database = currentDatabase()")
        return dict(rows)

    def now(self) -> int:
        """The server's clock."""
        ((seconds,),) = self.execute("SELECT toUnixTimestamp(now())")
        return int(seconds)

    def create_table(self, table: str, columns: str, relation: Relation | None = None) -> None:
        """Creates an empty table."""
        order: list[str] = []
        if relation is not None:
            names = dict.fromkeys([*relation.dividing, *relation.key])
            order = [_quote(relation.column(name).target) for name in names]
        self.execute(
            f"CREATE TABLE IF NOT EXISTS {_quote(table)} ({columns}) ENGINE = MergeTree ORDER BY ({', '.join(order)}) "
            "SETTINGS allow_nullable_key = 1"
        )

    def copy(self, table: str, copy: str) -> None:
        """Creates a table that shares the parts of another."""
        self.execute(f"CREATE TABLE {_quote(copy)} AS {_quote(table)}")
        self.execute(f"ALTER TABLE {_quote(copy)} ATTACH PARTITION tuple() FROM {_quote(table)}")

    def rename(self, table: str, name: str) -> None:
        """Renames a table."""
        self.execute(f"RENAME TABLE {_quote(table)} TO {_quote(name)}")

    def swap(self, swapped: Sequence[tuple[str, str]], renamed: Sequence[tuple[str, str]]) -> None:
        """Renames new tables in one statement, and exchanges all others in another."""
        if renamed:
            listed = ", ".join(f"{_quote(staged)} TO {_quote(table)}" for table, staged in renamed)
            self.execute(f"RENAME TABLE {listed}")
        if swapped:
            listed = ", ".join(f"{_quote(table)} AND {_quote(staged)}" for table, staged in swapped)
            self.execute(f"EXCHANGE TABLES {listed}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns the driver's errors into one line, without what the address hides."""
        try:
            yield
        except (ClickHouseError, OSError) as error:
            raise WarehouseError(_explain(error, self.address.shown, self.address.scrub)) from None


def _explain(error: Exception, shown: str, scrub: Callable[[str], str]) -> str:
    found = _REASON.search(str(error))
    if found is not None:
        way_out, reason = _WAYS_OUT.get(int(found[1]), _SERVER), found[2]
    else:
        way_out, reason = _SERVER, str(_root_of(error)) or type(error).__name__
    line = " ".join(reason.split()).rstrip(".")
    line = line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
    return scrub(f"{shown}: {line}; {way_out}")


def _root_of(error: BaseException) -> BaseException:
    """What an error was raised for: the driver's own text repeats the whole request."""
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, BaseException) else error.__cause__
    return error if cause is None else _root_of(cause)


def _as_stream(columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """Arrow's stream format, piece by piece, with the columns' names in the target."""
    piece = io.BytesIO()
    writer = None
    for batch in batches:
        named = batch.rename_columns(list(columns))
        if writer is None:
            writer = pa.ipc.new_stream(piece, named.schema)
        writer.write_batch(named)
        yield piece.getvalue()
        piece.seek(0)
        piece.truncate()
    if writer is not None:
        writer.close()
        yield piece.getvalue()
