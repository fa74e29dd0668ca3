"""BigQuery as a target: load jobs into staging tables, then one multi-statement transaction.

A transaction of BigQuery changes rows, in at most 100 tables.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import google.auth.exceptions
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY
from google.cloud.bigquery.table import PrimaryKey, TableConstraints

from meter_pipeline.config.deliveries import Address
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.bigquery_lock import LOCK, Lock, acquire
from meter_pipeline.store.warehouse.delivery.dialect import Dialect
from meter_pipeline.store.warehouse.delivery.planned import Described, PlannedSession, staged_name
from meter_pipeline.store.warehouse.delivery.relations import Column
from meter_pipeline.store.warehouse.delivery.state import DELIVERIES
from meter_pipeline.store.warehouse.delivery.types import as_plain, clamp, kind_of
from meter_pipeline.store.warehouse.sql import quote as in_duckdb

_TYPES = {
    "boolean": "BOOL",
    "smallint": "INT64",
    "integer": "INT64",
    "bigint": "INT64",
    "real": "FLOAT64",
    "double": "FLOAT64",
    "date": "DATE",
    "time": "TIMESTAMP",
    # Its type JSON refuses numbers that it would have to round; its functions read JSON text as well.
    "json": "STRING",
    "numeric": "BIGNUMERIC",
    "decimal": "BIGNUMERIC",
}
_LABELS = {"delivered_by": "meter-pipeline"}
# Staging tables that a killed delivery has left are deleted by BigQuery.
_STAGING_LIFE = timedelta(days=1)
# What its days and times reach.
_FIRST_DAY, _LAST_DAY = "0001-01-01", "9999-12-31"
# BigQuery: 100 tables in a transaction, 1,048,576 characters in a query. Three tables are those about deliveries.
_MAX_TABLES, _MAX_CHARACTERS = 97, 900_000
# BigQuery's limit, in characters.
_MAX_COLUMN_COMMENT = 1024
_WAYS_OUT = {
    400: "leave the table out by `tables` in meter.yaml if it is about one",
    401: "check the credentials: `gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS",
    403: "grant this account the roles BigQuery Data Editor and BigQuery Job User",
    404: "check the names of project and dataset",
}
_QUOTA = re.compile("quota|limitexceeded", re.IGNORECASE)
_FIRST_RETRY = DEFAULT_RETRY.with_timeout(20)
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\0": ""})


def _first_moment(day: str, is_date: bool) -> str:
    return f"DATE '{day}'" if is_date else f"TIMESTAMP '{day} 00:00:00+00'"


_DIALECT = Dialect(
    quote=lambda name: "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`",
    literal=lambda text: f"'{text.translate(_ESCAPES)}'",
    first_moment=_first_moment,
)


class BigQuerySession(PlannedSession):
    """A delivery to a dataset of BigQuery.

    Raises:
        WarehouseError: There are no credentials, or BigQuery refuses.
    """

    types = {"bigint": "INT64", "text": "STRING", "double": "FLOAT64", "time": "TIMESTAMP"}
    dialect = _DIALECT
    max_tables, max_characters = _MAX_TABLES, _MAX_CHARACTERS

    def __init__(self, address: Address, schema: str) -> None:
        super().__init__(address, schema)
        path, _, query = address.url.partition("?")
        self._project, _, self._dataset = path.removeprefix("bigquery://").partition("/")
        options = {name: values[-1] for name, values in parse_qs(query).items()}
        self._lock: Lock | None = None
        endpoint = options.get("endpoint")
        with self._explained():
            self._connection = bigquery.Client(
                self._project,
                # An emulator is sent no credentials.
                credentials=AnonymousCredentials() if endpoint else None,
                client_options={"api_endpoint": endpoint} if endpoint else None,
                location=options.get("location"),
            )

    # -- one delivery at a time

    def begin(self) -> None:
        """Makes sure that the dataset is there, and that no other delivery is under way."""
        with self._explained():
            try:
                # The first request: a server that cannot be reached is not waited for long.
                self._connection.get_dataset(self._reference(), retry=_FIRST_RETRY)
            except exceptions.NotFound:
                self._connection.create_dataset(self._reference(), exists_ok=True)
            self._lock = acquire(self._connection, self._path(LOCK), self.address.shown)
            self.listed = {
                item.table_id: item.labels.items() >= _LABELS.items()
                for item in self._connection.list_tables(self._reference())
            }

    def close(self) -> None:
        """Deletes the staging tables and the lock."""
        # Both expire, so a delivery that is done has not failed for them.
        with suppress(exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError, requests.RequestException):
            for table in self.uploaded.values():
                self._connection.delete_table(self._path(table), not_found_ok=True)
            if self._lock is not None:
                self._lock.release()
        self._connection.close()

    def _renew(self) -> None:
        if self._lock is not None:
            self._lock.renew()

    # -- reading

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Runs a query or a script."""
        return self._run(sql)

    def _run(self, sql: str, config: bigquery.QueryJobConfig | None = None) -> list[tuple[Any, ...]]:
        with self._explained():
            self._renew()
            return [tuple(row) for row in self._connection.query(sql, job_config=config).result()]

    def list_columns(self) -> Iterable[tuple[str, str, str]]:
        """Table, name and type of every column."""
        rows = self.run(
            f"SELECT table_name, column_name, data_type FROM {self.name('INFORMATION_SCHEMA')}.COLUMNS "  # noqa: S608
            "ORDER BY table_name, ordinal_position"
        )
        return ((table, column, type_) for table, column, type_ in rows)

    # -- rows

    def upload(self, columns: Sequence[str], types: Mapping[str, str], file: Path) -> str:
        """Loads a file into a staging table, and returns its name."""
        name = f"_meter_new_{uuid.uuid4().hex}"
        staging = bigquery.Table(self._path(name), _stage_schema(columns, types))
        staging.expires = datetime.now(timezone.utc) + _STAGING_LIFE
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=staging.schema,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
        )
        with self._explained(), file.open("rb") as content:
            self._renew()
            self._connection.create_table(staging)
            self._connection.load_table_from_file(content, staging.reference, job_config=config).result()
        return name

    def insert(self, table: str, columns: Sequence[str], types: Mapping[str, str]) -> str:
        """The statement that adds the rows of the staging table."""
        listed = ", ".join(map(self.quote, columns))
        return f"INSERT INTO {self.name(table)} ({listed}) {self._read_staged(table, columns, types)}"

    def _read_staged(self, table: str, columns: Iterable[str], types: Mapping[str, str]) -> str:
        values = ", ".join(
            f"CAST({staged_name(place)} AS {types[name]}) AS {self.quote(name)}"
            if types[name] == "BIGNUMERIC"
            else f"{staged_name(place)} AS {self.quote(name)}"
            for place, name in enumerate(columns)
        )
        return f"SELECT {values} FROM {self.name(self.uploaded[table])}"  # noqa: S608

    # -- committing

    def describe_table(self, name: str, table: Described) -> None:
        """Creates a table, or adds the columns and comments that it lacks."""
        described = self._as_table(name, table)
        with self._explained():
            self._renew()
            if name not in self.listed:
                self._connection.create_table(described)
                self.listed[name] = True
                return
            fields = ["schema", "description", "labels"]
            self._connection.update_table(
                described, [*fields, *(["table_constraints"] if described.table_constraints else [])]
            )

    def _as_table(self, name: str, table: Described) -> bigquery.Table:
        described = bigquery.Table(self._path(name))
        described.schema = [
            bigquery.SchemaField(
                column, type_, description=table.comments.get(column, "")[:_MAX_COLUMN_COMMENT] or None
            )
            for column, type_ in table.columns.items()
        ]
        described.description, described.labels = table.comment, _LABELS
        if table.key:
            described.table_constraints = TableConstraints(
                primary_key=PrimaryKey(columns=list(table.key)), foreign_keys=None
            )
        return described

    def replace(self, name: str, table: Described, columns: Sequence[str]) -> None:
        """Replaces columns and rows by the result of a query."""
        if name in self.uploaded:
            query = self._read_staged(name, columns, table.columns)
        else:
            nothing = ", ".join(f"CAST(NULL AS {table.columns[column]}) AS {self.quote(column)}" for column in columns)
            query = f"SELECT {nothing} FROM (SELECT 1) WHERE FALSE"  # noqa: S608
        target = bigquery.TableReference(self._reference(), name)
        self._run(query, bigquery.QueryJobConfig(destination=target, write_disposition="WRITE_TRUNCATE"))
        self.describe_table(name, table)

    def transact(self, statements: Sequence[str], number: int) -> None:
        """Executes statements as a script, if `number` is that of the last delivery."""
        check = (
            f"SELECT IF((SELECT IFNULL(MAX(number), 0) FROM {self.name(DELIVERIES)}) = {number}, 1, "  # noqa: S608
            "ERROR('another delivery has come between'))"
        )
        # A transaction that deletes from a table keeps all others out that do: one of two at once is cancelled.
        lock = f"DELETE FROM {self.name(DELIVERIES)} WHERE number > {number}"  # noqa: S608
        self._run(";\n".join(["BEGIN TRANSACTION", check, lock, *statements, "COMMIT TRANSACTION"]))

    def drop_table(self, name: str) -> None:
        """Drops a table."""
        with self._explained():
            self._connection.delete_table(self._path(name), not_found_ok=True)

    # -- names and types

    def type_of(self, column: Column) -> str:
        """The type of a column."""
        return _TYPES.get(kind_of(column.type), "STRING")

    def select(self, column: Column) -> str:
        """The values of a column; a day that BigQuery does not have becomes the nearest that it has."""
        name, kind = in_duckdb(column.name), kind_of(column.type)
        if kind == "date":
            return f"{clamp(name, 'DATE', _FIRST_DAY, _LAST_DAY)} AS {name}"
        if kind == "time":
            last = f"{_LAST_DAY} 23:59:59.999999"
            return f"{clamp(name, 'TIMESTAMPTZ', _FIRST_DAY, last)} AS {name}"
        return as_plain(column.name, column.type)

    def name(self, table: str) -> str:
        """A table's name as SQL."""
        return ".".join(map(self.quote, (self._project, self._dataset, table)))

    def _reference(self) -> bigquery.DatasetReference:
        return bigquery.DatasetReference(self._project, self._dataset)

    def _path(self, table: str) -> bigquery.TableReference:
        return bigquery.TableReference(self._reference(), table)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except google.auth.exceptions.GoogleAuthError as error:
            reason, way_out = str(error), _WAYS_OUT[401]
        except exceptions.GoogleAPICallError as error:
            reason, way_out = error.message or str(error), _WAYS_OUT.get(error.code or 0, "deliver again")
            if any(_QUOTA.search(detail.get("reason", "")) for detail in error.errors if isinstance(detail, dict)):
                way_out = "wait, or ask Google for more quota"
        except (exceptions.GoogleAPIError, requests.RequestException) as error:
            reason, way_out = str(error), "check the address and the network"
        else:
            return
        line = " ".join(reason.split()).rstrip(".")
        raise WarehouseError(self.address.scrub(f"{self.address.shown}: {line}; {way_out}"))


def _stage_schema(columns: Iterable[str], types: Mapping[str, str]) -> list[bigquery.SchemaField]:
    # Decimals and large integers are text in a staging table, from which BigQuery reads every digit.
    return [
        bigquery.SchemaField(staged_name(place), types[name].replace("BIGNUMERIC", "STRING"))
        for place, name in enumerate(columns)
    ]
