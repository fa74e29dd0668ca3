"""Fixtures of deliveries: an empty target of each kind, and a warehouse to deliver."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from meter_pipeline_tests.bigquery_server import BigQueryServer
from meter_pipeline_tests.clickhouse_server import PASSWORD, USER, ClickHouseServer
from meter_pipeline_tests.databricks_server import DatabricksServer
from meter_pipeline_tests.snowflake_server import SnowflakeServer
from meter_pipeline_tests.store.warehouse.delivery.targets import HEAVY_KINDS, KINDS, Target, ask_clickhouse
from meter_pipeline_tests.store.warehouse.desk import MARCH, Desk, FilledDesk


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[str]:
    """A ClickHouse server; the URL of it, without a database."""
    with ClickHouseServer() as server:
        yield f"clickhouse://{USER}:{quote(PASSWORD, safe='')}@{server.address}"


@pytest.fixture(scope="session")
def bigquery_server() -> Iterator[BigQueryServer]:
    """A stand-in for BigQuery."""
    with BigQueryServer() as server:
        yield server


@pytest.fixture(scope="session")
def snowflake_server() -> Iterator[SnowflakeServer]:
    """A stand-in for Snowflake."""
    with SnowflakeServer() as server:
        yield server


@pytest.fixture(scope="session")
def databricks_server() -> Iterator[DatabricksServer]:
    """A stand-in for Databricks."""
    with DatabricksServer() as server:
        yield server


@pytest.fixture
def make_target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Target]]:
    """Makes empty targets by their kind."""
    made: list[Target] = []

    def make(kind: str) -> Target:
        if kind == "postgresql":
            target = Target(kind, request.getfixturevalue("postgres"), f"meter_{uuid.uuid4().hex[:8]}")
        elif kind == "clickhouse":
            url, name = request.getfixturevalue("clickhouse"), f"meter_{uuid.uuid4().hex[:8]}"
            ask_clickhouse(url, f"CREATE DATABASE {name}")
            target = Target(kind, f"{url}/{name}", "")
        elif kind == "bigquery":
            server: BigQueryServer = request.getfixturevalue("bigquery_server")
            target = Target(kind, server.address(f"meter_{uuid.uuid4().hex[:8]}"), "")
        elif kind == "snowflake":
            service: SnowflakeServer = request.getfixturevalue("snowflake_server")
            target = Target(kind, service.address(f"meter_{uuid.uuid4().hex[:8]}"), "")
        elif kind == "databricks":
            bricks: DatabricksServer = request.getfixturevalue("databricks_server")
            target = Target(kind, bricks.address(f"meter_{uuid.uuid4().hex[:8]}"), "")
        else:
            target = Target(kind, f"{kind}:///{tmp_path / f'target.{kind}'}", "meter")
        made.append(target)
        return target

    yield make
    for target in made:
        if target.kind == "postgresql":
            target.ask(f"DROP SCHEMA IF EXISTS {target.schema} CASCADE")
        elif target.kind == "databricks":
            target.ask("DROP SCHEMA IF EXISTS " + urlsplit(target.url).path.rpartition("/")[2] + " CASCADE")
        elif target.kind == "clickhouse":
            ask_clickhouse(target.url.rpartition("/")[0], f"DROP DATABASE {target.url.rpartition('/')[2]}")


@pytest.fixture(params=[*KINDS, *(pytest.param(kind, marks=pytest.mark.engines) for kind in HEAVY_KINDS)])
def target(request: pytest.FixtureRequest, make_target: Callable[[str], Target]) -> Target:
    """An empty target of each kind."""
    return make_target(request.param)


@pytest.fixture
def postgres_target(make_target: Callable[[str], Target]) -> Target:
    """An empty schema of PostgreSQL."""
    return make_target("postgresql")


@pytest.fixture(scope="module")
def _filled_desk(tmp_path_factory: pytest.TempPathFactory) -> FilledDesk:
    def fill(desk: Desk) -> None:
        desk.load("books", "b1", MARCH, "a", "b")
        desk.load("lamps", "l1", MARCH, "x")
        desk.publish()

    return FilledDesk(tmp_path_factory.mktemp("filled"), fill)


@pytest.fixture
def desk(_filled_desk: FilledDesk) -> Iterator[Desk]:
    """A published warehouse with two strategies."""
    with _filled_desk.open() as desk:
        yield desk
