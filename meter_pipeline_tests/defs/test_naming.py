"""The assets in somebody's own project: keys with a prefix, groups, owners, and a component that `dg` knows."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import yaml

from meter_pipeline import MeterComponent, MeterTranslator, build_meter_defs
from meter_pipeline_tests.defs.conftest import Pipeline, materialized
from meter_pipeline_tests.examples import copy_example


def _defs(pipeline: Pipeline) -> dg.Definitions:
    """One instance with a prefix of its keys; everything else has the plain names."""
    return build_meter_defs(pipeline.settings, translator=MeterTranslator(key_prefix=["team", "web"], name=""))


def test_with_a_prefix_every_key_has_it_and_the_lineage_holds(pipeline: Pipeline) -> None:
    pipeline.sync()
    graph = _defs(pipeline).resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert {"team/web/meter/jobs", "team/web/results/books", "team/web/warehouse"} <= keys
    assert all(key.startswith("team/web/") for key in keys)
    assert graph.external_asset_keys == set()
    assert dg.AssetKey(["team", "web", "meter", "items"]) in graph.get(
        dg.AssetKey(["team", "web", "results", "books"])
    ).parent_keys  # fmt: skip
    assert {check.asset_key.path[0] for check in graph.asset_check_keys} == {"team"}


def test_runs_go_by_the_prefix_and_know_what_is_news(pipeline: Pipeline) -> None:
    pipeline.sync()
    defs = _defs(pipeline)
    first = pipeline.run(defs=defs)
    assert {"team/web/results/books", "team/web/meter/jobs", "team/web/warehouse"} <= set(materialized(first))
    checks = {check.asset_check_key for check in first.get_asset_check_evaluations()}
    assert dg.AssetCheckKey(dg.AssetKey(["team", "web", "results", "books"]), "keys_are_unique") in checks
    assert materialized(pipeline.run(defs=defs)) == []
    pipeline.scrape("Books", {"title": "Tide Tables", "Price": 3})
    pipeline.scrape("Lamps", {"name": "Sun", "watt": 1})
    subset = pipeline.run("team/web/results/lamps", defs=defs)
    assert materialized(subset) == ["team/web/results/lamps"]
    assert "team/web/results/books" in materialized(pipeline.run("team/web/results/books", defs=defs))


def test_downstream_assets_read_results_under_the_projects_keys(pipeline: Pipeline) -> None:
    pipeline.sync()
    seen = []

    @dg.asset(ins={"books": dg.AssetIn(key=["team", "web", "results", "books"], input_manager_key="meter_lake")})
    def titles(books: pd.DataFrame) -> None:
        seen.extend(books["title"])

    defs = dg.Definitions.merge(_defs(pipeline), dg.Definitions(assets=[titles]))
    job = dg.Definitions.merge(defs, dg.Definitions(jobs=[dg.define_asset_job("alone", selection=[titles])]))
    assert job.resolve_job_def("alone").execute_in_process(instance=pipeline.instance).success
    assert seen


@pytest.mark.parametrize(("example", "asset"), [("own_project", "price_drops"), ("two_accounts", "shared_titles")])
def test_an_example_loads_before_any_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: str, asset: str
) -> None:
    """In this process, which has imported Dagster; `dg` loads them in `make slow`."""
    project = copy_example(example, tmp_path)
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project)
    for name in ("METER_API_KEY", "SHOP_METER_API_KEY"):
        monkeypatch.setenv(name, "sk_live_a")
    for name in ("METER_BASE_URL", "SHOP_METER_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("METER_DBT_PROJECT", "none")
    (package,) = (path.parent.name for path in project.glob("*/definitions.py"))
    defs = importlib.import_module(f"{package}.definitions").defs()
    assert dg.AssetKey.from_user_string(asset) in defs.get_repository_def().asset_graph.get_all_asset_keys()
    assert not list(project.rglob("ledger.sqlite"))


@pytest.mark.slow
def test_dg_knows_the_component_and_scaffolds_it(tmp_path: Path) -> None:
    project = copy_example("own_project", tmp_path)
    environment = {**os.environ, "METER_DBT_PROJECT": "none", "DAGSTER_DISABLE_TELEMETRY": "yes"}

    def dg_command(*words: str) -> str:
        program = Path(sys.executable).parent / "dg"
        done = subprocess.run(
            [program, *words], cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shipped = yaml.safe_load((project / "scraping" / "defs" / "meter" / "defs.yaml").read_text())
    assert shipped["type"] == "meter_pipeline.MeterComponent"
    assert MeterComponent.resolve_from_yaml(yaml.safe_dump(shipped["attributes"]))
    given = ("--data-dir", "shop", "--group", "web", "--owner", "team:web")
    dg_command("scaffold", "defs", "meter_pipeline.MeterComponent", "shop", *given)
    written = (project / "scraping" / "defs" / "shop" / "defs.yaml").read_text()
    assert "type: meter_pipeline.MeterComponent" in written
    assert "data_dir: shop" in written
    assert "- team:web" in written
    shutil.rmtree(project / "scraping" / "defs" / "meter")
    checked = dg_command("check", "defs")
    assert "validated successfully" in checked
    assert "loaded successfully" in checked
