"""What BigQuery alone has: no statements about columns in a transaction, limits of it, and comments in its own form."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator

import pytest

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline_tests.bigquery_server import BigQueryServer
from meter_pipeline_tests.store.warehouse.delivery.targets import Target, expected, open_bigquery
from meter_pipeline_tests.store.warehouse.desk import APRIL, Desk

# They need BigQuery's client, which is no dependency of the quick tests.
pytestmark = pytest.mark.engines
_MODULE = "meter_pipeline.store.warehouse.delivery.bigquery"


@pytest.fixture(autouse=True)
def without_refusals(bigquery_server: BigQueryServer) -> Iterator[None]:
    """The stand-in refuses nothing once a test is over."""
    yield
    bigquery_server.rule = lambda sql: False


@pytest.fixture
def target(make_target: Callable[[str], Target]) -> Target:
    """An empty dataset."""
    return make_target("bigquery")


def test_tables_have_keys_comments_and_types(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    with open_bigquery(target.url) as client:
        jobs, books = (client.get_table(f"{target.dataset}.{name}") for name in ("jobs", "results_books"))
    assert jobs.table_constraints.primary_key.columns == ["job_id"]
    assert books.table_constraints.primary_key.columns == ["_meter_job_id", "_meter_item_index"]
    types = {field.name: field.field_type for field in books.schema}
    assert (types["_meter_completed_at"], types["_meter_item_index"], types["_meter_url"]) == (
        "TIMESTAMP",
        "INTEGER",
        "STRING",
    )
    comments = {field.name: field.description for field in jobs.schema}
    assert comments["job_id"] == "Id of the job at Meter."
    assert jobs.description.endswith("Delivered by meter-pipeline.")
    assert jobs.labels == {"delivered_by": "meter-pipeline"}


def test_nothing_but_tables_is_left(target: Target, desk: Desk) -> None:
    target.deliver(desk.ledger, desk.path)
    with open_bigquery(target.url) as client:
        names = {item.table_id for item in client.list_tables(target.dataset)}
    assert names - set(target.names()) == {"_meter_deliveries", "_meter_tables", "_meter_partitions"}


def test_more_tables_than_a_transaction_takes_come_in_several(
    target: Target, desk: Desk, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{_MODULE}.BigQuerySession.max_tables", 2)
    target.deliver(desk.ledger, desk.path)
    assert target.content() == expected(desk.path)
    desk.load("books", "b2", APRIL, "c")
    desk.publish()
    transactions: list[str] = []

    def fail_at_the_third(sql: str) -> bool:
        transactions.extend([sql] if sql.startswith("BEGIN") else [])
        return len(transactions) == 3

    bigquery_server.rule = fail_at_the_third
    with pytest.raises(WarehouseError, match="Quota exceeded"):
        target.deliver(desk.ledger, desk.path)
    bigquery_server.rule = lambda sql: False
    target.deliver(desk.ledger, desk.path)
    assert target.content() == expected(desk.path)


@pytest.mark.parametrize("refused", [r"SELECT .*_meter_new_", r"BEGIN TRANSACTION;\nSELECT"])
def test_a_table_that_was_replaced_before_a_failure_is_whole_after_the_next_delivery(
    target: Target, desk: Desk, bigquery_server: BigQueryServer, refused: str
) -> None:
    target.tables = ("results.*", "meter.jobs")
    target.deliver(desk.ledger, desk.path)
    target.ask("ALTER TABLE SCHEMA.results_books ADD COLUMN mine BIGINT")
    target.ask("ALTER TABLE SCHEMA.jobs DROP COLUMN reason")
    target.ask("ALTER TABLE SCHEMA.jobs ADD COLUMN reason BIGINT")
    desk.load("books", "b2", APRIL, "c")
    desk.publish()
    # The query that replaces rows, and the transaction after it.
    bigquery_server.rule = lambda sql: re.match(refused, sql) is not None
    with pytest.raises(WarehouseError, match=r"Quota exceeded.*; wait, or ask Google for more quota"):
        target.deliver(desk.ledger, desk.path)
    bigquery_server.rule = lambda sql: False
    target.deliver(desk.ledger, desk.path)
    left_out = tuple(name for name in _sources(desk) if name not in ("meter.jobs", "results.books", "results.lamps"))
    assert target.content() == expected(desk.path, left_out=left_out)


def _sources(desk: Desk) -> list[str]:
    rows = desk.ask("SELECT DISTINCT schema_name || '.' || table_name FROM duckdb_columns() WHERE NOT internal")
    return [name for (name,) in rows]


def test_a_server_that_does_not_answer_and_missing_credentials_are_one_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    monkeypatch.setattr(f"{_MODULE}._FIRST_RETRY", DEFAULT_RETRY.with_timeout(0.1))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(WarehouseError, match=r"^bigquery://a-project/d: .*check the address and the network$") as lost:
        Target("bigquery", f"bigquery://a-project/d?endpoint=http://127.0.0.1:{port}", "").deliver(
            desk.ledger, desk.path
        )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    with pytest.raises(WarehouseError, match=r"/nowhere/key\.json was not found.*; check the credentials") as missing:
        Target("bigquery", "bigquery://a-project/d", "").deliver(desk.ledger, desk.path)
    assert not any("\n" in str(failure.value) for failure in (lost, missing))
