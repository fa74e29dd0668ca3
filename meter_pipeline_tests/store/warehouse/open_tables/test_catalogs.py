"""Catalogs: open tables in SQLite, PostgreSQL and behind REST, of a lake in a folder and on S3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from meter_pipeline.store.cleaning import clean
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.object_server import ObjectServer
from meter_pipeline_tests.servers import SECRET
from meter_pipeline_tests.store.warehouse.desk import APRIL, MARCH, Desk
from meter_pipeline_tests.store.warehouse.open_tables.rest_catalog import TOKEN, RestCatalog
from meter_pipeline_tests.store.warehouse.open_tables.shelf import Shelf


@pytest.fixture
def rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestCatalog]:
    monkeypatch.setenv("PYICEBERG_CATALOG__METER__TOKEN", TOKEN)
    server = RestCatalog(tmp_path)
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "rest", *map(thorough.slow, ("postgresql", "s3"))])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    """A ledger, a lake and a catalog of each kind."""
    ledger_url, lake_url = str(tmp_path / "ledger.sqlite"), str(tmp_path / "lake")
    catalog = f"sqlite:///{tmp_path}/catalog.sqlite"
    if request.param == "postgresql":
        # One database for the ledger and the catalog.
        ledger_url = catalog = request.getfixturevalue("postgres_url")
    elif request.param == "rest":
        catalog = request.getfixturevalue("rest").url
    elif request.param == "s3":
        lake_url = request.getfixturevalue("store_place")
    ledger = Ledger.open(ledger_url)
    yield Shelf(ledger, Lake.open(lake_url), tmp_path / "warehouse.duckdb", catalog, lake_url)
    ledger.close()


def test_every_catalog_takes_the_tables_and_their_changes(shelf: Shelf) -> None:
    desk = Desk(shelf.ledger, shelf.lake, shelf.path)
    desk.load("books", "b1", MARCH, "a")
    desk.load("toys", "t1", APRIL, "x")
    assert shelf.publish().changed == 4
    shelf.assert_snapshots_unchanged()
    desk.load("books", "b1", MARCH, "b", "c")
    assert shelf.publish().changed == 3
    clean(desk.ledger, desk.lake, grace=timedelta(0))
    shelf.assert_equal_to_warehouse()
    shelf.assert_snapshots_unchanged()
    assert shelf.publish(keep_hours=0).changed == 0
    assert {name: len(table.snapshots()) for name, table in shelf.tables().items() if table.snapshots()} == {
        "meter.raw": 1,
        "meter.changes": 1,
        "results.books": 1,
        "results.toys": 1,
    }
    shelf.assert_equal_to_warehouse()


def test_no_part_on_s3_is_written_again_or_read_for_a_table(
    store_place: str, object_server: ObjectServer, tmp_path: Path
) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    catalog = f"sqlite:///{tmp_path}/catalog.sqlite"
    shelf = Shelf(ledger, Lake.open(store_place), tmp_path / "warehouse.duckdb", catalog, store_place)
    desk = Desk(ledger, shelf.lake, shelf.path)
    desk.load("books", "b1", MARCH, "a")
    shelf.publish()
    desk.load("books", "b2", APRIL, "a")
    from meter_pipeline.store.warehouse.build import publish

    publish(ledger, shelf.lake, shelf.path)
    object_server.requests.clear()
    shelf.export()
    assert {request.name for request in object_server.requests if request.method != "HEAD"} <= {"iceberg", ""}
    assert SECRET not in "".join(path.read_text(errors="ignore") for path in tmp_path.glob("*.json"))
    for table in shelf.tables().values():
        assert "canary" not in table.metadata.model_dump_json().lower().replace(tmp_path.name.lower(), "")
    ledger.close()


def test_a_column_of_another_type_replaces_the_table_behind_rest_as_well(rest: RestCatalog, tmp_path: Path) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    lake = str(tmp_path / "lake")
    shelf = Shelf(ledger, Lake.open(lake), tmp_path / "warehouse.duckdb", rest.url, lake)
    Desk(ledger, shelf.lake, shelf.path).load("books", "b1", MARCH, "a")
    shelf.publish()
    catalog = shelf.open()
    with catalog.load_table("results.books").update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("price")
    Desk(ledger, shelf.lake, shelf.path).load("books", "b2", APRIL, "a")
    shelf.publish()
    shelf.assert_equal_to_warehouse()
    assert len([name for name in shelf.tables() if "__until_" in name]) == 1
    assert ("POST", "/v1/tables/rename") in rest.calls
    ledger.close()


@pytest.mark.parametrize("is_done", [thorough.slow(False), True], ids=["refused", "answer lost"])
def test_an_export_that_breaks_off_anywhere_is_completed_by_the_next(
    rest: RestCatalog, tmp_path: Path, is_done: bool
) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    lake = str(tmp_path / "lake")
    shelf = Shelf(ledger, Lake.open(lake), tmp_path / "warehouse.duckdb", rest.url, lake)
    desk = Desk(ledger, shelf.lake, shelf.path)
    desk.load("books", "b1", MARCH, "x")
    shelf.publish()
    broken: list[str] = []
    # One of five calls fails, whose answer is lost; in `make slow`, every call fails in both ways.
    failing = range(24) if thorough.TIMES > 1 else range(2, 24, 5)
    for calls in failing:
        desk.load("books", "b1", MARCH, *"abcdef"[: 1 + calls % 5])
        desk.load(f"toys{calls % 3}", f"t{calls}", APRIL, "x")
        rest.failing = (calls, is_done)
        try:
            shelf.publish(keep_hours=0)
        except WarehouseError as error:
            broken.append(str(error))
        rest.failing = None
        clean(ledger, shelf.lake, grace=timedelta(0))
        shelf.assert_snapshots_unchanged()
        if calls % 4 > 1:
            shelf.publish(keep_hours=0)
            shelf.assert_equal_to_warehouse()
    assert len(broken) > 0.4 * len(failing)
    assert all("as the test wants; check METER_CATALOG_URL" in line for line in broken)
    ledger.close()


@pytest.mark.parametrize(
    ("catalog", "said"),
    [
        (
            "mysql://user:canary-5c2ab@host/db",
            "METER_CATALOG_URL: no catalog is known for mysql:// URLs; give sqlite",
        ),
        (
            "http://user:canary-5c2ab@127.0.0.1:9/",
            "published, but the open tables of http://127.0.0.1:9/ are not up to",
        ),
        (
            "postgresql://user:canary-5c2ab@127.0.0.1:9/db",
            "published, but the open tables of postgresql://127.0.0.1:9/db",
        ),
        ("sqlite:////no/such/folder/catalog.sqlite", "published, but the open tables of sqlite:////no/such/folder/"),
    ],
)
def test_a_catalog_that_cannot_be_used_is_one_line_without_secrets(tmp_path: Path, catalog: str, said: str) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    lake = str(tmp_path / "lake")
    shelf = Shelf(ledger, Lake.open(lake), tmp_path / "warehouse.duckdb", catalog, lake)
    with pytest.raises(WarehouseError) as raised:
        shelf.publish()
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)
    assert "canary" not in str(raised.value)
    ledger.close()


def test_a_token_that_is_refused_is_one_line(rest: RestCatalog, tmp_path: Path) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    lake = str(tmp_path / "lake")
    shelf = Shelf(ledger, Lake.open(lake), tmp_path / "warehouse.duckdb", rest.url, lake, "canary-wrong")
    with pytest.raises(WarehouseError, match=r"check METER_CATALOG_CREDENTIAL and its rights") as raised:
        shelf.publish()
    assert "canary" not in str(raised.value)
    ledger.close()
