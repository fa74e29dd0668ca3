"""The schema of the ledger, on SQLite and on PostgreSQL: made at once for a new ledger, migrated for an older one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config

from meter_pipeline.store.errors import LedgerError
from meter_pipeline.store.ledger import database
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline_tests.behaviour.thorough import every
from meter_pipeline_tests.store.records import commit, job

_TIME = "2026-03-02T06:00:00.000000Z"

Open = Callable[[], Ledger]


def open_engine(open_ledger: Open) -> sqlalchemy.Engine:
    """The database of a ledger, with nothing in it."""
    url = open_ledger.url  # type: ignore[attr-defined]
    return sqlalchemy.create_engine(
        f"sqlite:///{url}" if "://" not in url else url.replace("postgresql://", "postgresql+psycopg://"),
        connect_args={"prepare_threshold": None} if "://" in url else {},
    )


def migrate(connection: sqlalchemy.Connection, version: str) -> None:
    """Runs the migrations up to a version, each as it is."""
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)


def describe_schema(connection: sqlalchemy.Connection) -> dict[str, Any]:
    """Columns with type, collation and default, keys, indexes and constraints of every table."""
    found = sqlalchemy.inspect(connection)
    schema: dict[str, Any] = {}
    for table in found.get_table_names():
        columns = {column["name"]: {**column, "type": repr(column["type"])} for column in found.get_columns(table)}
        indexes = sorted(found.get_indexes(table), key=lambda index: str(index["name"]))
        constraints = (found.get_unique_constraints(table), found.get_check_constraints(table))
        schema[table] = (columns, found.get_pk_constraint(table), indexes, *constraints, found.get_foreign_keys(table))
    return schema


def test_a_ledger_of_a_newer_version_is_refused_in_one_line(open_ledger: Open) -> None:
    ledger = open_ledger()
    with ledger.writing() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match=r"^the ledger is of schema 9999, .* upgrade meter_pipeline$"):
        open_ledger()


def test_a_database_of_another_program_is_refused_in_one_line(open_ledger: Open) -> None:
    ledger = open_ledger()
    with ledger.writing() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = '16e3655b4d9b'"))
    with pytest.raises(LedgerError, match=r"^the database .* another program's tables .* a database of its own"):
        open_ledger()


def test_text_is_in_the_order_of_its_characters_in_any_locale(postgres_url: str) -> None:
    ledger = Ledger.open(postgres_url)
    query = sqlalchemy.text(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns WHERE table_schema = "
        "current_schema() AND data_type IN ('text', 'character varying') AND table_name <> 'alembic_version'"
    )
    with ledger.reading() as connection:
        found = connection.execute(query).all()
    ledger.close()
    assert len(found) > 50
    assert [row for row in found if row.collation_name != "C"] == []


def test_a_ledger_without_a_schema_yet_is_migrated_and_keeps_other_tables(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        connection.execute("CREATE TABLE notes (text)")
    ledger = Ledger.open(str(path))
    ledger.record_jobs([job("j", "a")])
    ledger.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(database.SCHEMA_VERSION,)]
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)


@pytest.mark.parametrize("version", every(2, ["0001", "0002", "0003", "0004", "0005"]))
def test_a_ledger_of_an_older_version_is_migrated_with_its_rows(
    open_ledger: Open, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(open_ledger)
    with engine.connect() as connection, connection.begin():
        migrate(connection, version)
        tables = sqlalchemy.MetaData()
        tables.reflect(connection, only=["strategies", "jobs"])
        insert = tables.tables["strategies"].insert()
        connection.execute(insert.values(strategy_id="a", slug="a", name="A", first_seen_at=_TIME))
        insert = tables.tables["jobs"].insert()
        for name in ("Z", "z", "é"):
            row = {"job_id": name, "strategy_id": "a", "state": "accepted", "known_at": _TIME, "completed_at": _TIME}
            connection.execute(insert.values(**row, url="https://shop.example/", items=7, bytes=900))
    engine.dispose()
    ledger = open_ledger()
    (line,) = caplog.messages
    assert line.startswith(f"the ledger was migrated from schema {version} to {database.SCHEMA_VERSION}: ")
    (strategy_row,) = ledger.strategies()
    assert (strategy_row.name, strategy_row.readings, strategy_row.identity) == ("A", None, None)
    jobs = list(ledger.jobs("a", ("accepted",)))
    assert [(row.job_id, row.items, row.bytes, row.rejected, row.rejection) for row in jobs] == [
        (name, 7, 900, None, None) for name in ("Z", "z", "é")
    ]
    update = {"job_id": "z", "state": "accepted", "rejected": 2, "rejection": "item_index 3: not valid JSON"}
    commit(ledger, "a", [update])
    after = list(open_ledger().jobs("a", ("accepted",)))
    assert after == [jobs[0], replace(jobs[1], **update, revision=after[1].revision), jobs[2]]


def test_a_new_ledger_is_made_as_the_migrations_make_it(open_ledger: Open) -> None:
    engine = open_engine(open_ledger)
    with engine.connect() as connection, connection.begin():
        migrate(connection, "head")
        migrated = describe_schema(connection)
        tables = sqlalchemy.MetaData()
        tables.reflect(connection)
        tables.drop_all(connection)
    open_ledger()
    with engine.connect() as connection:
        made = describe_schema(connection)
    engine.dispose()
    assert made == migrated
    assert {"alembic_version", "jobs"} <= made.keys()
