"""Snowflake as a target: Parquet files in a temporary stage, which one transaction copies into the tables.

A statement that defines something commits the transaction it is in, so those come before and after it. Names are in
upper case there, as Snowflake has those that are written without quotes.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import snowflake.connector
from snowflake.connector import errors

from meter_pipeline.config.deliveries import Address
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.dialect import Dialect
from meter_pipeline.store.warehouse.delivery.holder import LEASE, RENEWAL, describe_refusal, has_ended, name_holder
from meter_pipeline.store.warehouse.delivery.planned import Described, PlannedSession, staged_name
from meter_pipeline.store.warehouse.delivery.relations import Column
from meter_pipeline.store.warehouse.delivery.session import MARK
from meter_pipeline.store.warehouse.delivery.types import as_uploaded, kind_of

# Whatever it logs it raises as well, and an error that is raised becomes one line.
logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)

_INTEGER = "NUMBER(38,0)"
# As the catalog spells them.
_TYPES = {
    "boolean": "BOOLEAN",
    "smallint": _INTEGER,
    "integer": _INTEGER,
    "bigint": _INTEGER,
    "numeric": _INTEGER,
    "real": "FLOAT",
    "double": "FLOAT",
    "date": "DATE",
    "timestamp": "TIMESTAMP_NTZ",
    "time": "TIMESTAMP_TZ",
}
_SESSION = {
    "QUERY_TAG": "meter-pipeline deliver",
    "TIMEZONE": "UTC",
    "DATE_INPUT_FORMAT": "AUTO",
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
    # A transaction that a killed delivery has left is rolled back after 5 idle minutes, once another waits for it.
    "LOCK_TIMEOUT": 900,
    "CLIENT_TELEMETRY_ENABLED": False,
}
#: What the query of an address may hold.
_OPTIONS = (
    "warehouse", "role", "authenticator", "token", "private_key_file", "private_key_file_pwd", "host", "port",
    "protocol",
)  # fmt: skip
# They would open a browser or ask a question, and wait for somebody.
_INTERACTIVE = ("externalbrowser", "username_password_mfa", "oauth_authorization_code")
_LOCK = "_meter_lock"
# The beginning of the name of a table that is filled to take the place of another.
_NEW = "_meter_new_"
_LONGEST_REASON = 300
# For how long the driver repeats what has failed.
_LOGIN_SECONDS, _NETWORK_SECONDS = 30, 300
_CREDENTIALS = "check user and password, key or token"
_WAYS_OUT = {
    390100: _CREDENTIALS,
    390144: _CREDENTIALS,
    250001: _CREDENTIALS,
    251005: "name a user: snowflake://user@account/database/schema",
    251006: "give a password, or a key by ?private_key_file=",
    251007: "check the options of the address",
    606: "name a warehouse in the address, as ?warehouse=NAME, or give this user a default one",
    2003: "check the names of database and schema, or grant this role the right to use them",
    2043: "check the names of database and schema, or grant this role the right to use them",
    3001: "grant this role the right",
    90073: "wait, or ask for more credits: the warehouse has reached its limit",
    100038: "leave the table out by `tables` in meter.yaml",
    100078: "leave the table out by `tables` in meter.yaml",
}
_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER = {large: small for small, large in _UPPER.items()}


def _quote(name: str) -> str:
    return '"' + name.translate(_UPPER).replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _first_moment(day: str, is_date: bool) -> str:
    return f"'{day}'::DATE" if is_date else f"'{day}T00:00:00+00:00'::TIMESTAMP_TZ"


class SnowflakeSession(PlannedSession):
    """A delivery into a schema of Snowflake.

    Raises:
        WarehouseError: Snowflake cannot be reached, or refuses.
    """

    types = {"bigint": _INTEGER, "text": "TEXT", "double": "FLOAT", "time": "TIMESTAMP_TZ"}
    dialect = Dialect(_quote, _literal, _first_moment)

    def __init__(self, address: Address, schema: str) -> None:
        super().__init__(address, schema)
        url = urlsplit(address.url)
        options = dict(parse_qsl(url.query))
        if wrong := sorted(options.keys() - set(_OPTIONS)):
            raise WarehouseError(
                f"{address.shown}: the address has an unknown option {wrong[0]!r}: give {', '.join(_OPTIONS)}"
            )
        if options.get("authenticator", "").lower() in _INTERACTIVE:
            raise WarehouseError(
                f"{address.shown}: the authenticator {options['authenticator']} waits for somebody: give a key by "
                "?private_key_file=, or a token"
            )
        self._database, _, self._schema = url.path.strip("/").partition("/")
        # Deliveries of one process are apart as well.
        self._holder = f"{name_holder()} {uuid.uuid4().hex}"
        self._stage = f"_meter_stage_{uuid.uuid4().hex}"
        self._is_locked, self._renewed_at = False, 0.0
        try:
            with self._explained():
                self._connection = snowflake.connector.connect(
                    account=url.netloc.rpartition("@")[2],
                    user=unquote(url.username or ""),
                    **({"password": unquote(url.password)} if url.password else {}),
                    **options,
                    session_parameters=_SESSION,
                    autocommit=True,
                    login_timeout=_LOGIN_SECONDS,
                    network_timeout=_NETWORK_SECONDS,
                    application="meter_pipeline",
                )
        except (ValueError, TypeError) as error:
            # The driver reads keys by a library whose errors it lets pass.
            reason = str(error).partition(". See ")[0]
            raise WarehouseError(
                address.scrub(f"{address.shown}: {reason}; check the options, the key file and its password")
            ) from None

    # -- one delivery at a time

    def begin(self) -> None:
        """Makes sure that the schema is there, and that no other delivery is under way."""
        database, schema = _quote(self._database), _literal(self._schema.translate(_UPPER))
        rows = self.run(f"SELECT 1 FROM {database}.INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = {schema}")  # noqa: S608
        # `IF NOT EXISTS` needs the right to create schemas even where it creates none.
        if not rows:
            self.run(f"CREATE SCHEMA IF NOT EXISTS {database}.{_quote(self._schema)}")
        self.run(f"USE SCHEMA {database}.{_quote(self._schema)}")
        self._acquire()
        self.listed = self._list_tables()
        for name in [name for name in self.listed if name.startswith(_NEW)]:
            self.drop_table(name)
            del self.listed[name]
        self.run(f"CREATE TEMPORARY STAGE {self.name(self._stage)}")

    def close(self) -> None:
        """Rolls back, releases the lock, and ends the session, with which Snowflake drops the stage."""
        # What has failed may be the connection; then the lock expires.
        with suppress(WarehouseError):
            self.run("ROLLBACK")
            if self._is_locked:
                self.run(f"UPDATE {self.name(_LOCK)} SET HOLDER = '' WHERE {self._is_mine}")  # noqa: S608
        with suppress(errors.Error):
            self._connection.close()

    def _acquire(self) -> None:
        if _LOCK not in self._list_tables():
            # Of two that create it, one fails: then it is there.
            with suppress(WarehouseError):
                self.run(
                    f"CREATE TABLE {self.name(_LOCK)} AS SELECT ''::TEXT AS HOLDER, "
                    "CURRENT_TIMESTAMP()::TIMESTAMP_TZ AS EXPIRES"
                )
        free = ["HOLDER = ''", "EXPIRES < CURRENT_TIMESTAMP()"]
        for (holder,) in self.run(f"SELECT HOLDER FROM {self.name(_LOCK)}"):  # noqa: S608
            free += [f"HOLDER = {_literal(holder)}"] if has_ended(holder) else []
        if not self._hold(" OR ".join(free)):
            raise WarehouseError(describe_refusal(self.address.shown))
        self._is_locked = True

    def _hold(self, where: str) -> bool:
        """Makes the lock this delivery's where a condition holds; whether it did."""
        ((updated, *_),) = self.run(
            f"UPDATE {self.name(_LOCK)} SET HOLDER = {_literal(self._holder)}, "  # noqa: S608
            f"EXPIRES = DATEADD('second', {LEASE.seconds}, CURRENT_TIMESTAMP()) WHERE {where}"
        )
        self._renewed_at = time.monotonic()
        return bool(updated)

    @property
    def _is_mine(self) -> str:
        return f"HOLDER = {_literal(self._holder)}"

    def _keep(self) -> None:
        """Renews the lock, a statement every five minutes however often it is called.

        Raises:
            WarehouseError: Another delivery has taken it over.
        """
        if time.monotonic() - self._renewed_at > RENEWAL.seconds and not self._hold(self._is_mine):
            raise WarehouseError(f"{self.address.shown}: another delivery has come between; deliver again")

    # -- reading

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Executes a statement at once."""
        with self._explained(), self._connection.cursor() as cursor:
            return [tuple(row) for row in cursor.execute(sql).fetchall()]

    def _list_tables(self) -> dict[str, bool]:
        """Tables by name, and whether a delivery has made them; names in small letters cannot be in the way."""
        rows = self.run(
            f"SELECT TABLE_NAME, COMMENT FROM {_quote(self._database)}.INFORMATION_SCHEMA.TABLES "  # noqa: S608
            f"WHERE TABLE_SCHEMA = {_literal(self._schema.translate(_UPPER))}"
        )
        return {
            name.translate(_LOWER): (comment or "").endswith(MARK)
            for name, comment in rows
            if name == name.translate(_UPPER)
        }

    def list_columns(self) -> Iterable[tuple[str, str, str]]:
        """Table, name and type of every column."""
        rows = self.run(
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE "  # noqa: S608
            f"FROM {_quote(self._database)}.INFORMATION_SCHEMA.COLUMNS "
            f"WHERE TABLE_SCHEMA = {_literal(self._schema.translate(_UPPER))} ORDER BY TABLE_NAME, ORDINAL_POSITION"
        )
        for table, column, type_, precision, scale in rows:
            if table == table.translate(_UPPER):
                yield (
                    table.translate(_LOWER),
                    # One in small letters is of somebody else's making.
                    column.translate(_LOWER) if column == column.translate(_UPPER) else f'"{column}"',
                    f"NUMBER({precision},{scale})" if type_ == "NUMBER" else type_,
                )

    # -- rows

    def upload(self, columns: Sequence[str], types: Mapping[str, str], file: Path) -> str:
        """Puts a file into the stage."""
        self._keep()
        renamed = file.rename(file.with_name(f"{uuid.uuid4().hex}.parquet"))
        # It is compressed already.
        self.run(f"PUT {_literal(f'file://{renamed.as_posix()}')} @{self.name(self._stage)} AUTO_COMPRESS = FALSE")
        return renamed.name

    def insert(self, table: str, columns: Sequence[str], types: Mapping[str, str]) -> str:
        """The statement that copies the rows of a file into a table."""
        return self._copy(self.uploaded[table], table, columns, types)

    def _copy(self, file: str, table: str, columns: Sequence[str], types: Mapping[str, str]) -> str:
        listed = ", ".join(map(_quote, columns))
        values = ", ".join(f"$1:{staged_name(place)}::{types[name]}" for place, name in enumerate(columns))
        return (
            f"COPY INTO {self.name(table)} ({listed}) FROM (SELECT {values} FROM @{self.name(self._stage)}/{file}) "  # noqa: S608
            "FILE_FORMAT = (TYPE = PARQUET)"
        )

    # -- committing

    def describe_table(self, name: str, table: Described) -> None:
        """Creates a table, or adds the columns that it lacks."""
        self._keep()
        if name not in self.listed:
            self._create(name, table)
            self.listed[name] = True
            return
        for column in table.columns.keys() - self.existing.get(name, {}).keys():
            self.run(f"ALTER TABLE {self.name(name)} ADD COLUMN {self._define(column, table)}")
        self.comment_on(name, table.comment)

    def comment_on(self, table: str, text: str) -> None:
        """Writes the comment of a table."""
        self.run(f"COMMENT ON TABLE {self.name(table)} IS {_literal(text)}")

    def _create(self, name: str, table: Described) -> None:
        parts = [self._define(column, table) for column in table.columns]
        if table.key:
            parts.append(f"PRIMARY KEY ({', '.join(map(_quote, table.key))})")
        self.run(f"CREATE TABLE {self.name(name)} ({', '.join(parts)}) COMMENT = {_literal(table.comment)}")

    def _define(self, column: str, table: Described) -> str:
        comment = table.comments.get(column)
        return f"{_quote(column)} {table.columns[column]}" + (f" COMMENT {_literal(comment)}" if comment else "")

    def replace(self, name: str, table: Described, columns: Sequence[str]) -> None:
        """Fills another table, which then takes the place of the old one with its rights."""
        self._keep()
        filled = f"{_NEW}{uuid.uuid4().hex}"
        self._create(filled, Described(table.columns, {}, table.comment))
        if name in self.uploaded:
            self.run(self._copy(self.uploaded[name], filled, columns, table.columns))
        self.run(
            f"CREATE OR REPLACE TABLE {self.name(name)} COPY GRANTS COMMENT = {_literal(table.comment)} "  # noqa: S608
            f"AS SELECT * FROM {self.name(filled)}"
        )
        self.drop_table(filled)
        for column, comment in table.comments.items():
            self.run(f"COMMENT ON COLUMN {self.name(name)}.{_quote(column)} IS {_literal(comment)}")
        if table.key:
            self.run(f"ALTER TABLE {self.name(name)} ADD PRIMARY KEY ({', '.join(map(_quote, table.key))})")

    def transact(self, statements: Sequence[str], number: int) -> None:
        """Executes statements in one transaction, which keeps the lock from others until it ends."""
        self.run("BEGIN TRANSACTION")
        if not self._hold(self._is_mine):
            raise WarehouseError(f"{self.address.shown}: another delivery has come between; deliver again")
        for statement in statements:
            self.run(statement)
        self.run("COMMIT")

    def drop_table(self, name: str) -> None:
        """Drops a table."""
        self.run(f"DROP TABLE IF EXISTS {self.name(name)}")

    # -- names and types

    def fold(self, name: str) -> str:
        """A name in small letters: `quote` writes it in capitals."""
        return name.translate(_LOWER)

    def type_of(self, column: Column) -> str:
        """The type of a column."""
        kind = kind_of(column.type)
        return column.type.replace("DECIMAL", "NUMBER") if kind == "decimal" else _TYPES.get(kind, "TEXT")

    def select(self, column: Column) -> str:
        """The values of a column: text of days and times."""
        return as_uploaded(column.name, column.type, ("time", "timestamp"))

    def name(self, table: str) -> str:
        """A table's name as SQL."""
        return ".".join(map(_quote, (self._database, self._schema, table)))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns the driver's errors into one line, without what the address hides."""
        try:
            yield
        except (errors.Error, OSError) as error:
            raise WarehouseError(_explain(error, self.address.shown, self.address.scrub)) from None


def _explain(error: Exception, shown: str, scrub: Callable[[str], str]) -> str:
    text = getattr(error, "raw_msg", None) or getattr(error, "msg", None) or str(error) or type(error).__name__
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and error.filename:
        way_out = "check the path"
    elif isinstance(error, (OSError, errors.OperationalError)):
        way_out = "check the account's name and the network"
    else:
        way_out = _WAYS_OUT.get(number or 0, "deliver again")
    line = " ".join(text.split()).rstrip(".")
    line = line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
    return scrub(f"{shown}: {line}; {way_out}")
