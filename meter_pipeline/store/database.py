"""Opens the ledger's database, SQLite or PostgreSQL, and brings its schema to this program's version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from meter_pipeline.store.errors import LedgerError

SCHEMA_VERSION = "0004"
_BUSY_SECONDS = 60


def connect(url: str) -> Engine:
    """An engine for a path (SQLite) or a SQLAlchemy URL, its schema migrated forward.

    Raises:
        LedgerError: It cannot be reached, is damaged, or was made by a newer version.
    """
    engine = _sqlite(Path(url)) if "://" not in url else _server(url)
    with readable(engine):
        _migrate(engine)
    return engine


@contextmanager
def readable(engine: Engine) -> Iterator[None]:
    """Turns the database's errors into one line that names the ledger and the way out."""
    name = engine.url.database if engine.dialect.name == "sqlite" else engine.url.render_as_string(hide_password=True)
    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise LedgerError(f"ledger {name}: {reason}; {_way_out(reason, engine.dialect.name)}") from error
    except SQLAlchemyError as error:
        raise LedgerError(f"ledger {name}: {str(error).splitlines()[0]}") from error


def _way_out(reason: str, dialect: str) -> str:
    if dialect != "sqlite":
        return "check METER_LEDGER_URL and the server"
    if "malformed" in reason or "not a database" in reason:
        return "move the file away and sync again: jobs are loaded anew from the API, the lake is kept"
    if "readonly" in reason or "unable to open" in reason:
        return "make the folder writable, or name another by METER_DATA_DIR"
    return "is another program holding the file?"


def _sqlite(path: Path) -> Engine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"cannot make the folder {path.parent}: {error.strerror}; name another by METER_DATA_DIR"
        ) from None
    engine = create_engine(f"sqlite:///{path.absolute()}", connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        options = connection.get_execution_options()
        # A commit that a power cut undoes is made again by the next sync, so most need not wait for the disk.
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options.get('durable') else 'NORMAL'}")
        # A reader that turns writer half-way would fail at once, whatever the time-out: writers say so first.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")

    return engine


def _server(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() != "postgresql":
            raise LedgerError(f"METER_LEDGER_URL: {parsed.get_backend_name()} is no ledger; give a postgresql:// URL")
        return create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, ValueError):
        raise LedgerError("METER_LEDGER_URL is no URL; give postgresql://user@host/database") from None
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise LedgerError(f"METER_LEDGER_URL: {error}; install meter-pipeline[postgres]") from None


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
    # Alembic is a third of a second to import: only a ledger that needs it pays.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('meter_pipeline ledger schema'))"))
        if _version(connection) != SCHEMA_VERSION:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
