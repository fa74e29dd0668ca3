"""Opens the ledger's database, SQLite or PostgreSQL, and brings its schema to this program's version."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    event,
    inspect,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement

from meter_pipeline.host.causes import DAMAGED, find_cause
from meter_pipeline.store.errors import LedgerError, RecordError
from meter_pipeline.store.ledger.tables import metadata

log = logging.getLogger("meter_pipeline.store")

Transaction = Callable[[], AbstractContextManager[Connection]]

SCHEMA_VERSION = "0006"
# Alembic's own table.
_stamp = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32)),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
_BUSY_SECONDS = 60
# A silent connection is not dropped by a firewall (seconds), and a statement is not prepared in one session of a server
# that is executed in another: a pooler of connections gives each transaction any of them.
_SERVER_OPTIONS = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "prepare_threshold": None,
}

_MOVE_AWAY = "move the file away and sync again: jobs are loaded again from the API, the lake is kept"
_SERVER = "check METER_LEDGER_URL and the server"
# Ways out, by PostgreSQL's error codes.
_WAYS_OUT = {
    "53100": "free some space on the server's disk",
    "53300": "end other programs that use the server, or raise its max_connections",
    "25006": "name a server that takes writes by METER_LEDGER_URL: this one is a standby, or set read-only",
    "25P03": "this process stood still in the middle of a write, of which nothing counts; sync again",
    "42501": "grant this user the right to the ledger's tables and schema",
}


def connect(url: str) -> Engine:
    """An engine for a path (SQLite) or a SQLAlchemy URL, its schema migrated forward.

    Raises:
        LedgerError: It cannot be reached, is damaged, or was made by a newer version.
    """
    if "://" in url:
        engine = _server(url)
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url):
        raise LedgerError("METER_LEDGER_URL is neither a path nor a URL; give postgresql://user@host/database")
    else:
        engine = _sqlite(Path(url))
    with readable(engine):
        _migrate(engine)
    return engine


@contextmanager
def readable(engine: Engine) -> Iterator[None]:
    """Turns the database's errors into one line that names the ledger and the way out."""
    name = _name(engine.url)
    try:
        yield
    except DataError as error:
        raise RecordError(f"ledger {name}: {str(error.orig).strip().splitlines()[0]}") from error
    except DBAPIError as error:
        raise LedgerError(f"ledger {name}: {_explain(error, engine)}") from error
    except SQLAlchemyError as error:
        raise LedgerError(f"ledger {name}: {str(error).splitlines()[0]}") from error


def _name(url: URL) -> str:
    """The ledger's name in messages: a file's path, or a URL without its options, which may hold a password as well."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)


def _explain(error: DBAPIError, engine: Engine) -> str:
    """The reason and the way out."""
    reason = str(error.orig).strip().splitlines()[0]
    if engine.dialect.name != "sqlite":
        return f"{reason}; {_WAYS_OUT.get(getattr(error.orig, 'sqlstate', None) or '', _SERVER)}"
    cause = find_cause(error.orig or error, Path(str(engine.url.database)))
    if cause == DAMAGED:
        return f"{cause.reason} ({reason}); {_MOVE_AWAY}"
    return str(cause or reason)


def _sqlite(path: Path) -> Engine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = find_cause(error) or f"{error.strerror}; name another by METER_DATA_DIR"
        raise LedgerError(f"cannot make the folder {path.parent}: {cause}") from None
    engine = create_engine(URL.create("sqlite", database=str(path.absolute())), connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        # Pages of a ledger of some thousand jobs stay in memory, and are not written to the file again and again.
        connection.execute("PRAGMA cache_size=-65536")
        connection.execute("PRAGMA wal_autocheckpoint=8000")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        options = connection.get_execution_options()
        # The next sync repeats a commit that a power cut undid, so most commits need not wait for the disk.
        wanted = "FULL" if options.get("durable") else "NORMAL"
        if connection.info.get("synchronous") != wanted:
            connection.exec_driver_sql(f"PRAGMA synchronous={wanted}")
            connection.info["synchronous"] = wanted
        # A reader that starts to write would fail at once, whatever the time-out: writers begin as writers.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")

    return engine


def _server(url: str) -> Engine:
    try:
        parsed = make_url(escape_password(url))
        backend = parsed.drivername.partition("+")[0]
        if backend not in ("postgresql", "postgres"):
            raise LedgerError(f"METER_LEDGER_URL: {backend} is no ledger; give a postgresql:// URL")
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args=_SERVER_OPTIONS
        )
    except (ArgumentError, ValueError):
        raise LedgerError("METER_LEDGER_URL is no URL; give postgresql://user@host/database") from None
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise LedgerError(f"METER_LEDGER_URL: {error}; install meter-pipeline[postgres]") from None


def escape_password(url: str) -> str:
    """The URL with each @ in the password escaped."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    return f"{scheme}://{user.replace('@', '%40')}{at}{host}{slash}{path}"


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        version = _version(connection)
    if version == SCHEMA_VERSION:
        return
    if version is not None and not (len(version) == len(SCHEMA_VERSION) and version.isdecimal()):
        raise LedgerError(
            f"the database of METER_LEDGER_URL holds another program's tables (schema {version}): "
            "give the ledger a database of its own, or a schema by ?options=-csearch_path%3Dmeter"
        )
    if version is not None and version > SCHEMA_VERSION:
        raise LedgerError(
            f"the ledger is of schema {version}, this program reads up to {SCHEMA_VERSION}: upgrade meter_pipeline"
        )
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('meter_pipeline ledger schema'))"))
        # Another process may have been first.
        if _version(connection) == SCHEMA_VERSION:
            return
        if {_stamp.name, *metadata.tables}.isdisjoint(inspect(connection).get_table_names()):
            _create(connection)
        else:
            _upgrade(connection)
    if version is not None:
        line = "the ledger was migrated from schema %s to %s: programs of older versions are refused from now on"
        log.warning(line, version, SCHEMA_VERSION)


def _create(connection: Connection) -> None:
    """Makes all tables of a new ledger as they are after the last migration."""
    for statement in _creation(f"{connection.dialect.name}+{connection.dialect.driver}"):
        connection.exec_driver_sql(statement)
    connection.execute(_stamp.insert().values(version_num=SCHEMA_VERSION))


@cache
def _creation(driver: str) -> list[str]:
    """The statements that make all tables, for a driver such as `sqlite+pysqlite`."""
    dialect, tables = make_url(f"{driver}://").get_dialect()(), MetaData()
    for table in metadata.sorted_tables:
        for column in table.to_metadata(tables).columns:
            # Text sorts by its characters, whatever the locale of a server's database.
            if dialect.name == "postgresql" and isinstance(column.type, String):
                column.type = type(column.type)(collation="C")
    made = [_stamp, *tables.sorted_tables]
    indexes = [index for table in made for index in table.indexes]
    statements: list[DDLElement] = [*map(CreateTable, made), *map(CreateIndex, indexes)]
    return [str(statement.compile(dialect=dialect)) for statement in statements]


def _upgrade(connection: Connection) -> None:
    """Runs the migrations that the ledger has not had."""
    # Alembic is a third of a second to import: only a ledger that needs it pays.
    from alembic import command
    from alembic.config import Config

    config = Config()
    # The configuration reads a % as the beginning of another option's name.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
