"""Definitions load with nothing there: no key, no network, no ledger, no DAGSTER_HOME."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from meter_pipeline.config.settings import Settings
from meter_pipeline.defs import build_defs
from meter_pipeline.defs.keys import find_slug, make_results_key
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline_tests.store.records import strategy

ALWAYS = {
    *(f"meter/{name}" for name in ("strategies", "schedules", "jobs", "items", "schedule_changes")),
    *(f"meter/{name}" for name in ("item_changes", "item_versions", "job_comparisons")),
    "warehouse",
}


def _keys(defs: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in defs.resolve_all_asset_keys()}


def test_an_empty_folder_has_the_assets_that_are_always_there_and_stays_empty(tmp_path: Path) -> None:
    defs = build_defs(Settings(data_dir=tmp_path / "data", dbt_project=None))
    assert _keys(defs) == ALWAYS
    assert not (tmp_path / "data").exists()


def test_definitions_of_a_whole_project_load_without_a_warning_of_deprecated_or_unfinished_constructs(
    tmp_path: Path,
) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    ledger.record_strategies([strategy("b", "Books")])
    ledger.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # The parser that dagster-dbt asks for, and that warns of itself.
        warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
        defs = build_defs(Settings(data_dir=tmp_path), strategies=["Lamps"])
        dg.Definitions.validate_loadable(defs)
    assert {"results/books", "results/lamps", "marts/fct_scrape_jobs"} <= _keys(defs)
    assert [str(warning.message) for warning in caught] == []


def test_the_schedule_is_off_until_somebody_switches_it_on(tmp_path: Path) -> None:
    schedule = build_defs(Settings(data_dir=tmp_path, dbt_project=None)).resolve_schedule_def("hourly_sync")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def test_a_damaged_ledger_is_a_warning_and_not_the_end_of_the_code_location(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"this is no database" * 500)
    assert _keys(build_defs(Settings(data_dir=tmp_path, dbt_project=None))) == ALWAYS
    assert "ledger.sqlite" in caplog.text


def test_no_name_or_id_of_a_strategy_keeps_the_code_location_from_loading(tmp_path: Path) -> None:
    names = ("東京", "🚀", "قهوة", "\u200b", "x" * 300, "con", "results/{{ x }}", None)
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    ledger.record_strategies([strategy(id_, name) for name in names for id_ in (f"京都-{name}", f"🍣{name}")])
    ledger.close()
    defs = build_defs(Settings(data_dir=tmp_path, dbt_project=None))
    dg.Definitions.validate_loadable(defs)
    assert {"results/dong_jing", "results/rocket", "results/qhwh"} <= _keys(defs)
    assert len(_keys(defs) - ALWAYS) == 2 * len(names)


def test_where_there_are_many_strategies_only_declared_ones_have_an_asset_each(tmp_path: Path) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    ledger.record_strategies([strategy(f"s{number}", f"Shop {number}") for number in range(4)])
    ledger.close()
    settings = Settings(data_dir=tmp_path, dbt_project=None, max_results_assets=4)
    assert {f"results/shop_{number}" for number in range(4)} == _keys(build_defs(settings)) - ALWAYS
    defs = build_defs(replace(settings, max_results_assets=3), strategies=["Shop 2"])
    dg.Definitions.validate_loadable(defs)
    assert _keys(defs) - ALWAYS == {"results/shop_2", "meter/results"}
    (sensor,) = defs.sensors or ()
    assert sensor.name == "schedule_changes"


def test_a_slug_that_an_old_ledger_made_of_other_letters_stays_and_has_its_asset(tmp_path: Path) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.sqlite"))
    ledger.record_strategies([strategy("東京-1", "東京")])
    with ledger.writing() as connection:
        connection.execute(text("UPDATE strategies SET slug = 'strategy_東京1'"))
    assert ledger.record_strategies([strategy("東京-1", "東京")]) == []
    assert [row.slug for row in ledger.strategies()] == ["strategy_東京1"]
    ledger.close()
    defs = build_defs(Settings(data_dir=tmp_path, dbt_project=None))
    dg.Definitions.validate_loadable(defs)
    (key,) = (key for key in defs.resolve_all_asset_keys() if key.to_user_string() not in ALWAYS)
    assert key == make_results_key("strategy_東京1") == dg.AssetKey(["results", "strategy___u6771____u4eac__1"])
    assert find_slug(key) == "strategy_東京1"


def test_every_asset_is_described_and_owned(tmp_path: Path) -> None:
    for spec in build_defs(Settings(data_dir=tmp_path, dbt_project=None)).resolve_all_asset_specs():
        assert spec.description
        assert spec.owners
        assert spec.kinds
        assert spec.group_name != "default"


def test_loading_imports_neither_pandas_nor_duckdb_nor_pyarrow(tmp_path: Path) -> None:
    code = (
        "import sys, meter_pipeline.definitions;"
        "print([m for m in ('pandas', 'duckdb', 'pyarrow', 'requests') if m in sys.modules])"
    )
    environment = {
        "METER_DATA_DIR": str(tmp_path),
        "METER_DBT_PROJECT": "none",
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
    )
    assert done.stdout.strip() == "[]"
