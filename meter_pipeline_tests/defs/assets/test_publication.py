"""The models of the dbt project in Dagster: one lineage, tests as checks, and nothing published when one fails."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from meter_pipeline import MeterTranslator, build_meter_defs
from meter_pipeline.config.settings import PROJECT, Settings
from meter_pipeline.defs import build_defs
from meter_pipeline.store.warehouse import publications
from meter_pipeline_tests.defs.conftest import Pipeline, failure, materialized

_EXAMPLE = Path(__file__).parents[3] / "examples" / "own_project"


def test_the_lineage_goes_from_meter_to_the_marts_without_orphans(tmp_path: Path) -> None:
    defs = build_meter_defs(Settings(data_dir=tmp_path / "data"), translator=MeterTranslator("web", ["team:web"]))
    graph = defs.resolve_asset_graph()
    assert graph.external_asset_keys == set()
    assert not (tmp_path / "data").exists()
    prices = graph.get(dg.AssetKey(["marts", "fct_price_changes"]))
    assert {"intermediate/int_price_changes", "marts/dim_items"} == {key.to_user_string() for key in prices.parent_keys}
    assert dg.AssetKey("warehouse") in prices.child_keys
    changes = graph.get(dg.AssetKey(["staging", "stg_meter__item_changes"]))
    assert changes.parent_keys == {dg.AssetKey(["meter", "item_changes"])}
    assert prices.group_name == "web"
    assert prices.owners == ["team:web"]
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.parent_keys or node.child_keys, key
        assert node.description, key


@pytest.mark.slow
def test_one_run_goes_from_the_sync_to_the_publication_and_a_broken_test_publishes_nothing(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    pipeline.settings = replace(pipeline.settings, dbt_project=project)
    result = pipeline.run()
    reported = materialized(result)
    assert reported[-1] == "warehouse"
    assert {"results/books", "marts/fct_daily_activity", "staging/stg_meter__jobs"} <= set(reported)
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks["is_key_stg_meter__jobs_job_id"]
    facts = {event.asset_key: event.materialization.metadata for event in result.get_asset_materialization_events()}
    jobs = facts[dg.AssetKey(["marts", "fct_scrape_jobs"])]
    assert jobs["dagster/row_count"].value == 4
    assert "data:image/png;base64," in jobs["Items per job"].value
    outcome = jobs["dagster/column_lineage"].value.deps_by_column["outcome"]
    assert outcome == [dg.TableColumnDep(dg.AssetKey(["staging", "stg_meter__jobs"]), "state")]
    # Without news there is nothing to build.
    assert materialized(pipeline.run()) == []
    # Only what is selected is reported, though a publication is always whole.
    assert materialized(pipeline.run("marts/fct_scrape_jobs")) == ["marts/fct_scrape_jobs"]
    pipeline.scrape("Lamps", {"name": "Moon | Sun", "watt": 60})
    assert materialized(pipeline.run("results/lamps", "warehouse")) == ["results/lamps", "warehouse"]

    model = project / "models" / "marts" / "fct_scrape_jobs.sql"
    model.write_text(model.read_text().replace("jobs.job_id,\n", "'one' as job_id,\n", 1))
    before = publications.current(pipeline.settings.warehouse)
    pipeline.scrape("Lamps", {"name": "Star", "watt": 60})
    broken = pipeline.run(fails=True)
    assert "is_key_fct_scrape_jobs_job_id" in failure(broken)
    assert "marts/fct_scrape_jobs" not in materialized(broken)
    failed = [check for check in broken.get_asset_check_evaluations() if not check.passed]
    assert "is_key_fct_scrape_jobs_job_id" in {check.check_name for check in failed}
    assert publications.current(pipeline.settings.warehouse) == before


@pytest.mark.parametrize("translator", [None, MeterTranslator(key_prefix=["web"])], ids=["plain", "prefixed"])
def test_any_of_the_models_and_the_warehouse_can_be_selected(
    tmp_path: Path, translator: MeterTranslator | None
) -> None:
    defs = build_defs(Settings(data_dir=tmp_path / "data"), translator=translator, strategies=["Books"])
    graph = defs.resolve_asset_graph()
    prefix = list(translator.key_prefix or []) if translator else []
    books = dg.AssetSelection.assets([*prefix, "results", "books"])
    selections = [dg.AssetSelection.assets(key) for key in sorted(graph.get_all_asset_keys())]
    selections += [books.downstream(), books | dg.AssetSelection.assets([*prefix, "warehouse"])]
    selections += [dg.AssetSelection.checks_for_assets([*prefix, "marts", "dim_items"])]
    for selection in selections:
        job = dg.define_asset_job("some", selection=selection).resolve(asset_graph=graph)
        assert job.asset_layer.selected_asset_keys == selection.resolve(graph)


def test_a_project_that_cannot_be_parsed_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    defs = build_defs(Settings(data_dir=tmp_path, dbt_project=tmp_path / "nowhere"))
    assert dg.AssetKey("warehouse") in defs.resolve_all_asset_keys()
    assert "nowhere" in caplog.text


def test_the_component_brings_the_assets_into_a_project_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(_EXAMPLE))
    monkeypatch.setenv("METER_DBT_PROJECT", "none")
    project = tmp_path / "own_project"
    shutil.copytree(_EXAMPLE, project)
    monkeypatch.syspath_prepend(str(project))
    defs = dg.load_from_defs_folder(path_within_project=project / "scraping")
    graph = defs.resolve_asset_graph()
    assert dg.AssetKey("price_drops") in graph.get_all_asset_keys()
    assert graph.get(dg.AssetKey(["meter", "jobs"])).group_name == "scraping"
    assert graph.get(dg.AssetKey("warehouse")).owners == ["team:web"]
