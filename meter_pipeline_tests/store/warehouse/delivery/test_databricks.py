"""What Databricks alone has: views over tables that rows are added to, one row that switches them, and files."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import pytest

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.build import Built, roll_back
from meter_pipeline_tests.databricks_server import TOKEN, DatabricksServer
from meter_pipeline_tests.store.warehouse.delivery.targets import Target, expected
from meter_pipeline_tests.store.warehouse.desk import APRIL, Desk, Marts

# They need Databricks' connector and Spark, which are no dependencies of the quick tests.
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="PySpark asks for Python 3.11"),
]


@pytest.fixture(autouse=True)
def without_refusals(databricks_server: DatabricksServer) -> Iterator[None]:
    """The stand-in refuses nothing once a test is over."""
    yield
    databricks_server.refuse()


@pytest.fixture
def target(make_target: Callable[[str], Target]) -> Target:
    """An empty schema."""
    made = make_target("databricks")
    made.tables = ("results.*", "meter.jobs")
    return made


def test_readers_see_views_with_types_and_comments(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    columns = {name: (type_, comment) for name, type_, comment in target.ask(
        'SELECT column_name, full_data_type, comment FROM "spark_catalog".information_schema.columns '
        f"WHERE table_schema = '{_schema(target)}' AND table_name IN ('jobs', 'results_books')"
    )}  # fmt: skip
    assert columns["job_id"] == ("string", "Id of the job at Meter.")
    assert (columns["_meter_completed_at"][0], columns["_meter_item_index"][0]) == ("timestamp", "bigint")
    comments = dict(_list_comments(target))
    assert comments["jobs"].endswith("Delivered by meter-pipeline.")
    assert {name for name in comments if not name.startswith("_meter_")} == {"jobs", "results_books", "results_lamps"}


def test_one_row_shows_a_delivery_in_all_views_at_once(
    target: Target, desk: Desk, databricks_server: DatabricksServer
) -> None:
    target.deliver(desk.ledger, desk.path)
    before = target.content()
    _change(desk)
    databricks_server.refuse(r"INSERT INTO .*_meter_deliveries")
    with pytest.raises(WarehouseError):
        target.deliver(desk.ledger, desk.path)
    databricks_server.refuse()
    # All rows are there, and a view of a table to come; none of them shows.
    after = target.content()
    assert after.pop("results_shoes")[1] == []
    assert after == before
    databricks_server.refuse("DELETE FROM")
    with pytest.raises(WarehouseError):
        target.deliver(desk.ledger, desk.path)
    assert target.content() == expected(desk.path, left_out=_others(desk))


def test_only_rows_of_this_delivery_and_the_one_before_are_kept(target: Target, desk: Desk) -> None:
    for number in range(4):
        desk.load("books", f"again{number}", APRIL, "c")
        desk.publish()
        target.deliver(desk.ledger, desk.path)
    # The months of two deliveries: one of March, and April as each of the two sent it.
    ((loads,),) = target.ask("SELECT count(DISTINCT _load) FROM SCHEMA._meter_data_results_books")
    assert loads == 3
    for table in ("_meter_tables", "_meter_partitions"):
        ((deliveries,),) = target.ask(f"SELECT count(DISTINCT delivery_id) FROM SCHEMA.{table}")
        assert deliveries == 2
    target.tables = ("meter.jobs",)
    assert target.deliver(desk.ledger, desk.path).dropped == ("results_books", "results_lamps")
    desk.touch()
    desk.publish()
    target.deliver(desk.ledger, desk.path)
    assert sorted(name for name, _ in _list_comments(target)) == [
        "_meter_data_jobs", "_meter_deliveries", "_meter_partitions", "_meter_tables", "jobs",
    ]  # fmt: skip


def test_a_column_whose_type_has_changed_shows_its_old_values_until_the_switch(
    target: Target, desk: Desk, databricks_server: DatabricksServer
) -> None:
    desk.publish(Typed("1"))
    target.tables = ("marts.typed",)
    target.deliver(desk.ledger, desk.path)
    desk.touch()
    desk.publish(Typed("'two'"))
    databricks_server.refuse(r"INSERT INTO .*_meter_deliveries")
    with pytest.raises(WarehouseError):
        target.deliver(desk.ledger, desk.path)
    assert target.ask("SELECT value FROM SCHEMA.typed") == [("1",)]
    databricks_server.refuse()
    assert target.deliver(desk.ledger, desk.path).notes == ("typed is made again: value is STRING now",)
    assert target.ask("SELECT value FROM SCHEMA.typed") == [("two",)]


def test_a_view_that_a_delivery_has_changed_before_it_was_cut_off_is_put_back(
    target: Target, desk: Desk, databricks_server: DatabricksServer
) -> None:
    first = desk.publish(Typed("1"))
    target.tables = ("marts.typed",)
    target.deliver(desk.ledger, desk.path)
    before = target.content()
    desk.touch()
    desk.publish(Typed("'two'"))
    databricks_server.refuse(r"INSERT INTO .*_meter_deliveries")
    with pytest.raises(WarehouseError):
        target.deliver(desk.ledger, desk.path)
    assert target.content() != before
    databricks_server.refuse()
    roll_back(desk.ledger, desk.path, first.publication_id)
    done = target.deliver(desk.ledger, desk.path)
    assert (done.unchanged, done.notes) == (True, ())
    assert target.content() == before


def test_a_table_beneath_a_view_that_was_dropped_by_hand_is_sent_in_full(target: Target, desk: Desk) -> None:
    desk.publish(Typed("1"))
    target.tables = ("marts.typed",)
    target.deliver(desk.ledger, desk.path)
    target.ask("DROP TABLE SCHEMA._meter_data_typed")
    desk.touch()
    desk.publish(Typed("'two'"))
    assert target.deliver(desk.ledger, desk.path).notes == ("typed was gone from the target: it is sent in full",)
    assert target.ask("SELECT value FROM SCHEMA.typed") == [("two",)]


# Each is a place where a delivery may end.
@pytest.mark.parametrize(
    "refused",
    [
        r"CREATE TABLE.*_meter_lock",
        r"^PUT",
        r"CREATE TABLE.*results_shoes",
        r"INSERT INTO.*_meter_data_results_shoes",
        r"INSERT INTO.*_meter_partitions",
        r"CREATE OR REPLACE VIEW.*results_shoes",
        r"INSERT INTO.*_meter_deliveries",
        r"DELETE FROM.*_meter_data_",
    ],
)
def test_a_delivery_that_is_refused_anywhere_is_one_line_and_made_good_by_the_next(
    target: Target, desk: Desk, databricks_server: DatabricksServer, refused: str
) -> None:
    target.deliver(desk.ledger, desk.path)
    _change(desk)
    databricks_server.refuse(refused)
    with pytest.raises(WarehouseError, match=r"^databricks://\S+/spark_catalog/\w+: .*; grant this user ") as failure:
        target.deliver(desk.ledger, desk.path)
    assert "\n" not in str(failure.value)
    databricks_server.refuse()
    target.deliver(desk.ledger, desk.path)
    assert target.content() == expected(desk.path, left_out=_others(desk))
    assert target.deliver(desk.ledger, desk.path).unchanged
    assert not list(databricks_server.volume.iterdir())


def test_a_delivery_waits_for_no_other_and_takes_over_from_one_that_was_killed(
    target: Target, desk: Desk, databricks_server: DatabricksServer
) -> None:
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
    left = databricks_server.volume / f"meter-spark_catalog-{_schema(target)}-delivery-0.parquet"
    left.touch()
    assert target.deliver(desk.ledger, desk.path).unchanged
    assert not left.exists()


def test_a_lock_of_another_machine_holds_until_it_expires(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    target.ask("CREATE TABLE SCHEMA._meter_lock_7_00000000 (holder STRING) COMMENT 'held until 9999999999 by other 1'")
    with pytest.raises(WarehouseError, match="another delivery is under way"):
        target.deliver(desk.ledger, desk.path)
    target.ask("COMMENT ON TABLE SCHEMA._meter_lock_7_00000000 IS 'held until 1 by other 1'")
    desk.touch()
    desk.publish()
    target.deliver(desk.ledger, desk.path)
    # The other one may have had a row on its way that ends late: it is no newer than this one.
    assert target.ask("SELECT max(number) FROM SCHEMA._meter_deliveries") == [(8,)]


@pytest.mark.parametrize("is_row", [False, True])
def test_a_delivery_that_was_overtaken_changes_nothing(
    target: Target, desk: Desk, monkeypatch: pytest.MonkeyPatch, is_row: bool
) -> None:
    from meter_pipeline.store.warehouse.delivery.databricks import DatabricksSession

    target.deliver(desk.ledger, desk.path)
    before = target.content()
    desk.load("books", "b2", APRIL, "c")
    desk.publish()
    write = DatabricksSession.write_delivery

    def write_too_late(session: DatabricksSession, values: dict[str, object]) -> None:
        if is_row:
            target.ask(
                "INSERT INTO SCHEMA._meter_deliveries SELECT 99, delivery_id, target_id, format, publication_id, "
                'published_at, delivered_at, "rows", seconds, patterns FROM SCHEMA._meter_deliveries'
            )
        else:
            (lock,) = [name for name, _ in _list_comments(target) if name.startswith("_meter_lock_")]
            target.ask(f"DROP TABLE SCHEMA.{lock}")
        write(session, values)

    monkeypatch.setattr(DatabricksSession, "write_delivery", write_too_late)
    with pytest.raises(WarehouseError, match="another delivery has come between; deliver again"):
        target.deliver(desk.ledger, desk.path)
    assert target.content() == before


def test_wrong_tokens_names_and_servers_are_one_line_without_a_secret(
    desk: Desk, databricks_server: DatabricksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    good = databricks_server.address("s")
    urls = {
        databricks_server.address("s", token="canary/@1"): "; check the token",
        good.replace("/sql/1.0", "/sql/2.0"): "; check the http_path$",
        good.replace(f":{databricks_server.port}/", f":{port}/"): "; check the host, the http_path and the network",
        good.replace("files.uploads", "nowhere"): "; check the volume, and grant this user",
        f"{good}&sslmode=off": "the address has an unknown option 'sslmode': give http_path, volume, ca_cert",
        good.replace("ca.pem", "none.pem"): "; check the host, the http_path and the network",
    }
    monkeypatch.setattr("meter_pipeline.store.warehouse.delivery.databricks_connection._RETRY_SECONDS", 3)
    for url, reason in urls.items():
        with pytest.raises(WarehouseError, match=rf"^databricks://127.0.0.1:\d+/\w+/s: .*{reason}") as failure:
            Target("databricks", url, "").deliver(desk.ledger, desk.path)
        line = str(failure.value)
        assert "\n" not in line
        assert not any(secret in line for secret in (TOKEN, "canary"))


def test_large_tables_go_in_several_files(
    target: Target, desk: Desk, databricks_server: DatabricksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meter_pipeline.store.warehouse.delivery.databricks_connection._FILE_BYTES", 0)
    monkeypatch.setattr("meter_pipeline.store.warehouse.delivery.deliver._BATCH_ROWS", 1)
    desk.load("books", "many", APRIL, *map(str, range(5)))
    desk.publish()
    target.deliver(desk.ledger, desk.path)
    assert target.content() == expected(desk.path, left_out=_others(desk))


def test_text_that_looks_like_sql_or_a_variable_is_text(target: Target, desk: Desk) -> None:
    from meter_pipeline.store.warehouse.delivery.databricks_layout import DIALECT

    for text in ("it's", "back\\slash", "\\u0041", "${spark.app.name}", "line\nline", ";--"):
        assert target.ask(f"SELECT {DIALECT.literal(text)} AS x") == [(text,)]


class Typed(Marts):
    """A model of one row, with a value of some type."""

    def __init__(self, value: str) -> None:
        super().__init__(version=value, carried=())
        self._value = value

    def build(self, file: Path) -> Built:
        """Builds it."""
        with duckdb.connect(str(file)) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
            connection.execute(f"CREATE OR REPLACE TABLE marts.typed AS SELECT {self._value} AS value")
        return Built("invocation", 1)


def _change(desk: Desk) -> None:
    """Rows in a month that is there and in a new one, and a new table."""
    desk.load("books", "b2", APRIL, "c")
    desk.load("lamps", "l2", APRIL, "y")
    desk.load("shoes", "s1", APRIL, "x")
    desk.publish()


def _schema(target: Target) -> str:
    return urlsplit(target.url).path.rpartition("/")[2]


def _list_comments(target: Target) -> list[tuple[str, str]]:
    sql = 'SELECT table_name, comment FROM "spark_catalog".information_schema.tables'
    return target.ask(f"{sql} WHERE table_schema = '{_schema(target)}'")  # type: ignore[return-value]


def _others(desk: Desk) -> tuple[str, ...]:
    rows = desk.ask("SELECT DISTINCT schema_name || '.' || table_name FROM duckdb_columns() WHERE NOT internal")
    return tuple(name for (name,) in rows if not name.startswith("results.") and name != "meter.jobs")
