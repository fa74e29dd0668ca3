"""A warehouse whose views read a lake on S3 in place: the same rows, no copy, no key in the file, nothing downloaded.

`make engines` runs it on the DuckDB that PyPI has the extension httpfs for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from meter_pipeline.defs.build import build_meter_defs
from meter_pipeline.store.errors import LakeError, RejectedError, WarehouseError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import lake_cache
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline_tests.commandline import Command
from meter_pipeline_tests.object_server import ObjectServer
from meter_pipeline_tests.servers import SECRET
from meter_pipeline_tests.store.warehouse.desk import APRIL, MARCH, Desk
from meter_pipeline_tests.store.warehouse.open_tables.shelf import Shelf

pytestmark = pytest.mark.extensions

_SUMS = """
SELECT 'items', strategy, count(*), sum(item_index), min(completed_at) FROM meter.items GROUP BY ALL
UNION ALL SELECT 'changes', strategy, count(*), count(DISTINCT item_key), min(observed_at) FROM meter.item_changes
GROUP BY ALL
UNION ALL SELECT 'results', 'books', count(*), sum(price), min(_meter_completed_at) FROM results.books
ORDER BY ALL
"""


@pytest.fixture
def desk(tmp_path: Path, store_place: str) -> Iterator[Desk]:
    """A lake on S3 with two strategies, whose folder has characters that URLs know."""
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    made = Desk(ledger, Lake.open(store_place.replace("?", "/day=1%20%25?", 1)), tmp_path / "warehouse.duckdb")
    made.load("books", "j1", MARCH, "a", "b", "c")
    made.load("toys", "t1", APRIL, "x")
    yield made
    ledger.close()


@pytest.fixture
def url(store_place: str) -> str:
    """The lake's URL, with its keys."""
    return store_place.replace("?", "/day=1%20%25?", 1)


def test_views_read_on_s3_what_they_would_read_of_copies(desk: Desk, url: str, object_server: ObjectServer) -> None:
    publish(desk.ledger, desk.lake, desk.path, cache=False)
    assert not list(desk.path.parent.glob("cache/**/*.parquet"))
    with reading(desk.path, url) as connection:
        object_server.requests.clear()
        in_place = connection.execute(_SUMS).fetchall()
        assert {request.name for request in object_server.requests} == {"day=1 %"}
        files = connection.execute("SELECT file FROM meter.lake_files").fetchall()
        assert all(file.startswith(desk.lake.files.uri("")) for (file,) in files)
    desk.publish(force=True)
    with reading(desk.path) as connection:
        assert connection.execute(_SUMS).fetchall() == in_place
    assert in_place[-1][2] == 3


def test_the_published_file_and_its_sessions_show_no_key(desk: Desk, url: str) -> None:
    publish(desk.ledger, desk.lake, desk.path, cache=False)
    for file in desk.path.parent.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    with reading(desk.path, url) as connection:
        shown = str(connection.execute("FROM duckdb_secrets()").fetchall())
        settings = str(connection.execute("FROM duckdb_settings()").fetchall())
        assert "meter_lake" in shown
        assert SECRET not in shown + settings
        with pytest.raises(duckdb.Error):
            connection.execute("FROM duckdb_secrets(redact = false)")
    with duckdb.connect(str(desk.path), read_only=True) as connection:
        assert connection.execute("FROM duckdb_secrets()").fetchall() == []
        with pytest.raises(duckdb.Error) as caught:
            connection.execute("SET autoinstall_known_extensions = false; SELECT count(*) FROM meter.items")
    assert SECRET not in str(caught.value)


def test_what_is_new_costs_no_request_for_what_was_there(desk: Desk, url: str, object_server: ObjectServer) -> None:
    publish(desk.ledger, desk.lake, desk.path, cache=False)
    with object_server.counting() as first:
        assert publish(desk.ledger, desk.lake, desk.path, cache=False).unchanged
    assert first == {}
    desk.load("toys", "t2", APRIL, "y")
    done = publish(desk.ledger, desk.lake, desk.path, cache=False)
    assert not done.unchanged
    with reading(desk.path, url) as connection:
        assert connection.execute("SELECT count(*) FROM meter.items").fetchall() == [(5,)]


def test_another_choice_is_published_without_force(desk: Desk) -> None:
    publish(desk.ledger, desk.lake, desk.path)
    assert list(lake_cache.folder_of(desk.path).rglob("*.parquet"))
    assert not publish(desk.ledger, desk.lake, desk.path, cache=False).unchanged
    assert publish(desk.ledger, desk.lake, desk.path, cache=False).unchanged
    assert not publish(desk.ledger, desk.lake, desk.path).unchanged


def test_a_part_that_the_store_has_lost_is_named(desk: Desk, url: str) -> None:
    publish(desk.ledger, desk.lake, desk.path, cache=False)
    desk.load("lamps", "l1", MARCH, "x")
    lost = desk.ledger.parts_of("lamps")[0]
    desk.lake.files.delete([lost.name])
    with pytest.raises(
        (RejectedError, LakeError), match=f"{Path(lost.name).name} is missing.*sync --strategy lamps --again"
    ):
        publish(desk.ledger, desk.lake, desk.path, cache=False)
    with reading(desk.path, url) as connection:
        assert connection.execute("SELECT count(*) FROM meter.items").fetchall() == [(4,)]


def test_a_warehouse_of_another_lake_is_one_line(desk: Desk, tmp_path: Path) -> None:
    publish(desk.ledger, desk.lake, desk.path, cache=False)
    for other in (str(tmp_path / "lake"), "s3://AKIA:key@other/lake"):
        with pytest.raises(WarehouseError, match="METER_LAKE_URL names another: publish again"):
            with reading(desk.path, other):
                pass


def test_open_tables_need_no_copies(desk: Desk, url: str) -> None:
    catalog = f"sqlite:///{desk.path.parent}/catalog.sqlite"
    shelf = Shelf(desk.ledger, desk.lake, desk.path, catalog, url)
    publish(desk.ledger, desk.lake, desk.path, cache=False)
    assert shelf.export().changed == 4
    assert not list(desk.path.parent.glob("cache/**/*.parquet"))
    assert shelf.table("results.books").scan().to_arrow().num_rows == 3


def test_models_queries_reports_and_deliveries_read_the_lake_in_place(
    meter: Command, store_place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METER_LAKE_URL", store_place)
    monkeypatch.setenv("METER_LAKE_CACHE", "none")
    monkeypatch.delenv("METER_DBT_PROJECT")
    (tmp_path / "meter.yaml").write_text(
        f"deliver: {{desk: {{to: 'sqlite:///{tmp_path}/desk.sqlite', tables: ['results.*']}}}}\n"
    )
    assert meter("sync").code == 0
    assert meter("publish").code == 0
    asked = meter("query", "select sum(price) from results.books", "--csv")
    assert asked.out.splitlines()[-1] == "23"
    assert meter("report").code == 0
    assert "results_books" in meter("deliver", "--json").out
    assert not list((tmp_path / "data").glob("cache/**/*.parquet"))


def test_dagster_publishes_and_describes_a_warehouse_that_reads_in_place(
    meter: Command, store_place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METER_LAKE_URL", store_place)
    monkeypatch.setenv("METER_LAKE_CACHE", "none")
    monkeypatch.delenv("METER_DBT_PROJECT")
    definitions = build_meter_defs()
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("sync").execute_in_process(instance=instance)
    assert result.success
    assert not list((tmp_path / "data").glob("cache/**/*.parquet"))
    names = {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}
    assert {"warehouse", "fct_item_changes"} <= names
