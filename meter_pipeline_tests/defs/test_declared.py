"""Strategies that a project declares: their assets are there before the first sync, and keep nothing from loading."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from meter_pipeline import build_meter_defs, merge_meter_defs
from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.connect import open_ledger
from meter_pipeline.defs.declared import EXISTS, find_declared_strategies
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.defs.conftest import QUIET, Pipeline, failure, materialized

_README = Path(__file__).parents[2] / "README.md"
SEEN: list[float] = []


@dg.asset(ins={"books": dg.AssetIn(key=["results", "books"], input_manager_key="meter_lake")})
def cheap_books(books: pd.DataFrame) -> None:
    SEEN.extend(sorted(books["price"]))


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


def _result(result: dg.ExecuteInProcessResult, slug: str) -> dg.AssetCheckEvaluation | None:
    """The evaluation of the check `strategy_exists` of a strategy; None when it was not evaluated."""
    key = dg.AssetCheckKey(dg.AssetKey(["results", slug]), EXISTS)
    return next((found for found in result.get_asset_check_evaluations() if found.asset_check_key == key), None)


def _downstream(pipeline: Pipeline, defs: dg.Definitions, *selection: str) -> dg.ExecuteInProcessResult:
    """A run of all assets, or of the selected ones, as `dg launch --assets` makes it."""
    job = dg.define_asset_job("chosen", selection=selection or "*", executor_def=dg.in_process_executor)
    chosen = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("chosen")
    return chosen.execute_in_process(instance=pipeline.instance, run_config=QUIET, raise_on_error=False)


@pytest.mark.parametrize("label", ["Books", slow("books")])
def test_a_declared_strategy_has_its_asset_before_any_sync_and_the_first_one_fills_it(
    pipeline: Pipeline, label: str
) -> None:
    defs = dg.Definitions.merge(
        build_meter_defs(pipeline.settings, strategies=[label]), dg.Definitions(assets=[cheap_books])
    )
    result = _downstream(pipeline, defs)
    assert result.success
    assert {"results/books", "cheap_books"} <= set(materialized(result))
    assert SEEN == [9, 9, 11, 12.5]
    found = _result(result, "books")
    assert found is not None
    assert found.passed


def test_a_strategy_of_meter_yaml_has_its_asset_before_any_sync(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "meter.yaml").write_text("strategies:\n  Books: {owners: ['team:pricing']}\n")
    defs = dg.Definitions.merge(build_meter_defs(pipeline.settings), dg.Definitions(assets=[cheap_books]))
    specs = {spec.key: spec for spec in defs.resolve_all_asset_specs()}
    books = specs[dg.AssetKey(["results", "books"])]
    assert books.owners == ["team:pricing"]
    assert "meter.yaml:2" in (books.description or "")
    assert "results/books" in materialized(pipeline.run(defs=defs))
    reloaded = {spec.key: spec for spec in build_meter_defs(pipeline.settings).resolve_all_asset_specs()}
    assert "Scraped from" in (reloaded[dg.AssetKey(["results", "books"])].description or "")


def test_a_declared_strategy_that_meter_lacks_is_one_line_and_the_rest_is_loaded(pipeline: Pipeline) -> None:
    defs = build_meter_defs(pipeline.settings, strategies=["Bocks", "Lamps"])
    result = pipeline.run(defs=defs)
    assert {"results/lamps", "warehouse"} <= set(materialized(result))
    found = _result(result, "bocks")
    assert found is not None
    assert not found.passed
    said = "no strategy at Meter is called 'Bocks' (strategies of the definitions): correct the name or remove it"
    assert found.description == f"{said}, did you mean 'books'?"
    assert found.severity == dg.AssetCheckSeverity.ERROR
    warnings = [log.user_message for log in pipeline.instance.all_logs(result.run_id) if log.level == logging.WARNING]
    assert [line for line in warnings if "bocks" in line] == [f"results/bocks: {found.description}"]
    # Once the strategy is there, the check passes with the next sync, though the strategy has no job yet.
    pipeline.sandbox.add_strategy("Bocks", "https://bocks.example/")
    found = _result(pipeline.run("results/bocks", defs=defs), "bocks")
    assert found is not None
    assert found.passed
    assert _result(pipeline.run("results/bocks", defs=defs), "bocks") is None


def test_materialising_a_strategy_that_meter_lacks_does_not_fail_and_loads_nothing_else(pipeline: Pipeline) -> None:
    defs = build_meter_defs(pipeline.settings, strategies=["nope", "books"])
    alone = pipeline.run("results/nope", defs=defs)
    assert materialized(alone) == []
    assert _result(alone, "nope") is not None
    with open_ledger(pipeline.settings) as ledger:
        assert list(ledger.jobs(states=("accepted",))) == []
    assert materialized(pipeline.run("results/nope", "results/books", defs=defs)) == ["results/books"]
    # Somebody who names it in the configuration of a run wants to know.
    assert "no strategy 'nope'" in failure(pipeline.run(defs=defs, fails=True, strategies=["nope"]))


def test_a_strategy_that_was_deleted_at_meter_is_a_warning(pipeline: Pipeline) -> None:
    defs = build_meter_defs(pipeline.settings, strategies=["Books"])
    pipeline.sync()
    books = next(row for row in pipeline.sandbox.world.strategies.values() if row.name == "Books")
    del pipeline.sandbox.world.strategies[books.strategy_id]
    found = _result(pipeline.run("meter/strategies", "results/books", defs=defs), "books")
    assert found is not None
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "deleted at Meter" in (found.description or "")


def test_merging_with_an_input_that_nothing_knows_loads_and_the_sync_brings_it(pipeline: Pipeline) -> None:
    mine = dg.Definitions(assets=[cheap_books])
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="not produced by any"):
        dg.Definitions.merge(build_meter_defs(pipeline.settings), mine).resolve_job_def("sync")
    defs = merge_meter_defs(build_meter_defs(pipeline.settings), mine)
    assert dg.AssetKey(["results", "books"]) in defs.resolve_asset_graph().external_asset_keys
    pipeline.run(defs=defs)
    assert _downstream(pipeline, defs, "cheap_books").success
    assert SEEN == [9, 9, 11, 12.5]
    reloaded = merge_meter_defs(build_meter_defs(pipeline.settings), mine)
    assert dg.AssetKey(["results", "books"]) not in reloaded.resolve_asset_graph().external_asset_keys


def test_merging_leaves_an_input_of_somebody_elses_to_dagster(tmp_path: Path) -> None:
    @dg.asset(ins={"other": dg.AssetIn(key=["shop", "orders"])})
    def mine(other: int) -> None: ...

    meter = build_meter_defs(Settings(data_dir=tmp_path, dbt_project=None))
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="orders"):
        merge_meter_defs(meter, dg.Definitions(assets=[mine])).resolve_all_asset_keys()


def test_an_id_that_no_sync_has_seen_waits_for_one(pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    books = next(row for row in pipeline.sandbox.world.strategies.values() if row.name == "Books")
    before = build_meter_defs(pipeline.settings, strategies=[books.strategy_id])
    assert not any(key.path[0] == "results" for key in before.resolve_all_asset_keys())
    assert "by its name or slug" in caplog.text
    pipeline.run(defs=before)
    after = build_meter_defs(pipeline.settings, strategies=[books.strategy_id])
    assert dg.AssetCheckKey(dg.AssetKey(["results", "books"]), EXISTS) in after.resolve_asset_graph().asset_check_keys


def test_the_example_of_the_readme_loads_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("METER_DBT_PROJECT", "none")
    blocks = re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)
    (example,) = [block for block in blocks if "build_meter_defs(" in block]
    module: dict[str, object] = {}
    exec(example, module)
    # Dagster takes no module with two of them.
    (defs,) = [value for value in module.values() if isinstance(value, dg.Definitions)]
    assert defs.resolve_job_def("sync")
    assert defs.resolve_asset_graph().external_asset_keys == set()


def test_a_name_that_is_no_list_is_refused_in_one_line() -> None:
    with pytest.raises(SettingsError, match=r"write \['new_books'\]"):
        find_declared_strategies("new_books", Config(), [])
