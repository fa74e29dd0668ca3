"""What Snowflake alone has: names in capitals, statements that end a transaction, and a lock that is a row."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline_tests.snowflake_server import PASSWORD, SnowflakeServer
from meter_pipeline_tests.store.warehouse.delivery.targets import Target, expected
from meter_pipeline_tests.store.warehouse.desk import APRIL, Desk, Marts

# They need Snowflake's connector, which is no dependency of the quick tests.
pytestmark = pytest.mark.engines
_DDL = re.compile("CREATE|ALTER|DROP|COMMENT")


def _make_key(password: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )


@pytest.fixture(autouse=True)
def without_refusals(snowflake_server: SnowflakeServer) -> Iterator[None]:
    """The stand-in refuses nothing once a test is over."""
    yield
    snowflake_server.refuse()


@pytest.fixture
def target(make_target: Callable[[str], Target]) -> Target:
    """An empty schema."""
    return make_target("snowflake")


def test_tables_are_read_without_quotes_and_have_types_and_comments(
    target: Target, desk: Desk, snowflake_server: SnowflakeServer
) -> None:
    target.deliver(desk.ledger, desk.path)
    assert target.ask("SELECT Job_Id FROM SCHEMA.Jobs ORDER BY 1") == [("b1",), ("l1",)]
    (schema,) = re.findall(r'"([^"]+)"$', target.path)
    columns = target.ask(
        "SELECT COLUMN_NAME, DATA_TYPE, COMMENT FROM information_schema.columns "
        f"WHERE TABLE_SCHEMA = '{schema}' AND TABLE_NAME = 'RESULTS_BOOKS'"
    )
    types = {name: type_ for name, type_, _ in columns}
    assert (types["_METER_COMPLETED_AT"], types["_METER_ITEM_INDEX"], types["_METER_URL"]) == (
        "TIMESTAMP_TZ",
        "NUMBER",
        "TEXT",
    )
    ((comment,),) = target.ask(
        f"SELECT COMMENT FROM information_schema.tables WHERE TABLE_SCHEMA = '{schema}' AND TABLE_NAME = 'JOBS'"
    )
    assert comment.endswith("Delivered by meter-pipeline.")
    made, *_ = [line for line in _statements(snowflake_server, target) if '"JOBS" (' in line and "CREATE" in line]
    assert "\"JOB_ID\" TEXT COMMENT 'Id of the job at Meter.'" in made
    assert 'PRIMARY KEY ("JOB_ID")' in made


def test_nothing_in_the_transaction_would_end_it(target: Target, desk: Desk, snowflake_server: SnowflakeServer) -> None:
    target.tables = ("results.*", "meter.jobs")
    target.deliver(desk.ledger, desk.path)
    _change_everything(target, desk)
    target.deliver(desk.ledger, desk.path)
    is_open, seen = False, 0
    for statement in _statements(snowflake_server):
        is_open = (is_open or statement.startswith("BEGIN")) and not statement.startswith(("COMMIT", "ROLLBACK"))
        seen += is_open
        assert not (is_open and _DDL.match(statement)), statement
    assert seen > 10


def test_nothing_but_tables_is_left(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    _change_everything(target, desk)
    target.deliver(desk.ledger, desk.path)
    (schema,) = re.findall(r'"([^"]+)"$', target.path)
    rows = target.ask(f"SELECT TABLE_NAME FROM information_schema.tables WHERE TABLE_SCHEMA = '{schema}'")
    assert {name for (name,) in rows if name.startswith("_METER_")} == {
        "_METER_DELIVERIES",
        "_METER_LOCK",
        "_METER_PARTITIONS",
        "_METER_TABLES",
    }


# Each is a place where a delivery may end: tables and columns, the replacement, rows, state, the commit, the drops.
@pytest.mark.parametrize(
    "refused",
    [
        r"CREATE TABLE.*RESULTS_SHOES",
        r"ADD COLUMN",
        r"UPDATE.*PUBLICATION_ID",
        r"COPY GRANTS",
        r"COMMENT ON COLUMN",
        r"DELETE FROM.*_METER_PARTITIONS",
        r"COPY INTO.*RESULTS_SHOES",
        r"INSERT INTO.*_METER_DELIVERIES",
        r"^COMMIT",
        r"DROP TABLE.*CHANGES",
    ],
)
def test_a_delivery_that_is_refused_anywhere_is_one_line_and_made_good_by_the_next(
    target: Target, desk: Desk, snowflake_server: SnowflakeServer, refused: str
) -> None:
    target.tables = ("results.*", "meter.jobs", "marts.*")
    desk.publish(Marts())
    target.deliver(desk.ledger, desk.path)
    _change_everything(target, desk)
    target.tables = ("results.*", "meter.jobs")
    snowflake_server.refuse(refused)
    with pytest.raises(WarehouseError, match=r"^snowflake://an-account/ANALYTICS/\w+: .*; grant this role") as failure:
        target.deliver(desk.ledger, desk.path)
    assert "\n" not in str(failure.value)
    snowflake_server.refuse()
    target.deliver(desk.ledger, desk.path)
    assert target.content() == expected(desk.path, left_out=_others(desk))
    assert target.deliver(desk.ledger, desk.path).unchanged


def test_a_delivery_waits_for_no_other_and_takes_over_from_one_that_was_killed(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    code = (
        "import sys\n"
        "from meter_pipeline.config.deliveries import parse_address\n"
        "from meter_pipeline.store.warehouse.delivery.deliver import open_session\n"
        "with open_session(parse_address(sys.argv[1], 'to'), '') as session:\n"
        "    session.begin()\n"
        "    print('begun', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, target.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(WarehouseError, match=r"another delivery is under way.*; deliver again when it has ended$"):
            target.deliver(desk.ledger, desk.path)
        other.kill()
    assert target.deliver(desk.ledger, desk.path).unchanged


def test_a_lock_of_another_machine_holds_until_it_expires(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    target.ask("UPDATE SCHEMA._meter_lock SET holder = 'other 1', expires = DATEADD('minute', 9, CURRENT_TIMESTAMP())")
    with pytest.raises(WarehouseError, match="another delivery is under way"):
        target.deliver(desk.ledger, desk.path)
    target.ask("UPDATE SCHEMA._meter_lock SET expires = DATEADD('minute', -1, CURRENT_TIMESTAMP())")
    assert target.deliver(desk.ledger, desk.path).unchanged


def test_a_delivery_whose_lock_was_taken_over_changes_nothing(
    target: Target, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from meter_pipeline.store.warehouse.delivery.snowflake import SnowflakeSession

    target.deliver(desk.ledger, desk.path)
    before = target.content()
    desk.load("books", "b2", APRIL, "c")
    desk.publish()
    transact = SnowflakeSession.transact

    def transact_too_late(session: SnowflakeSession, *arguments: object) -> None:
        target.ask("UPDATE SCHEMA._meter_lock SET holder = 'elsewhere 1 x'")
        transact(session, *arguments)

    monkeypatch.setattr(SnowflakeSession, "transact", transact_too_late)
    with pytest.raises(WarehouseError, match="another delivery has come between; deliver again"):
        target.deliver(desk.ledger, desk.path)
    assert target.content() == before


def test_wrong_passwords_names_and_servers_are_one_line_without_a_secret(
    desk: Desk, snowflake_server: SnowflakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    good = snowflake_server.address("s")
    urls = {
        snowflake_server.address(
            "s", password="canary/@1"
        ): "Incorrect username or password.*; check user and password",
        good.replace("/ANALYTICS/", "/NOWHERE/"): "; check the names of database and schema",
        good.replace(f"port={snowflake_server.port}", f"port={port}"): "; check the account's name and the network",
        f"{good}&sslmode=off": "the address has an unknown option 'sslmode': give warehouse, role, authenticator",
        f"{good}&authenticator=externalbrowser": "the authenticator externalbrowser waits for somebody: give a key by",
        f"{good}&authenticator=SNOWFLAKE_JWT&private_key_file=/no/k&private_key_file_pwd=canary1": "; check the path$",
        f"{good}&authenticator=nonsense": "Unknown authenticator: nonsense; check the options of the address$",
        f"{good.replace(str(snowflake_server.port), 'here')}": "'here'; check the options, the key file",
    }
    monkeypatch.setattr("meter_pipeline.store.warehouse.delivery.snowflake._LOGIN_SECONDS", 2)
    for url, reason in urls.items():
        with pytest.raises(WarehouseError, match=rf"^snowflake://an-account/\w+/s: .*{reason}") as failure:
            Target("snowflake", url, "").deliver(desk.ledger, desk.path)
        line = str(failure.value)
        assert "\n" not in line
        assert not any(secret in line for secret in (PASSWORD, "canary/@1", "canary1"))


@pytest.mark.parametrize(
    ("is_key", "password", "reason"),
    [
        (True, "&private_key_file_pwd=canary1", "Incorrect password, could not decrypt key"),
        (True, "", "Password was not given but private key is encrypted"),
        (False, "", "Unable to load PEM file"),
    ],
)
def test_a_key_that_cannot_be_read_is_one_line(
    desk: Desk, tmp_path: Path, is_key: bool, password: str, reason: str
) -> None:
    key = tmp_path / "key.p8"
    key.write_bytes(_make_key(b"right") if is_key else b"canary1")
    url = f"snowflake://me@an-account/d/s?authenticator=SNOWFLAKE_JWT&private_key_file={key}{password}"
    with pytest.raises(WarehouseError) as failure:
        Target("snowflake", url, "").deliver(desk.ledger, desk.path)
    assert str(failure.value) == (
        f"snowflake://an-account/d/s: {reason}; check the options, the key file and its password"
    )


def _change_everything(target: Target, desk: Desk) -> None:
    """Rows in an old month and a new one, a new table, a column by hand, and one whose type has changed."""
    target.ask("ALTER TABLE SCHEMA.jobs DROP COLUMN reason")
    target.ask("ALTER TABLE SCHEMA.results_books DROP COLUMN _meter_url")
    target.ask("ALTER TABLE SCHEMA.results_books ADD COLUMN _meter_url FLOAT")
    desk.load("books", "b2", APRIL, "c")
    desk.load("lamps", "l2", APRIL, "y")
    desk.load("shoes", "s1", APRIL, "x")
    desk.publish()


def _statements(server: SnowflakeServer, target: Target | None = None) -> list[str]:
    return [line for line in server.statements() if target is None or target.path in line]


def _others(desk: Desk) -> tuple[str, ...]:
    rows = desk.ask("SELECT DISTINCT schema_name || '.' || table_name FROM duckdb_columns() WHERE NOT internal")
    return tuple(name for (name,) in rows if not name.startswith("results.") and name != "meter.jobs")
