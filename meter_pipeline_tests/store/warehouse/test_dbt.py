"""The real dbt project over a real load: what is published, what is not, and what its models say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from meter_pipeline.commands.model import ScaffoldError, write_model
from meter_pipeline.commands.report import write_report
from meter_pipeline.config.settings import PROJECT
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse import dictionary as comments
from meter_pipeline.store.warehouse import publications
from meter_pipeline.store.warehouse.build import Publication, RejectedError, publish
from meter_pipeline.store.warehouse.dbt import Project
from meter_pipeline.store.warehouse.lineage import column_lineage
from meter_pipeline.sync.loading.withdraw import hold
from meter_pipeline_tests.behaviour.station import Station

# A model of a user's own, with every macro that the project offers.
_OWN = """
with as_of as (select * from {{ meter_as_of('books', "'2026-03-02 12:00:00+00'") }}),
latest as (select * from {{ meter_latest('books') }}),
history as (select * from {{ meter_history('books', 'price') }})
select
    (select count(*) from as_of) as as_of,
    (select count(*) from latest) as latest,
    (select count(*) from history) as history,
    (select count(*) from {{ ref('stg_results__books') }}) as results
"""


@dataclass
class Shop:
    """A bookshop that is scraped, a copy of the project, and a warehouse."""

    sandbox: Sandbox
    station: Station
    project: Path

    @property
    def warehouse(self) -> Path:
        """The published file."""
        return self.station.folder / "warehouse.duckdb"

    def publish(self, project: Path | None = None, *, force: bool = False) -> tuple[Publication, Project]:
        """Syncs and publishes."""
        self.station.sync(reconcile=True)
        models = Project(project or self.project)
        done = publish(self.station.ledger, self.station.lake, self.warehouse, models=models, force=force)
        return done, models

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What the published warehouse answers."""
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def tables(self) -> dict[str, list[str]]:
        """The rows of every model over the history, and of the item versions, in an order of their own."""
        names = self.ask(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables "
            "WHERE table_schema IN ('marts', 'intermediate') OR table_name = 'item_versions'"
        )
        return {name: sorted(map(repr, self.ask(f"SELECT * FROM {name}"))) for (name,) in names}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Three jobs of one strategy, loaded and published with a model of the user's own."""
    folder = tmp_path_factory.mktemp("shop")
    project = folder / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    with Sandbox(worlds=()) as sandbox, Station(folder / "data", sandbox) as station:
        sandbox.add_strategy("Books", "https://books.example/new")
        made = Shop(sandbox, station, project)
        now = sandbox.world.now
        for back, prices in ((50, (10, 20)), (26, (11, 20)), (2, (9, 20))):
            items = [{"title": f"book {place}", "price": price, "order": "A 1"} for place, price in enumerate(prices)]
            sandbox.insert_job("Books", items=items, completed_at=now - back * 3600)
        station.sync()
        write_model(station.ledger.strategies(), "Books", project)
        (project / "models" / "own.sql").write_text(_OWN)
        made.publish()
        yield made


@pytest.mark.slow
def test_a_publication_has_the_models_and_says_what_it_was_made_from(shop: Shop) -> None:
    ((invocation, models),) = shop.ask(
        "SELECT dbt_invocation_id, models FROM meter.publications ORDER BY published_at LIMIT 1"
    )
    assert invocation
    assert models >= 21
    assert shop.ask("SELECT count(*) FROM marts.fct_scrape_jobs WHERE outcome = 'accepted'")[0][0] >= 3
    assert shop.ask("SELECT verdict, finding_count FROM marts.fct_scrape_jobs ORDER BY observed_at LIMIT 1") == [
        ("learning", 0)
    ]
    assert shop.ask("SELECT sum(items) FROM marts.fct_daily_activity WHERE day < current_date + 1000")[0][0] >= 6


@pytest.mark.slow
def test_the_macros_answer(shop: Shop) -> None:
    ((as_of, latest, history, results),) = shop.ask("SELECT * FROM main.own")
    assert latest >= 2
    assert results >= 6
    assert history >= 2
    assert as_of in (0, 2)


@pytest.mark.slow
def test_a_model_builds_although_its_columns_or_its_table_are_gone(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    with Sandbox(worlds=()) as sandbox, Station(tmp_path / "data", sandbox) as station:
        sandbox.add_strategy("Books", "https://books.example/new")
        items = [{"sku": "a", "price": 1}, {"sku": "b", "price": 2}]
        jobs = []
        for job_items in (items, [{**item, "discount": [5]} for item in items]):
            sandbox.advance(hours=1)
            jobs.append(sandbox.insert_job("Books", items=job_items))
        made = Shop(sandbox, station, project)
        station.sync()
        written = write_model(station.ledger.strategies(), "Books", project)
        # As if it had been written for the warehouse of another folder.
        for path in written:
            path.with_name(path.name.replace("books", "lamps")).write_text(path.read_text().replace("books", "lamps"))
        hold(station.ledger, station.lake, [jobs[1]])
        made.publish()
        read = "SELECT count(*), count(price), count(discount), count(item_key) FROM staging.stg_results__"
        assert made.ask(f"{read}books") == [(2, 2, 0, 2)]
        assert made.ask(f"{read}lamps") == [(0, 0, 0, 0)]
        (types,) = made.ask(
            "SELECT list(typeof(COLUMNS(*)))::VARCHAR FROM (SELECT discount FROM staging.stg_results__books)"
        )
        assert "BIGINT[]" in types[0]


@pytest.mark.slow
def test_the_written_model_is_not_overwritten_unless_forced_to(shop: Shop) -> None:
    rows = shop.station.ledger.strategies()
    with pytest.raises(ScaffoldError, match="--force"):
        write_model(rows, "books", shop.project)
    paths = write_model(rows, "books", shop.project, force=True)
    assert [path.name for path in paths] == ["stg_results__books.sql", "_stg_results__books.yml"]
    with pytest.raises(ScaffoldError, match="no strategy 'nothing'"):
        write_model(rows, "nothing", shop.project)


@pytest.mark.slow
def test_models_can_be_worked_on_beside_the_published_warehouse(shop: Shop) -> None:
    """As the README says: `dbt build` in the project's folder, twice, unit tests and all."""
    env = {**os.environ, "METER_DATA_DIR": str(shop.warehouse.parent), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    before = shop.warehouse.read_bytes()
    for _ in range(2):
        done = subprocess.run(
            [Path(sys.executable).parent / "dbt", "build"], cwd=shop.project, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
    assert "unit_test" in (shop.project / "target" / "run_results.json").read_text()
    with duckdb.connect(str(shop.warehouse.with_name("dev.duckdb")), read_only=True) as connection:
        connection.execute(f"ATTACH '{shop.warehouse}' AS published (READ_ONLY)")
        ours, theirs = (
            connection.execute(f"SELECT * FROM {place}marts.fct_item_changes ORDER BY ALL").fetchall()
            for place in ("", "published.")
        )
    assert ours == theirs
    assert shop.warehouse.read_bytes() == before


@pytest.mark.slow
def test_models_can_be_worked_on_beside_a_folder_of_any_name(shop: Shop) -> None:
    folder = shop.warehouse.parent / "it's #1 [x]"
    folder.mkdir()
    shutil.copy(shop.warehouse, folder)
    env = {**os.environ, "METER_DATA_DIR": str(folder), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    program = Path(sys.executable).parent / "dbt"
    done = subprocess.run([program, "build"], cwd=shop.project, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert (shop.project / "dev.duckdb").is_file()


@pytest.mark.slow
def test_a_written_model_is_as_the_linter_wants_it(shop: Shop) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "sqlfluff", "lint", "models/staging/results"],
        cwd=shop.project,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_warehouse_can_be_attached_under_any_name(shop: Shop) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{shop.warehouse}' AS elsewhere (READ_ONLY)")
        (count,) = connection.execute("SELECT count(*) FROM elsewhere.marts.fct_price_changes").fetchall()[0]
        assert count == shop.ask("SELECT count(*) FROM marts.fct_price_changes")[0][0]


@pytest.mark.slow
def test_an_incremental_build_equals_a_full_one_after_jobs_that_came_late(shop: Shop) -> None:
    now = shop.sandbox.world.now
    # Between two jobs that were compared with each other already, and another one in an older month.
    for back, price in ((30, 12), (24 * 40, 7)):
        shop.sandbox.insert_job("Books", items=[{"title": "book 0", "price": price}], completed_at=now - back * 3600)
    incremental, _ = shop.publish()
    assert not incremental.unchanged
    is_part = "SELECT count(*) < (SELECT count(*) FROM meter.partitions) FROM meter.changed_partitions"
    assert shop.ask(is_part) == [(True,)]
    found = shop.tables()
    assert len(found["marts.fct_item_changes"]) > 0
    full, _ = shop.publish(force=True)
    assert full.publication_id != incremental.publication_id
    assert shop.ask(is_part) == [(False,)]
    assert shop.tables() == found


@pytest.mark.slow
def test_a_broken_test_publishes_nothing_and_is_named(shop: Shop, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(shop.project, broken)
    (broken / "tests").mkdir()
    (broken / "tests" / "no_cheap_books.sql").write_text("select * from {{ ref('fct_scrape_jobs') }}")
    before = publications.current(shop.warehouse)
    with pytest.raises(
        RejectedError, match=r"test no_cheap_books failed \(\d+ rows, see .*no_cheap_books.sql\)"
    ) as raised:
        shop.publish(broken)
    assert Path(str(raised.value).split("see ")[1].rstrip(")")).is_file()
    assert publications.current(shop.warehouse) == before
    assert publications.listing(shop.warehouse)[-1].state == "rejected"


@pytest.mark.slow
def test_the_report_is_one_page_that_needs_nothing_else(shop: Shop, tmp_path: Path) -> None:
    page = write_report(shop.warehouse, tmp_path / "out" / "report.html").read_text()
    assert "Items and changes per day" in page
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("https://books.example", "")
    with pytest.raises(WarehouseError, match="there is no warehouse"):
        write_report(tmp_path / "none.duckdb", tmp_path / "report.html")


@pytest.mark.slow
def test_the_columns_of_every_model_are_traced_once_and_known_from_then_on(shop: Shop) -> None:
    _, project = shop.publish(force=True)
    columns: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in shop.ask("SELECT schema_name, table_name, column_name FROM duckdb_columns()"):
        columns.setdefault((schema, table), []).append(column)
    found = column_lineage(project, columns)
    assert set(found) == {id_ for id_, node in project.manifest["nodes"].items() if node["resource_type"] == "model"}
    prices = found["model.meter.fct_price_changes"]
    assert sorted(map(tuple, prices["currency"])) == [
        ("model.meter.dim_items", "item"),
        ("model.meter.int_price_changes", "currency"),
    ]
    assert ["source.meter.results.books", "price"] in [
        list(parent) for parent in found["model.meter.stg_results__books"]["price"]
    ]
    # Of a project that was not built by this process, nothing but what was found before is known.
    again = column_lineage(Project(shop.project), columns)
    assert json.dumps(again, sort_keys=True) == json.dumps(found, sort_keys=True)
    assert column_lineage(Project(shop.project), {**columns, ("marts", "dim_items"): ["others"]}) == {}


def test_every_model_and_column_is_described() -> None:
    manifest = Project(PROJECT).manifest
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    assert len(models) >= 20
    for model in [*models, *manifest["sources"].values()]:
        assert model["description"], model["name"]
        assert model["columns"], model["name"]
        assert all(column["description"] for column in model["columns"].values()), model["name"]


def test_sources_are_described_as_in_the_file_itself() -> None:
    for source in Project(PROJECT).manifest["sources"].values():
        assert source["description"] == comments.TABLES[source["name"]]
        described = {name: column["description"] for name, column in source["columns"].items()}
        assert described == {name: comments.describe_column(source["name"], name) for name in described}


@pytest.mark.slow
def test_every_table_and_column_of_the_published_file_has_a_comment(shop: Shop) -> None:
    columns = shop.ask("SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal")
    tables = shop.ask(
        "SELECT schema_name, table_name, comment FROM duckdb_tables() UNION ALL "
        "SELECT schema_name, view_name, comment FROM duckdb_views() WHERE NOT internal"
    )
    assert {schema for schema, *_ in tables} == {
        "meter",
        "meter_lake",
        "results",
        "staging",
        "intermediate",
        "marts",
        "main",
    }
    # `main` holds a user's own model, which nobody described; views of `meter` describe the columns of `meter_lake`.
    assert [row for row in [*columns, *tables] if not row[-1] and row[0] not in ("main", "meter_lake")] == []


@pytest.mark.slow
def test_the_described_columns_are_all_that_there_are(shop: Shop) -> None:
    nodes = Project(PROJECT).manifest["nodes"].values()
    models = {(node["schema"], node["alias"]): node["columns"] for node in nodes if node["resource_type"] == "model"}
    there: dict[tuple[str, str], set[str]] = {}
    for schema, name, column in shop.ask(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns"
    ):
        there.setdefault((schema, name), set()).add(column)
    sources = {
        (node["schema"], node["name"]): node["columns"] for node in Project(PROJECT).manifest["sources"].values()
    }
    for named in (models, sources):
        assert {model: there[model] for model in named} == {model: set(said) for model, said in named.items()}


@pytest.mark.slow
def test_dbt_docs_are_generated(shop: Shop, tmp_path: Path) -> None:
    done = Project(shop.project).run(["docs", "generate"], shop.warehouse, tmp_path / "docs")
    assert done.success
    catalog = json.loads((tmp_path / "docs" / "catalog.json").read_text())
    assert "model.meter.dim_items" in catalog["nodes"]
