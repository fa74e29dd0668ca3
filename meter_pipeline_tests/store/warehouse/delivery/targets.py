"""Targets of a test, one of each kind, read by their own clients, and what they are to hold."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import duckdb
import psycopg
import pytest
import sqlglot

from meter_pipeline.config.deliveries import Address, DeliveryTarget, parse_address
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse.build import reading
from meter_pipeline.store.warehouse.delivery.deliver import Delivery, deliver
from meter_pipeline.store.warehouse.delivery.relations import name_in_target, shorten
from meter_pipeline_tests.behaviour.thorough import slow

KINDS = ("postgresql", "sqlite", "duckdb")
#: Kinds whose clients or servers are heavy: `make engines` runs their tests.
HEAVY_KINDS = ("clickhouse", "bigquery", "snowflake")
if sys.version_info >= (3, 11):
    # PySpark, which its stand-in runs, asks for it.
    HEAVY_KINDS += ("databricks",)


def quickly_on(*kinds: str) -> pytest.MarkDecorator:
    """Has a test run on every kind of target: on these with the quick tests, on the other light ones in `make slow`."""
    light = [kind if kind in kinds else slow(kind) for kind in KINDS]
    heavy = [pytest.param(kind, marks=pytest.mark.engines) for kind in HEAVY_KINDS]
    return pytest.mark.parametrize("target", [*light, *heavy], indirect=True)


Ask = Callable[[str], list[tuple[Any, ...]]]
Content = Mapping[str, tuple[tuple[str, ...], list[str]]]


@dataclass
class Target:
    """A database that is delivered to."""

    kind: str
    url: str
    schema: str
    tables: tuple[str, ...] = ("marts.*", "results.*", "meter.*")

    @property
    def address(self) -> Address:
        """Its address."""
        return parse_address(self.url, "to")

    @property
    def dataset(self) -> str:
        """The dataset of BigQuery."""
        return urlsplit(self.url).path.strip("/")

    @property
    def path(self) -> str:
        """The schema of Snowflake with its database, as SQL."""
        return ".".join(f'"{part.upper()}"' for part in urlsplit(self.url).path.strip("/").split("/"))

    @property
    def _schema(self) -> str:
        return self.schema or urlsplit(self.url).path.rpartition("/")[2]

    @property
    def _catalog(self) -> str:
        return '"spark_catalog".' if self.kind == "databricks" else ""

    def deliver(self, ledger: Ledger, path: Path, *, full: bool = False) -> Delivery:
        """Delivers the publication at `path`."""
        wanted = DeliveryTarget("analytics", self.url, self.schema, self.tables)
        return deliver(ledger, path, wanted, self.address, full=full)

    @contextmanager
    def session(self) -> Iterator[Ask]:
        """A session of the target's own client, as a function that answers SQL; `SCHEMA.` stands for the schema."""
        schemas = {"sqlite": "", "clickhouse": "", "bigquery": f'"a-project"."{self.dataset}".',
                   "snowflake": f"{self.path}.", "databricks": f"{self._schema}."}  # fmt: skip
        prefix = schemas.get(self.kind, f"{self.schema}.")
        with self._client() as client:
            yield lambda sql: client(sql.replace("SCHEMA.", prefix))

    @contextmanager
    def _client(self) -> Iterator[Ask]:
        if self.kind == "postgresql":
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                yield lambda sql: _fetch(connection.execute(sql))
        elif self.kind == "clickhouse":
            yield lambda sql: ask_clickhouse(self.url, sql)
        elif self.kind == "bigquery":
            with open_bigquery(self.url) as google:
                yield lambda sql: [tuple(row) for row in google.query(_to_bigquery(sql)).result()]
        elif self.kind == "snowflake":
            with open_snowflake(self.url) as snow:
                yield lambda sql: _ask_snowflake(snow, sql)
        elif self.kind == "databricks":
            with open_databricks(self.url) as bricks:
                yield lambda sql: _ask_databricks(bricks, sql)
        elif self.kind == "sqlite":
            with sqlite3.connect(self.address.url) as lite:
                yield lambda sql: lite.execute(sql).fetchall()
        else:
            with duckdb.connect(self.address.url) as duck:
                yield lambda sql: duck.execute(sql).fetchall()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What the target's own client answers in a session of its own."""
        with self.session() as ask:
            return ask(sql)

    def names(self) -> list[str]:
        """Names of the delivered tables."""
        with self.session() as ask:
            return self._names(ask)

    def content(self) -> Content:
        """The rows of every delivered table, by name, with the columns in the order of their names."""
        found = {}
        with self.session() as ask:
            for name in self._names(ask):
                sources = {shorten(source): source for source in self._columns(ask, name)}
                columns = sorted(sources)
                rows = ask(f"SELECT {', '.join(map(_quote, columns))} FROM SCHEMA.{_quote(name)}")
                found[name] = (tuple(columns), sorted(json.dumps([_plain(cell) for cell in row]) for row in rows))
        return found

    def _names(self, ask: Ask) -> list[str]:
        if self.kind == "sqlite":
            sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
        elif self.kind == "clickhouse":
            sql = "SELECT name FROM system.tables WHERE database = currentDatabase()"
        elif self.kind == "bigquery":
            with open_bigquery(self.url) as client:
                names = [item.table_id for item in client.list_tables(self.dataset)]
            return sorted(name for name in names if not name.startswith("_meter_"))
        elif self.kind == "snowflake":
            sql = (
                "SELECT TABLE_NAME FROM information_schema.tables "
                f"WHERE TABLE_SCHEMA = '{self.path.split('.')[1][1:-1]}'"
            )
            return sorted(name for (name,) in _lowered(ask(sql)) if not name.startswith("_meter_"))
        else:
            sql = (
                f"SELECT table_name FROM {self._catalog}information_schema.tables WHERE table_schema = '{self._schema}'"
            )
        return sorted(name for (name,) in ask(sql) if not name.startswith("_meter_"))

    def _columns(self, ask: Ask, name: str) -> list[str]:
        if self.kind == "sqlite":
            sql = f"SELECT name FROM pragma_table_info('{name}')"
        elif self.kind == "clickhouse":
            sql = f"SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '{name}'"
        elif self.kind == "bigquery":
            with open_bigquery(self.url) as client:
                return [column.name for column in client.get_table(f"{self.dataset}.{name}").schema]
        elif self.kind == "snowflake":
            schema = self.path.split(".")[1][1:-1]
            sql = (
                "SELECT COLUMN_NAME FROM information_schema.columns "
                f"WHERE TABLE_SCHEMA = '{schema}' AND TABLE_NAME = '{_upper(name)}'"
            )
            return [column for (column,) in _lowered(ask(sql))]
        else:
            sql = (
                f"SELECT column_name FROM {self._catalog}information_schema.columns "
                f"WHERE table_schema = '{self._schema}' AND table_name = '{name}'"
            )
        return [column for (column,) in ask(sql)]


def _fetch(cursor: psycopg.Cursor[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows of a statement that has some."""
    return cursor.fetchall() if cursor.description else []


def ask_clickhouse(url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a ClickHouse server answers, with times in UTC."""
    import clickhouse_connect

    with clickhouse_connect.get_client(dsn=url, tz_mode="aware") as client:
        if sql.startswith("SELECT"):
            return [tuple(row) for row in client.query(sql).result_rows]
        client.command(sql)
    return []


def open_bigquery(url: str) -> closing[Any]:
    """The client of BigQuery, for the stand-in of an address."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    options = {"api_endpoint": parse_qs(urlsplit(url).query)["endpoint"][0]}
    return closing(bigquery.Client("a-project", credentials=AnonymousCredentials(), client_options=options))


def open_snowflake(url: str) -> closing[Any]:
    """The client of Snowflake, for the stand-in of an address."""
    import snowflake.connector

    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    login = {"user": parts.username, "password": unquote(parts.password or ""), "account": "an-account"}
    database = parts.path.strip("/").partition("/")[0]
    return closing(snowflake.connector.connect(**login, **options, database=database, network_timeout=60))


def _ask_snowflake(client: Any, sql: str) -> list[tuple[Any, ...]]:
    with client.cursor() as cursor:
        # Names are in capitals there.
        rows = cursor.execute(re.sub(r'"[^"]*"', lambda name: _upper(name[0]), sql)).fetchall()
        return [tuple(row) for row in rows]


def open_databricks(url: str) -> closing[Any]:
    """The client of Databricks, for the stand-in of an address."""
    from databricks import sql

    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    connection = sql.connect(
        server_hostname=parts.hostname,
        http_path=options["http_path"],
        access_token=unquote(parts.password or ""),
        enable_telemetry=False,
        _port=parts.port,
        _tls_trusted_ca_file=options["ca_cert"],
    )
    return closing(connection)


def _ask_databricks(client: Any, sql: str) -> list[tuple[Any, ...]]:
    with client.cursor() as cursor:
        cursor.execute(sql.replace("`", "``").replace('"', "`"))
        rows = cursor.fetchall()
    # Its times are in UTC.
    return [
        tuple(cell.replace(tzinfo=timezone.utc) if isinstance(cell, datetime) else cell for cell in row) for row in rows
    ]


def _upper(name: str) -> str:
    return re.sub("[a-z]", lambda letter: letter[0].upper(), name)


def _lowered(rows: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    return [tuple(re.sub("[A-Z]", lambda letter: letter[0].lower(), name) for name in row) for row in rows]


def _to_bigquery(sql: str) -> str:
    (statement,) = sqlglot.transpile(sql, read="postgres", write="bigquery")
    return statement


def expected(path: Path, *, left_out: tuple[str, ...] = ()) -> Content:
    """What a target is to hold: every table of the warehouse's schemas `meter`, `results` and `marts`."""
    with reading(path) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables = connection.execute(
            "SELECT schema_name || '.' || table_name, list(column_name ORDER BY column_name) FROM duckdb_columns() "
            "WHERE NOT internal AND schema_name IN ('meter', 'results', 'marts') GROUP BY ALL"
        ).fetchall()
        found = {}
        for source, columns in tables:
            schema, _, name = source.partition(".")
            if source in left_out:
                continue
            ordered = sorted(columns, key=shorten)
            rows = connection.execute(
                f"SELECT {', '.join(map(_quote, ordered))} FROM {schema}.{_quote(name)}"
            ).fetchall()
            found[name_in_target(source)] = (
                tuple(map(shorten, ordered)),
                sorted(json.dumps([_plain(cell) for cell in row]) for row in rows),
            )
        return found


def _plain(cell: Any) -> Any:
    """A value in the only form that all clients can give it."""
    if isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, datetime):
        return cell.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f+00:00")
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return format(cell, "f")
    if isinstance(cell, (dict, list)):
        return json.dumps(_escaped(cell), sort_keys=True)
    if isinstance(cell, str) and cell[:1] in ("{", "["):
        try:
            return json.dumps(_escaped(json.loads(cell)), sort_keys=True)
        except ValueError:
            pass
    return _escaped(cell)


def _escaped(value: Any) -> Any:
    """A value with NUL as it is delivered."""
    if isinstance(value, str):
        return value.replace("\0", "\\u0000")
    if isinstance(value, dict):
        return {_escaped(name): _escaped(inner) for name, inner in value.items()}
    return [_escaped(inner) for inner in value] if isinstance(value, list) else value


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
