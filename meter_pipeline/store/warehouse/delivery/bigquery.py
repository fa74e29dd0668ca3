"""BigQuery as a target: load jobs into staging tables, then one multi-statement transaction.

A transaction of BigQuery changes rows, in at most 100 tables, and no columns. So new tables and columns, which are
empty, come just before it. Rows of tables whose columns have changed their type are replaced just before it, too, and
tables are dropped after it. Everything is loaded first, so that these moments are short. What is not in the
transaction is noted before it happens, so that the next delivery repairs what a crash has left.
"""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs

import google.auth.exceptions
import pyarrow as pa
import pyarrow.parquet as pq
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
from meter_pipeline.store.warehouse.delivery.relations import Column, Relation
from meter_pipeline.store.warehouse.delivery.session import Session
from meter_pipeline.store.warehouse.delivery.state import DELIVERIES, PARTITIONS, TABLES, Existing, Held, HeldTable
from meter_pipeline.store.warehouse.delivery.types import as_plain, kind_of

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


@dataclass
class _Plan:
    """What a delivery will do when everything is loaded, in this order.

    Attributes:
        tables: Tables to create or to describe again, by name.
        replaced: For tables whose rows are replaced as a whole, the query that reads the new ones.
        groups: Statements for one table each, with those about its state.
        dropped: Tables to drop.
    """

    tables: dict[str, bigquery.Table] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    groups: list[list[str]] = field(default_factory=lambda: [[]])
    dropped: list[str] = field(default_factory=list)


class BigQuerySession(Session):
    """A delivery to a dataset of BigQuery.

    Raises:
        WarehouseError: There are no credentials, or BigQuery refuses.
    """

    types = {"bigint": "INT64", "text": "STRING", "double": "FLOAT64", "time": "TIMESTAMP"}
    dialect = _DIALECT
    has_schemas = False

    def __init__(self, address: Address, schema: str) -> None:
        super().__init__(address, schema)
        path, _, query = address.url.partition("?")
        self._project, _, self._dataset = path.removeprefix("bigquery://").partition("/")
        options = {name: values[-1] for name, values in parse_qs(query).items()}
        self._plan = _Plan()
        self._staged: dict[str, str] = {}
        # Tables of the dataset, and whether a delivery has made them.
        self._listed: dict[str, bool] = {}
        self._held: Held | None = None
        # Types of columns, by table.
        self._known: dict[str, dict[str, str]] = {}
        self._is_reset = False
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
            self._listed = {
                item.table_id: item.labels.items() >= _LABELS.items()
                for item in self._connection.list_tables(self._reference())
            }

    def close(self) -> None:
        """Deletes the staging tables and the lock."""
        # Both expire, so a delivery that is done has not failed for them.
        with suppress(exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError, requests.RequestException):
            for table in self._staged.values():
                self._connection.delete_table(self._path(table), not_found_ok=True)
            if self._lock is not None:
                self._lock.release()
        self._connection.close()

    def _renew(self) -> None:
        if self._lock is not None:
            self._lock.renew()

    # -- reading

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Runs a query; a statement that changes rows is kept for the transaction."""
        if sql.startswith("SELECT"):
            return self._run(sql)
        self._plan.groups[-1].append(sql)
        return []

    def _run(self, sql: str, config: bigquery.QueryJobConfig | None = None) -> list[tuple[Any, ...]]:
        with self._explained():
            self._renew()
            return [tuple(row) for row in self._connection.query(sql, job_config=config).result()]

    def find_tables(self) -> dict[str, Existing]:
        """The tables of the dataset."""
        rows = self._run(
            f"SELECT table_name, column_name, data_type FROM {self.name('INFORMATION_SCHEMA')}.COLUMNS "  # noqa: S608
            "ORDER BY table_name, ordinal_position"
        )
        for table, column, type_ in rows:
            self._known.setdefault(table, {})[column] = type_
        self._held = super().read_held()
        self._tidy()
        return {
            table: Existing(self._known.get(table, {}), is_ours)
            for table, is_ours in self._listed.items()
            if not table.startswith("_meter_")
        }

    def has_state(self) -> bool:
        """Whether the tables about deliveries are there."""
        return {DELIVERIES, TABLES, PARTITIONS} <= self._listed.keys()

    def read_held(self) -> Held | None:
        """What the target has, as `find_tables` has read it."""
        return self._held

    def _tidy(self) -> None:
        """Drops tables that a killed delivery has left: those that it had yet to fill, or to drop."""
        if self._held is None or not self._held.publication_id:
            return
        left = [
            name
            for name, is_ours in self._listed.items()
            if is_ours and name not in self._held.tables and not name.startswith("_meter_")
        ]
        for name in left:
            with self._explained():
                self._connection.delete_table(self._path(name), not_found_ok=True)
            del self._listed[name]

    @property
    def _number(self) -> int:
        return self._held.number if self._held is not None else 0

    # -- preparing: rows into staging tables, everything else into the plan

    def create(self, relation: Relation) -> str:
        """Plans a table; it is created when all rows are loaded."""
        self._known[relation.target] = {column.target: self.type_of(column) for column in relation.columns}
        return relation.target

    def load(self, table: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Loads rows into a staging table, from where the transaction takes them."""
        types = self._known[table]
        with tempfile.TemporaryFile() as file:
            writer = None
            for batch in batches:
                # Load jobs take fewer characters in the names of columns than tables do.
                renamed = batch.rename_columns([_staged_name(place) for place in range(len(columns))])
                writer = writer or pq.ParquetWriter(file, renamed.schema, compression="zstd")
                writer.write_batch(renamed)
            if writer is None:
                return
            writer.close()
            file.seek(0)
            self._staged[table] = f"_meter_new_{uuid.uuid4().hex}"
            staging = bigquery.Table(self._path(self._staged[table]), _stage_schema(columns, types))
            staging.expires = datetime.now(timezone.utc) + _STAGING_LIFE
            config = bigquery.LoadJobConfig(
                source_format=bigquery.SourceFormat.PARQUET,
                schema=staging.schema,
                write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            )
            with self._explained():
                self._renew()
                self._connection.create_table(staging)
                self._connection.load_table_from_file(file, staging.reference, job_config=config).result()
        listed = ", ".join(map(self.quote, columns))
        self._plan.groups[-1].append(f"INSERT INTO {self.name(table)} ({listed}) {self._read_staged(table, columns)}")

    def _read_staged(self, table: str, columns: Iterable[str]) -> str:
        types = self._known[table]
        values = ", ".join(
            f"CAST({_staged_name(place)} AS {types[name]}) AS {self.quote(name)}"
            if types[name] == "BIGNUMERIC"
            else f"{_staged_name(place)} AS {self.quote(name)}"
            for place, name in enumerate(columns)
        )
        return f"SELECT {values} FROM {self.name(self._staged[table])}"  # noqa: S608

    def put_in_place(self, table: str, relation: Relation, old: Existing | None) -> None:
        """Plans the replacement of a table whose columns have changed their type, with its rows."""
        if old is None:
            return
        columns = [column.target for column in relation.columns]
        if table in self._staged:
            # The query has the rows that the transaction would have inserted.
            self._plan.groups[-1].pop()
            self._plan.replaced[table] = self._read_staged(table, columns)
        else:
            nothing = ", ".join(f"CAST(NULL AS {self._known[table][name]}) AS {self.quote(name)}" for name in columns)
            self._plan.replaced[table] = f"SELECT {nothing} FROM (SELECT 1) WHERE FALSE"  # noqa: S608

    def add_columns(self, table: str, columns: Iterable[Column]) -> None:
        """Plans columns, which `comment` adds with their comments."""
        self._known[table] |= {column.target: self.type_of(column) for column in columns}

    def comment(self, table: str, relation: Relation) -> None:
        """Plans the columns of a table, their comments and the primary key."""
        described = bigquery.Table(self._path(table))
        comments = {column.target: column.comment for column in relation.columns}
        described.schema = [
            bigquery.SchemaField(name, type_, description=(comments.get(name) or "")[:_MAX_COLUMN_COMMENT] or None)
            for name, type_ in self._known[table].items()
        ]
        described.description, described.labels = self.describe(relation), _LABELS
        key = [relation.column(name).target for name in relation.key]
        if key:
            described.table_constraints = TableConstraints(primary_key=PrimaryKey(columns=key), foreign_keys=None)
        self._plan.tables[table] = described

    def recreate(self, table: str, columns: str) -> None:
        """Plans an empty table about deliveries, from its columns as SQL."""
        pairs = (column.split(" ") for column in columns.replace("`", "").split(", "))
        fields = [bigquery.SchemaField(name, type_) for name, type_ in pairs]
        self._plan.tables[table] = bigquery.Table(self._path(table), fields)
        self.empty(table)
        self._is_reset = True

    def comment_on(self, table: str, text: str) -> None:
        """Plans the comment of a table about deliveries."""
        self._plan.tables[table].description = text

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
        plan = self._plan
        scripts = list(_pack([group for group in plan.groups if group]))
        for name, table in plan.tables.items():
            if name not in plan.replaced:
                self._describe(name, table)
        if plan.replaced or len(scripts) > 1:
            self._admit()
        for name, query in plan.replaced.items():
            target = bigquery.TableReference(self._reference(), name)
            self._run(query, bigquery.QueryJobConfig(destination=target, write_disposition="WRITE_TRUNCATE"))
            self._describe(name, plan.tables[name])
        number = self._number
        for script in scripts:
            check = (
                f"SELECT IF((SELECT IFNULL(MAX(number), 0) FROM {self.name(DELIVERIES)}) = {number}, 1, "  # noqa: S608
                "ERROR('another delivery has come between'))"
            )
            # A transaction that deletes from a table keeps all others out that do: one of two at once is cancelled.
            lock = f"DELETE FROM {self.name(DELIVERIES)} WHERE number > {number}"  # noqa: S608
            self._run(";\n".join(["BEGIN TRANSACTION", check, lock, *script, "COMMIT TRANSACTION"]))
            number = 0 if self._is_reset else number
        with self._explained():
            for name in plan.dropped:
                self._connection.delete_table(self._path(name), not_found_ok=True)

    def _admit(self) -> None:
        """Notes that the target has no whole publication for a moment, so that no delivery relies on one."""
        statements = [f"UPDATE {self.name(DELIVERIES)} SET publication_id = '' WHERE number = {self._number}"]  # noqa: S608
        if self._plan.replaced:
            names = ", ".join(map(self.literal, self._plan.replaced))
            statements += [
                f"DELETE FROM {self.name(state)} WHERE table_name IN ({names})"  # noqa: S608
                for state in (TABLES, PARTITIONS)
            ]
        self._run(";\n".join(["BEGIN TRANSACTION", *statements, "COMMIT TRANSACTION"]))

    def _describe(self, name: str, table: bigquery.Table) -> None:
        with self._explained():
            self._renew()
            if name not in self._listed:
                self._connection.create_table(table)
                self._listed[name] = True
                return
            fields = ["schema", "description"] + (["labels"] if table.labels else [])
            self._connection.update_table(table, [*fields, *(["table_constraints"] if table.table_constraints else [])])

    # -- names and types

    def type_of(self, column: Column) -> str:
        """The type of a column."""
        return _TYPES.get(kind_of(column.type), "STRING")

    def select(self, column: Column) -> str:
        """The values of a column."""
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


def _stage_schema(columns: Iterable[str], types: dict[str, str]) -> list[bigquery.SchemaField]:
    # Decimals and large integers are text in a staging table, from which BigQuery reads every digit.
    return [
        bigquery.SchemaField(_staged_name(place), types[name].replace("BIGNUMERIC", "STRING"))
        for place, name in enumerate(columns)
    ]


def _staged_name(place: int) -> str:
    return f"c{place}"


def _pack(groups: Iterable[list[str]]) -> Iterator[list[str]]:
    """Statements of as many tables as one transaction takes."""
    script: list[str] = []
    tables = characters = 0
    for group in groups:
        size = sum(len(statement) + 2 for statement in group)
        if script and (tables >= _MAX_TABLES or characters + size > _MAX_CHARACTERS):
            yield script
            script, tables, characters = [], 0, 0
        script = [*script, *group]
        tables, characters = tables + 1, characters + size
    yield script
