"""Targets without space or rights: one line with the way out, the last delivery stays, the next one completes it."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline_tests.behaviour.thorough import every, slow
from meter_pipeline_tests.servers import PostgresServer
from meter_pipeline_tests.store.warehouse.delivery.targets import KINDS, Target, expected
from meter_pipeline_tests.store.warehouse.desk import APRIL, Desk

_REFUSE = """
CREATE FUNCTION SCHEMA.refuse() RETURNS {kind} LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file "base/5/16400": No space left on device' USING ERRCODE = '53100';
END $$
"""
# Where the server finds its disk full: when a table or an index is made, in the middle of the rows, at the note of the
# delivery, at the commit.
_POINTS = {
    "table": "CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE TABLE')",
    "index": "CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE INDEX')",
    "row": "CREATE TRIGGER refuse BEFORE INSERT ON SCHEMA.results_books "
    "FOR EACH ROW WHEN (starts_with(NEW._meter_item_key, '900 '))",
    "note": "CREATE TRIGGER refuse BEFORE INSERT ON SCHEMA._meter_deliveries",
    "commit": "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON SCHEMA._meter_deliveries INITIALLY DEFERRED "
    "FOR EACH ROW",
}


def publish_more(desk: Desk, width: int = 1) -> None:
    """Publishes a new table, and a new month of another, with keys of some length (bytes) that nothing compresses."""
    chance = random.Random(5)
    desk.load("books", "b2", APRIL, *(f"{number} {chance.randbytes(width // 2).hex()}" for number in range(1000)))
    desk.load("shoes", "s1", APRIL, "x")
    desk.publish()


def fail(target: Target, desk: Desk, pattern: str) -> None:
    """A delivery fails in one line, and changes nothing."""
    before = target.content()
    with pytest.raises(WarehouseError, match=pattern) as failure:
        target.deliver(desk.ledger, desk.path)
    assert "\n" not in str(failure.value)
    assert target.content() == before


def complete(target: Target, desk: Desk) -> None:
    """The next delivery brings the target up to date."""
    assert not target.deliver(desk.ledger, desk.path).notes
    assert target.content() == expected(desk.path)


@contextmanager
def files_limited(size: int) -> Iterator[None]:
    """Limits the size of the files that this process writes, in bytes, while the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("point", every(2, _POINTS))
def test_a_server_whose_disk_is_full_at_any_point_keeps_the_last_delivery(
    postgres_target: Target, desk: Desk, point: str
) -> None:
    target = postgres_target
    target.deliver(desk.ledger, desk.path)
    publish_more(desk)
    is_event = "EVENT" in _POINTS[point]
    target.ask(_REFUSE.format(kind="event_trigger" if is_event else "trigger"))
    target.ask(f"{_POINTS[point]} EXECUTE FUNCTION SCHEMA.refuse()")
    try:
        fail(target, desk, "No space left on device; free some space on the server's disk$")
    finally:
        target.ask("DROP FUNCTION SCHEMA.refuse CASCADE")
    complete(target, desk)


@pytest.mark.parametrize(
    ("setting", "pattern"),
    [
        ("statement_timeout = '1ms'", "statement timeout; raise the statement_timeout of this user"),
        slow("temp_file_limit = 0", "temp_file_limit.*; raise that limit of the server for this user"),
        ("default_transaction_read_only = on", "read-only transaction; name a server that takes writes"),
    ],
    ids=["time", "temporary files", "read-only"],
)
def test_limits_of_a_user_are_one_line_each(postgres_target: Target, desk: Desk, setting: str, pattern: str) -> None:
    target = postgres_target
    target.deliver(desk.ledger, desk.path)
    publish_more(desk, width=800)
    url = target.url
    target.url = f"{url}&options=-c%20work_mem%3D64kB%20-c%20" + setting.replace(" ", "").replace("=", "%3D").replace(
        "'", ""
    )
    with pytest.raises(WarehouseError, match=pattern):
        target.deliver(desk.ledger, desk.path)
    target.url = url
    complete(target, desk)


@pytest.mark.parametrize(
    ("granted", "pattern"),
    [
        ([], "permission denied for schema .*; grant this user the right"),
        slow(["USAGE ON SCHEMA {schema}"], "permission denied for table .*; grant this user the right"),
        (
            ["USAGE, CREATE ON SCHEMA {schema}", "ALL ON ALL TABLES IN SCHEMA {schema}"],
            "must be owner of table .*; grant this user the right",
        ),
    ],
    ids=["schema", "tables", "owner"],
)
def test_each_right_that_is_missing_is_one_line(
    postgres_target: Target, desk: Desk, granted: list[str], pattern: str
) -> None:
    target, user = postgres_target, f"user_{uuid.uuid4().hex[:8]}"
    target.deliver(desk.ledger, desk.path)
    publish_more(desk)
    # This table is made again.
    target.ask("ALTER TABLE SCHEMA.jobs RENAME COLUMN reason TO why")
    before, url = target.content(), target.url
    target.ask(f"CREATE ROLE {user} LOGIN")
    try:
        for grant in granted:
            target.ask(f"GRANT {grant.format(schema=target.schema)} TO {user}")
        target.url = url.replace("postgres@", f"{user}@", 1)
        with pytest.raises(WarehouseError, match=pattern):
            target.deliver(desk.ledger, desk.path)
    finally:
        target.url = url
        target.ask(f"DROP OWNED BY {user}")
        target.ask(f"DROP ROLE {user}")
    assert target.content() == before
    target.deliver(desk.ledger, desk.path)
    assert target.content() == expected(desk.path)


def test_a_user_who_may_not_make_the_schema_is_one_line(postgres_target: Target, desk: Desk) -> None:
    target, user = postgres_target, f"user_{uuid.uuid4().hex[:8]}"
    target.ask(f"CREATE ROLE {user} LOGIN")
    url, target.url = target.url, target.url.replace("postgres@", f"{user}@", 1)
    try:
        with pytest.raises(WarehouseError, match=r"permission denied for database .*; grant this user the right"):
            target.deliver(desk.ledger, desk.path)
    finally:
        target.url = url
        target.ask(f"DROP ROLE {user}")
    complete(target, desk)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("sqlite", 2_000_000),
        slow("duckdb", 4_000_000),
        slow("sqlite", 4_000_000),
        slow("duckdb", 2_000_000),
    ],
)
def test_a_file_that_may_not_grow_keeps_the_last_delivery(
    make_target: Callable[[str], Target], desk: Desk, kind: str, limit: int
) -> None:
    target = make_target(kind)
    target.deliver(desk.ledger, desk.path)
    publish_more(desk, width=6000)
    with files_limited(limit):
        fail(target, desk, "the file would be larger than is allowed; raise the limit, as by ulimit -f unlimited$")
    complete(target, desk)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_is_full_keeps_the_last_delivery(desk: Desk, kind: str) -> None:
    """On a disk of 64 MB in memory; only root may mount one."""
    # The server's user must reach it.
    disk = Path(tempfile.mkdtemp(prefix="meter-disk-"))
    disk.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=777", "tmpfs", disk], check=True)
    try:
        if kind != "postgresql":
            _fill_up(Target(kind, f"{kind}:///{disk}/target", "meter"), desk, disk)
            return
        with PostgresServer() as server:
            (disk / "space").mkdir()
            server.own(disk / "space")
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}/space'".encode())
                connection.execute("ALTER DATABASE postgres SET default_tablespace = 'small'")
            _fill_up(Target(kind, server.url, "meter"), desk, disk)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
        disk.rmdir()


def _fill_up(target: Target, desk: Desk, disk: Path) -> None:
    target.deliver(desk.ledger, desk.path)
    publish_more(desk, width=1500)
    state = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(state.f_bavail * state.f_frsize - 200_000))
    fail(target, desk, "(?i)no space left on device.*; free some space on|disk is full; free some space on it$")
    (disk / "filler").unlink()
    complete(target, desk)
