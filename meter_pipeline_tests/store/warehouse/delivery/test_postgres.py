"""What only PostgreSQL has: comments, keys, rights, views that depend on tables, and its refusals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from threading import Thread

import psycopg
import pytest

from meter_pipeline.config.deliveries import DeliveryTarget, parse_address
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.deliver import deliver, open_session
from meter_pipeline_tests.store.warehouse.delivery.targets import Target, expected
from meter_pipeline_tests.store.warehouse.desk import APRIL, Desk

_PASSWORD = "canary@0123/4567"


@pytest.fixture
def target(postgres_target: Target) -> Target:
    """An empty schema of PostgreSQL."""
    return postgres_target


def test_tables_have_keys_comments_and_types(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    (comment,) = target.ask(f"SELECT obj_description('{target.schema}.jobs'::regclass)")
    assert comment == ("Every job that Meter ever listed, with the state of its loading, one row a job. "
                       "Delivered by meter-pipeline.",)  # fmt: skip
    (column,) = target.ask(f"SELECT col_description('{target.schema}.jobs'::regclass, 1)")
    assert column == ("Id of the job at Meter.",)
    with pytest.raises(psycopg.errors.UniqueViolation):
        target.ask("INSERT INTO SCHEMA.jobs SELECT * FROM SCHEMA.jobs")
    assert target.ask("SELECT pg_typeof(completed_at)::text FROM SCHEMA.jobs LIMIT 1") == [
        ("timestamp with time zone",)
    ]


def test_the_driver_writes_nothing_to_a_terminal() -> None:
    code = "import meter_pipeline.store.warehouse.delivery.postgres, logging; logging.getLogger('psycopg').warning('x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_a_delivery_has_not_ended_before_the_server_let_go_of_its_lock(target: Target) -> None:
    """A busy server notices a connection that was merely closed later than the next delivery begins."""
    session = open_session(target.address, target.schema)
    session.begin()
    ((process,),) = session.execute("SELECT pg_backend_pid()")
    closing = Thread(target=session.close)
    os.kill(process, signal.SIGSTOP)
    try:
        closing.start()
        closing.join(0.2)
        assert closing.is_alive()
    finally:
        os.kill(process, signal.SIGCONT)
    closing.join()
    with open_session(target.address, target.schema) as session:
        session.begin()


def test_no_index_repeats_the_primary_key(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    rows = target.ask(
        "SELECT i.indrelid::regclass::text, string_to_array(i.indkey::text, ' '), i.indisprimary FROM pg_index i "
        f"JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = '{target.schema}'::regnamespace"
    )
    keys = {table: columns for table, columns, is_key in rows if is_key}
    others = [(table, columns) for table, columns, is_key in rows if not is_key]
    assert keys
    assert others
    assert not [table for table, columns in others if keys.get(table, [])[: len(columns)] == columns]


def test_rights_survive_a_table_that_is_made_again(target: Target, desk: Desk) -> None:
    target.ask("DO $$ BEGIN CREATE ROLE reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    target.deliver(desk.ledger, desk.path)
    target.ask("GRANT SELECT ON SCHEMA.jobs TO reader; GRANT SELECT ON SCHEMA.jobs TO PUBLIC")
    target.ask("ALTER TABLE SCHEMA.jobs RENAME COLUMN reason TO why")
    target.deliver(desk.ledger, desk.path)
    rows = target.ask(
        "SELECT grantee::text, privilege_type::text FROM information_schema.role_table_grants "
        f"WHERE table_schema = '{target.schema}' AND table_name = 'jobs' AND grantee <> 'postgres'"
    )
    assert sorted(rows) == [("PUBLIC", "SELECT"), ("reader", "SELECT")]


def test_a_view_that_depends_on_a_table_is_named_and_survives_what_does_not_need_it(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    target.ask("CREATE VIEW SCHEMA.mine AS SELECT job_id, reason FROM SCHEMA.jobs")
    desk.load("books", "b2", APRIL, "c")
    desk.publish()
    target.deliver(desk.ledger, desk.path)
    assert ("b2",) in target.ask("SELECT job_id FROM SCHEMA.mine")
    target.ask("ALTER TABLE SCHEMA.jobs RENAME COLUMN reason TO why")
    with pytest.raises(WarehouseError, match=r"view .*mine depends on table .*jobs; drop it, deliver again"):
        target.deliver(desk.ledger, desk.path)
    target.ask("DROP VIEW SCHEMA.mine")
    target.deliver(desk.ledger, desk.path)
    assert target.content() == expected(desk.path)


def test_a_user_without_rights_gets_one_line_and_the_last_delivery_stays(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    before = target.content()
    desk.load("books", "b2", APRIL, "c")
    desk.publish()
    target.ask("DO $$ BEGIN CREATE ROLE visitor LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    target.ask(f"GRANT USAGE ON SCHEMA {target.schema} TO visitor")
    url, target.url = target.url, target.url.replace("postgres@", "visitor@", 1)
    with pytest.raises(WarehouseError, match=r"permission denied for table \w+; grant this user the right"):
        target.deliver(desk.ledger, desk.path)
    target.url = url
    assert target.content() == before
    target.ask(f"REVOKE USAGE ON SCHEMA {target.schema} FROM visitor")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("/postgres?", "/nowhere?", 'database "nowhere" does not exist'),
        ("postgres@", "nobody@", 'role "nobody" does not exist'),
        ("?host=", "?host=/nowhere", "No such file or directory"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line_without_the_password(
    target: Target, desk: Desk, old: str, new: str, reason: str
) -> None:
    url = target.url.replace(old, new, 1).replace("@", ":canary%400123%2F4567@", 1)
    address = parse_address(url, "to")
    with pytest.raises(WarehouseError, match=reason) as failure:
        deliver(desk.ledger, desk.path, DeliveryTarget("analytics", "env:URL"), address)
    shown = repr(failure.value) + repr(failure.value.__cause__) + repr(address)
    assert "\n" not in str(failure.value)
    assert "canary" not in shown
