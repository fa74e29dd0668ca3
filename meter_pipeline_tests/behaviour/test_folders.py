"""Folders with awkward names: everything works in them, or they are refused at once with the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meter_pipeline.cli import run
from meter_pipeline.commands.dev import dagster_home
from meter_pipeline.config.settings import PROJECT, Settings
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.defs import build_defs
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.files import open_files
from meter_pipeline.store.ledger.database import connect
from meter_pipeline.store.warehouse import scans
from meter_pipeline_tests.behaviour.thorough import every, slow

_NAMES = ["[ab] star*", 'it\'s "5%20" #1 %s', "strategy=x", "{{ 東京 }} $HOME;`a`", "[", "~a, (b) &c!\nd"]
# What is awkward in the names above, in as few as can be; building all the models takes a while.
_ALL_IN_FEW = ["strategy=x [ab] *", 'it\'s "5%20" #1 %s {{ 東京 }} $HOME;`a`\n~']
_ALL_IN_ONE = " ".join(_ALL_IN_FEW)
_MODELS = ["one of its own", slow("all of the pipeline")]
_MODEL = "{{ config(materialized='table') }} select * from meter.jobs"
_URL = ("METER_LEDGER_URL", "METER_LAKE_URL", "METER_API_PREFIX", "DAGSTER_HOME", "METER_DBT_PROJECT")


@pytest.fixture
def shop(make_sandbox: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Two accepted jobs, and a job that is held because its count is wrong."""
    sandbox = make_sandbox(worlds=(), api_key="key")
    sandbox.add_strategy("Books", "https://books.example/new")
    for price, claim in ((12, 1), (11, 1), (10, 7)):
        sandbox.advance(hours=1)
        items = [{"title": "Tide Tables", "price": price, "isbn": 1730000000000000123}]
        sandbox.insert_job("Books", items=items, item_count=claim)
    monkeypatch.chdir(tmp_path)
    for name in _URL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("METER_API_KEY", "key")
    monkeypatch.setenv("METER_BASE_URL", sandbox.url)
    return sandbox


@pytest.fixture
def meter(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command that has to end well; returns what it prints, parsed where that is JSON."""

    def call(*arguments: str, ends: int = 0) -> Any:
        capsys.readouterr()
        code = run(arguments)
        shown = capsys.readouterr()
        assert code == ends, (arguments, shown)
        return json.loads(shown.out) if "--json" in arguments else shown.out

    return call


@pytest.mark.parametrize("name", [_ALL_IN_ONE, *map(slow, _ALL_IN_FEW)])
@pytest.mark.parametrize("models", _MODELS)
def test_every_command_and_dagster_work_in_a_folder_of_any_name(
    shop: Sandbox, meter: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, models: str
) -> None:
    folder = tmp_path / name / name / "data"
    monkeypatch.setenv("METER_DATA_DIR", str(folder))
    table = "marts.fct_scrape_jobs"
    if models == "one of its own":
        monkeypatch.setenv("METER_DBT_PROJECT", str(_write_project(tmp_path / name / "models")))
        table = "main.all_jobs"
    meter("check")
    meter("sync", ends=1)
    (held,) = (job["job_id"] for job in meter("status", "--json")["problems"])
    meter("publish")
    assert meter("query", "--json", "select price from results.books order by all") == [{"price": 11}, {"price": 12}]
    meter("release", held)
    # Once more, over what is there: tables are carried from the last publication.
    meter("publish")
    rows = meter("query", "--json", "from results.books order by price")
    assert [row["price"] for row in rows] == [10, 11, 12]
    assert list(rows[0])[-3:] == ["title", "price", "isbn"]
    items = "select strategy, count(*) as n from meter.items group by all"
    assert meter("query", "--json", items) == [{"strategy": "books", "n": 3}]
    assert meter("query", "--json", f"select count(*) as n from {table}") == [{"n": 3}]
    assert [publication["state"] for publication in meter("publications", "--json")] == ["kept", "current"]
    if models == "all of the pipeline":
        meter("report", "--since", "2000-01-01", "--out", str(folder / "report.html"))
        assert "Tide Tables" in (folder / "report.html").read_text()
    meter("publish", "--rollback")
    assert {path.name for path in tmp_path.iterdir()} == {name}
    _see_dagster_work(shop, folder)


def _write_project(folder: Path) -> Path:
    """A dbt project with one model, which is built in a moment."""
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: own\nversion: '1.0'\nprofile: meter_pipeline\n")
    shutil.copy(PROJECT / "profiles.yml", folder)
    (folder / "models" / "all_jobs.sql").write_text(_MODEL)
    return folder


def _see_dagster_work(shop: Sandbox, folder: Path) -> None:
    """Runs the sync job with the folder's own Dagster instance, and an asset downstream."""
    shop.advance(hours=1)
    shop.insert_job("Books", items=[{"title": "Tide Tables", "price": 9, "isbn": 1730000000000000123}])
    seen: list[pd.DataFrame] = []

    @dg.asset(ins={"books": dg.AssetIn(["results", "books"], input_manager_key="meter_lake")})
    def prices(books: pd.DataFrame) -> None:
        seen.append(books)

    job = dg.define_asset_job("down", selection=[prices], executor_def=dg.in_process_executor)
    defs = dg.Definitions.merge(build_defs(Settings.from_env()), dg.Definitions(assets=[prices], jobs=[job]))
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.from_config(str(dagster_home(folder))) as instance:
        for name in ("sync", "down"):
            assert defs.resolve_job_def(name).execute_in_process(instance=instance, run_config=quiet).success
        assert instance.get_latest_materialization_event(dg.AssetKey("warehouse"))
    assert sorted(seen[0]["price"]) == [9, 10, 11, 12]
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("select min(price) from results.books").fetchall() == [(9,)]


@pytest.mark.parametrize("name", every(2, _NAMES))
def test_separate_folders_of_lake_and_ledger_may_have_any_name(
    shop: Sandbox, meter: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("METER_LEDGER_URL", str(tmp_path / name / "ledger"))
    monkeypatch.setenv("METER_LAKE_URL", f"file://{quote(str(tmp_path / name / 'lake'))}")
    meter("sync", ends=1)
    meter("publish", "--raw")
    assert meter("query", "--json", "select count(*) as n from results.books") == [{"n": 2}]
    assert meter("query", "--json", "select strategy from meter.items limit 1") == [{"strategy": "books"}]
    assert sorted(path.name for path in (tmp_path / name).iterdir())[:2] == ["lake", "ledger"]


def test_listed_files_are_those_of_their_folder_and_not_of_folders_with_similar_names(tmp_path: Path) -> None:
    names = ["star*", "starry", "[ab]", "a", "b", "one?", "ones", "it's"]
    for name in names:
        folder = tmp_path / name / "raw" / "strategy=s"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"name": [name]}), folder / "part-00000.parquet")
    for name in names:
        files = ["raw/strategy=s/part-00000.parquet"]
        for scan in (scans.of_table(str(tmp_path / name), files), scans.of_strategy(str(tmp_path / name), files)):
            assert duckdb.sql(f"select name from {scan}").fetchall() == [(name,)]


@pytest.mark.parametrize("name", [*_NAMES, "a|b"])
def test_very_many_listed_files_are_each_read_once(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "raw" / "strategy=s"
    folder.mkdir(parents=True)
    files = [f"raw/strategy=s/part-{number:05}.parquet" for number in range(150)]
    for number, file in enumerate(files):
        pq.write_table(pa.table({"number": [number]}), tmp_path / name / file)
    for scan in (scans.of_table(str(tmp_path / name), files), scans.of_strategy(str(tmp_path / name), files)):
        assert duckdb.sql(f"select number from {scan} order by 1").fetchall() == [(number,) for number in range(150)]


@pytest.mark.parametrize("name", ["what?", "back\\slash", "not\udcff utf-8"])
@pytest.mark.parametrize("command", ["check", "sync", "status", "publish", "publications", "report", "demo"])
def test_an_unusable_folder_is_refused_at_once_by_every_command(
    shop: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    name: str, command: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path / name / "data"))
    assert run([command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be used: its path " in line
    assert "name another folder" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["/x/back\\slash", "file:///x/what%3F", "file:///x/a#b", "file:///x/a?b", "file://data/lake", "file://[ab"]
)
def test_a_lake_url_that_means_another_place_is_refused(url: str) -> None:
    with pytest.raises(LakeError, match="METER_LAKE_URL"):
        open_files(url)


def test_a_home_folder_is_found_in_every_setting_and_an_unknown_user_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    # What a setting names has to be there.
    (tmp_path / "meter.yaml").touch()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "dbt_project.yml").touch()
    names = ("METER_DATA_DIR", "METER_LAKE_URL", "METER_LEDGER_URL", "METER_CONFIG", "METER_DBT_PROJECT")
    places = ("data", "lake", "ledger", "meter.yaml", "models")
    settings = Settings.from_env({name: f"~/{place}" for name, place in zip(names, places, strict=True)}, dotenv=None)
    found = (settings.data_dir, settings.lake, settings.ledger, settings.config, settings.dbt_project)
    assert tuple(map(str, found)) == tuple(str(tmp_path / place) for place in places)
    for name in names:
        with pytest.raises(SettingsError, match=f"^{name}="):
            Settings.from_env({name: "~nobody-of-that-name/x"}, dotenv=None)


def test_a_ledger_is_a_file_of_exactly_the_given_name(tmp_path: Path) -> None:
    connect(str(tmp_path / "a?b#c%20d")).dispose()
    assert (tmp_path / "a?b#c%20d").is_file()
