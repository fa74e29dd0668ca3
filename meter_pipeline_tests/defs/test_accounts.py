"""Two Meter accounts in one code location: two sandboxes, two data folders, and nothing that meets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pytest
from dagster._core.test_utils import environ

from meter_pipeline import MeterComponent, MeterTranslator, build_meter_defs
from meter_pipeline.config.settings import PROJECT, Settings
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.defs.account import Account
from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.defs.conftest import QUIET, Pipeline, failure, materialized
from meter_pipeline_tests.examples import copy_example

SHOP_KEY = "sk_live_shop_5a1c"


@pytest.fixture
def shop(make_sandbox: Callable[..., Sandbox], pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Another account beside the pipeline's, with a strategy of a name that the pipeline has, too."""
    sandbox = make_sandbox(worlds=(), api_key=SHOP_KEY)
    sandbox.add_strategy("Books", "https://shop.example/books")
    sandbox.add_strategy("Chairs", "https://shop.example/chairs")
    for name in ("Books", "Chairs"):
        sandbox.insert_job(name, items=[{"title": f"{name} of the shop", "price": 1}])
    monkeypatch.setenv("SHOP_METER_API_KEY", SHOP_KEY)
    monkeypatch.setenv("SHOP_METER_URL", sandbox.url)
    return sandbox


def _both(pipeline: Pipeline, shop: Sandbox, tmp_path: Path, **settings: Any) -> dg.Definitions:
    """The pipeline's account and the shop's, merged as a project merges them."""
    first = replace(Settings.from_env(), **settings)
    second = build_meter_defs(
        replace(first, data_dir=tmp_path / "shop", base_url=shop.url),
        translator=MeterTranslator(key_prefix=["shop"]),
        api_key=dg.EnvVar("SHOP_METER_API_KEY"),
    )
    return dg.Definitions.merge(build_meter_defs(first), second)


def _execute(pipeline: Pipeline, defs: dg.Definitions, job: str) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def(job).execute_in_process(instance=pipeline.instance, run_config=QUIET)


def _loaded(folder: Path, slug: str = "books", column: str = "title") -> set[str]:
    """The values of a column of results in the published warehouse."""
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        return {row[0] for row in connection.execute(f"select {column} from results.{slug}").fetchall()}


def _names(defs: dg.Definitions) -> dict[str, Sequence[str]]:
    repository = defs.get_repository_def()
    return {
        "jobs": sorted(name for name in repository.job_names if not name.startswith("__")),
        "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
        "resources": sorted(name for name in defs.resources or {} if name.startswith("meter")),
    }


def test_the_first_keeps_the_plain_names_and_the_second_has_its_prefix_in_all_of_them(
    pipeline: Pipeline, shop: Sandbox, tmp_path: Path
) -> None:
    assert _names(_both(pipeline, shop, tmp_path)) == {
        "jobs": sorted(
            f"{name}{suffix}"
            for name in ("audit_again", "drop_jobs", "hold_jobs", "load", "publish_warehouse", "release_jobs", "sync")
            for suffix in ("", "_shop")
        ),
        "schedules": ["hourly_sync", "hourly_sync_shop"],
        "sensors": ["schedule_changes", "schedule_changes_shop"],
        "resources": ["meter", "meter_lake", "meter_lake_shop", "meter_shop", "meter_store", "meter_store_shop"],
    }


def test_each_job_loads_its_own_account_into_its_own_folder(pipeline: Pipeline, shop: Sandbox, tmp_path: Path) -> None:
    defs = _both(pipeline, shop, tmp_path)
    first = materialized(_execute(pipeline, defs, "sync"))
    assert not any(key.startswith("shop/") for key in first)
    assert not shop.log
    requests = len(pipeline.sandbox.log)
    second = materialized(_execute(pipeline, defs, "sync_shop"))
    assert {"shop/results/books", "shop/results/chairs", "shop/warehouse"} <= set(second)
    assert all(key.startswith("shop/") for key in second)
    assert len(pipeline.sandbox.log) == requests
    assert _loaded(pipeline.settings.data_dir) == {"Tide Tables", "Salt Road"}
    assert _loaded(tmp_path / "shop") == {"Books of the shop"}
    reloaded = {key.to_user_string() for key in _both(pipeline, shop, tmp_path).resolve_all_asset_keys()}
    assert {"results/lamps", "shop/results/chairs"} <= reloaded
    assert not {"results/chairs", "shop/results/lamps"} & reloaded


def test_one_run_of_both_accounts_gives_an_asset_downstream_of_both_its_inputs(
    pipeline: Pipeline, shop: Sandbox, tmp_path: Path
) -> None:
    seen: dict[str, set[str]] = {}

    @dg.asset(ins={"ours": dg.AssetIn(["results", "books"]), "theirs": dg.AssetIn(["shop", "results", "books"])})
    def compared(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
        seen.update(ours=set(ours["title"]), theirs=set(theirs["title"]))

    pipeline.sync()
    settings = replace(pipeline.settings, data_dir=tmp_path / "shop", base_url=shop.url, api_key=SHOP_KEY)
    replace(pipeline, sandbox=shop, settings=settings).sync()
    shop.insert_job("Books", items=[{"title": "New in the shop", "price": 2}])
    pipeline.scrape("Books", {"title": "New at home", "Price": 3})
    job = dg.define_asset_job("all", executor_def=dg.in_process_executor)
    defs = dg.Definitions.merge(_both(pipeline, shop, tmp_path), dg.Definitions(assets=[compared], jobs=[job]))
    assert {"warehouse", "shop/warehouse", "compared"} <= set(materialized(_execute(pipeline, defs, "all")))
    assert "New at home" in seen["ours"]
    assert seen["theirs"] == {"Books of the shop", "New in the shop"}


@pytest.mark.slow
def test_the_models_of_each_account_are_built_in_its_own_warehouse(
    pipeline: Pipeline, shop: Sandbox, tmp_path: Path
) -> None:
    defs = _both(pipeline, shop, tmp_path, dbt_project=PROJECT)
    assert defs.resolve_asset_graph().external_asset_keys == set()
    reported = set(materialized(_execute(pipeline, defs, "sync_shop")))
    assert {"shop/marts/fct_scrape_jobs", "shop/staging/stg_meter__jobs", "shop/warehouse"} <= reported
    assert not (pipeline.settings.data_dir / "warehouse.duckdb").exists()
    assert "marts/fct_scrape_jobs" in materialized(_execute(pipeline, defs, "sync"))
    counts = []
    for folder in (pipeline.settings.data_dir, tmp_path / "shop"):
        with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
            counts.append(connection.execute("select count(*) from marts.fct_scrape_jobs").fetchall()[0][0])
    assert counts == [4, 2]


def test_each_sensor_asks_for_its_own_job_and_its_step_takes_the_request(
    pipeline: Pipeline, shop: Sandbox, tmp_path: Path
) -> None:
    shop.world.add_schedule("Books", schedule_id="shop-books")
    shop.advance(hours=1)
    shop.insert_job("Books", items=[{"title": "Scheduled", "price": 2}], schedule="shop-books")
    defs = _both(pipeline, shop, tmp_path)
    repository = defs.get_repository_def()
    sensor = repository.get_sensor_def("schedule_changes_shop")
    with dg.build_sensor_context(
        instance=pipeline.instance, resources=defs.resources, repository_def=repository
    ) as context:
        (request,) = sensor.evaluate_tick(context).run_requests
    assert request.run_config["ops"]["meter_sync_shop"]["config"]["schedules"] == ["shop-books"]
    assert request.tags["meter/asked_by"] == "schedule_changes_shop"
    assert request.job_name == "sync_shop"
    done = defs.resolve_job_def("sync_shop").execute_in_process(
        instance=pipeline.instance, run_config={**QUIET, **request.run_config}
    )
    assert "shop/results/books" in materialized(done)
    nodes = defs.resolve_job_def("sync_shop").all_node_defs
    assert {node.pool for node in nodes if isinstance(node, dg.OpDefinition)} == {"meter_shop", None}


def test_no_key_is_in_the_definitions_or_in_what_a_run_keeps(pipeline: Pipeline, shop: Sandbox, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as pipeline.instance:
        result = _execute(pipeline, _both(pipeline, shop, tmp_path), "sync_shop")
        assert SHOP_KEY not in "".join(map(str, result.all_events))
    assert SHOP_KEY not in repr(_both(pipeline, shop, tmp_path).resources)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if SHOP_KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("variable", ["SHOP_METER_API_KEY", slow("SHOP_LEDGER_URL")])
def test_a_variable_that_is_not_set_is_one_line_and_keeps_nothing_from_loading(
    pipeline: Pipeline, shop: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("SHOP_LEDGER_URL", str(tmp_path / "shop.sqlite"))
    monkeypatch.delenv(variable)
    defs = build_meter_defs(
        replace(pipeline.settings, data_dir=tmp_path / "shop", base_url=shop.url),
        translator=MeterTranslator(key_prefix=["shop"]),
        api_key=dg.EnvVar("SHOP_METER_API_KEY"),
        ledger_url=dg.EnvVar("SHOP_LEDGER_URL"),
        strategies=["Books"],
    )
    job = defs.resolve_job_def("sync_shop")
    done = job.execute_in_process(instance=pipeline.instance, run_config=QUIET, raise_on_error=False)
    assert failure(done) == f"dagster._core.definitions.events.Failure: {variable} is not set: put it into the " + (
        "environment or .env"
    )
    (tmp_path / ".env").write_text(f"{variable}={SHOP_KEY if 'KEY' in variable else tmp_path / 'shop.sqlite'}\n")
    done = job.execute_in_process(instance=pipeline.instance, run_config=QUIET)
    assert "shop/results/books" in materialized(done)
    assert (tmp_path / "shop.sqlite").exists()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"api_key": SHOP_KEY}, "name the variable that holds it"),
        ({"ledger_url": "postgresql://meter:pa55word@db.example/meter"}, "ledger_url holds credentials"),
        ({"lake_url": "s3://KEY:pa55word@bucket/meter"}, "lake_url holds credentials"),
        ({"lake_url": "s3://bucket/meter?secret_key=pa55word"}, "lake_url holds credentials"),
    ],
)
def test_a_secret_in_plain_text_is_refused_in_one_line_that_does_not_repeat_it(
    given: dict[str, str], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason) as raised:
        build_meter_defs(**given)
    assert "pa55word" not in str(raised.value)
    assert SHOP_KEY not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_key_in_settings_that_runs_would_not_use_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(SettingsError, match=r"api_key=dg\.EnvVar") as raised:
        build_meter_defs(replace(pipeline.settings, api_key=SHOP_KEY))
    assert SHOP_KEY not in str(raised.value)


def test_another_accounts_data_lands_neither_in_the_first_ones_folder_nor_in_its_shared_store(
    pipeline: Pipeline, shop: Sandbox, tmp_path: Path
) -> None:
    key = dg.EnvVar("SHOP_METER_API_KEY")
    with pytest.raises(SettingsError, match="two accounts have the data folder"):
        build_meter_defs(pipeline.settings, translator=MeterTranslator(key_prefix=["shop"]), api_key=key)
    with environ({"METER_LEDGER_URL": "postgresql://first@db.example/meter", "METER_LAKE_URL": "s3://first/meter"}):
        settings = Account(key).apply_to(replace(Settings.from_env(), data_dir=tmp_path / "shop"))
        store = build_meter_defs(
            replace(Settings.from_env(), data_dir=tmp_path / "shop"),
            translator=MeterTranslator(key_prefix=["shop"]),
            api_key=key,
        ).resources["meter_store_shop"]
        used = store.settings()
    assert settings.ledger == used.ledger == str(tmp_path / "shop" / "ledger.sqlite")
    assert settings.lake == used.lake == str(tmp_path / "shop" / "lake")


def _component(text: str) -> MeterComponent:
    return MeterComponent.resolve_from_yaml(dedent(text))


def test_a_component_takes_its_account_from_the_variables_that_it_names(
    pipeline: Pipeline, shop: Sandbox, tmp_path: Path
) -> None:
    component = _component(
        f"""
        data_dir: {tmp_path / "shop"}
        key_prefix: [the-shop]
        api_key: "{{{{ env.SHOP_METER_API_KEY }}}}"
        base_url: "{{{{ env.SHOP_METER_URL }}}}"
        ledger_url: "{{{{ env('SHOP_LEDGER') }}}}"
        strategies: [Chairs]
        """
    )
    with environ({"SHOP_LEDGER": str(tmp_path / "elsewhere.sqlite")}):
        defs = dg.Definitions.merge(
            dg.build_defs_for_component(MeterComponent()), dg.build_defs_for_component(component)
        )
        assert dg.AssetKey(["the-shop", "results", "chairs"]) in defs.resolve_all_asset_keys()
        done = _execute(pipeline, defs, "sync_the_shop")
    assert "the-shop/results/chairs" in materialized(done)
    assert (tmp_path / "elsewhere.sqlite").exists()
    assert SHOP_KEY not in repr(component)


def test_a_key_in_the_yaml_is_refused_without_being_repeated() -> None:
    for given in (SHOP_KEY, f"{{{{ '{SHOP_KEY}' }}}}"):
        with pytest.raises(Exception, match="api_key must name a variable") as raised:
            _component(f'api_key: "{given}"')
        assert SHOP_KEY not in str(raised.value)
    with pytest.raises(Exception, match="api_key") as raised:
        MeterComponent(api_key=SHOP_KEY)
    assert SHOP_KEY not in str(raised.value)


def test_a_name_wins_over_the_prefix_and_an_odd_one_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, dbt_project=None)
    named = build_meter_defs(settings, translator=MeterTranslator(key_prefix=["eu", "web"], name="europe"))
    assert named.resolve_job_def("sync_europe")
    by_prefix = build_meter_defs(settings, translator=MeterTranslator(key_prefix=["eu", "web"]))
    assert by_prefix.resolve_job_def("sync_eu_web")
    with pytest.raises(SettingsError, match="letters, digits and _"):
        build_meter_defs(settings, translator=MeterTranslator(name="the shop"))


@pytest.fixture
def example(tmp_path: Path, make_sandbox: Callable[..., Sandbox]) -> Callable[..., str]:
    """The project of the documentation with a sandbox for each account; runs `dg` in it and returns what it prints."""
    project = copy_example("two_accounts", tmp_path)
    main, shop = (
        make_sandbox(seed=7, worlds=("bookshop",)),
        make_sandbox(seed=8, worlds=("bookshop",), api_key=SHOP_KEY),
    )
    for sandbox in (main, shop):
        sandbox.advance(days=1)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    given = {
        "METER_API_KEY": main.api_key,
        "METER_BASE_URL": main.url,
        "SHOP_METER_API_KEY": SHOP_KEY,
        "SHOP_METER_BASE_URL": shop.url,
        "METER_DBT_PROJECT": "none",
        "DAGSTER_HOME": str(tmp_path / "home"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PYTHONPATH": str(project),
    }
    usual = {name: value for name, value in os.environ.items() if not name.startswith("METER_")} | given

    def run(*words: str, fails: bool = False) -> str:
        program = Path(sys.executable).parent / "dg"
        done = subprocess.run(
            [program, *words],
            cwd=project,
            env={**usual, **given},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.slow
def test_the_example_loads_before_any_sync(example: Callable[..., str]) -> None:
    checked = example("check", "defs")
    assert "validated successfully" in checked
    assert "loaded successfully" in checked


@pytest.mark.slow
def test_the_example_loads_both_accounts_and_keeps_them_apart(example: Callable[..., str], tmp_path: Path) -> None:
    for words in (("--job", "sync"), ("--job", "sync_shop"), ("--assets", "shared_titles")):
        example("launch", *words)
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("shared_titles"))
        assert len(instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))) == 3
    assert event is not None
    assert event.asset_materialization is not None
    facts = event.asset_materialization.metadata
    assert facts["main"].value > 0
    assert facts["shop"].value > 0
    data = tmp_path / "two_accounts" / "data"
    jobs = [_loaded(data / account, "new_books", "_meter_job_id") for account in ("main", "shop")]
    assert all(jobs)
    assert not jobs[0] & jobs[1]
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in kept if SHOP_KEY.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_a_key_in_the_example_is_refused_and_dg_does_not_print_it(example: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "two_accounts" / "accounts" / "defs" / "shop" / "defs.yaml"
    file.write_text(file.read_text().replace('"{{ env.SHOP_METER_API_KEY }}"', SHOP_KEY))
    reported = example("check", "defs", fails=True)
    assert "api_key must name a variable" in reported
    assert SHOP_KEY not in reported
