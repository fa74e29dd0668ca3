"""A wheel without any extra: the engine, the command line and the sandbox work; the rest says what to install."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from meter_pipeline_tests.builds.building import ROOT
from meter_pipeline_tests.builds.conftest import Desk

pytestmark = pytest.mark.wheel

_ABSENT = ("dagster", "dagster_dbt", "dbt", "matplotlib", "pandas", "polars", "psycopg", "sqlglot")


def _python(desk: Desk, program: str) -> str:
    done = subprocess.run(
        [desk.programs / "python", "-c", program],
        cwd=desk.folder, env=desk.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _refusal(desk: Desk, *arguments: str, **variables: str) -> str:
    """The one line of a command that cannot be run."""
    done = subprocess.run(
        [desk.command, *arguments],
        cwd=desk.folder, env={**desk.environment, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_no_package_of_an_extra_is_installed(bare_desk: Desk) -> None:
    found = _python(bare_desk, f"from importlib.util import find_spec; print(*filter(find_spec, {_ABSENT}))")
    assert found == ""


def test_every_module_of_the_engine_and_the_command_line_can_be_imported(bare_desk: Desk) -> None:
    program = (
        "import importlib, pkgutil, meter_pipeline;"
        "others = ('meter_pipeline.defs', 'meter_pipeline.definitions', 'meter_pipeline.component',"
        # Alembic runs these, within a migration.
        " 'meter_pipeline.store.ledger.migrations.', 'meter_pipeline.__main__',"
        # These need an extra, and are imported when they are used.
        " 'meter_pipeline.store.warehouse.open_tables.', 'meter_pipeline.store.warehouse.delivery.postgres',"
        " 'meter_pipeline.store.warehouse.delivery.clickhouse', 'meter_pipeline.store.warehouse.delivery.bigquery',"
        " 'meter_pipeline.store.warehouse.delivery.snowflake', 'meter_pipeline.store.warehouse.delivery.databricks');"
        "walk = pkgutil.walk_packages(meter_pipeline.__path__, 'meter_pipeline.', onerror=lambda name: None);"
        "names = [module.name for module in walk if not module.name.startswith(others)];"
        "print(*(importlib.import_module(name).__name__ for name in names))"
    )
    imported = {name.split(".")[1] for name in _python(bare_desk, program).split()}
    assert imported >= {"api", "cli", "commands", "config", "host", "report", "sandbox", "store", "sync", "webhooks"}


@pytest.fixture(scope="module")
def served(bare_desk: Desk) -> Iterator[dict[str, str]]:
    """The installed `meter-pipeline sandbox` while it runs: the variables that its first lines show."""
    sandbox = subprocess.Popen(
        [bare_desk.command, "sandbox", "--port", "0", "--speed", "0", "--days", "1", "--world", "newsroom"],
        cwd=bare_desk.folder, env=bare_desk.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert sandbox.stdout is not None
        shown = next(line for line in sandbox.stdout if "export " in line)
        yield dict(word.split("=", 1) for word in shown.split() if word.startswith("METER_"))
    finally:
        sandbox.terminate()
        sandbox.wait(60)


def test_what_its_sandbox_serves_is_checked_synced_published_and_queried(
    bare_desk: Desk, served: dict[str, str]
) -> None:
    assert "FAILED" not in bare_desk.run("check", **served)
    loaded = sum(
        report["loaded"] for report in json.loads(bare_desk.run("sync", "--json", **served))["strategies"].values()
    )
    bare_desk.run("publish", "--raw")
    sql = "select count(*) as n, max(completed_at) as last from meter.jobs where state = 'accepted'"
    (counted,) = json.loads(bare_desk.run("query", sql, "--json"))
    assert counted["n"] == loaded > 0
    assert counted["last"].startswith("20")
    assert bare_desk.run("publish", METER_DBT_PROJECT="none").startswith("nothing new since the last publication")
    assert "accepted" in bare_desk.run("status")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [(("dev",), "dagster"), (("demo",), "dagster"), (("publish",), "dbt"), (("report",), "charts")],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_command_that_needs_an_extra_says_in_one_line_what_to_install(
    bare_desk: Desk, arguments: tuple[str, ...], extra: str
) -> None:
    line = _refusal(bare_desk, *arguments)
    assert line.startswith("meter-pipeline: ")
    assert f"pip install 'meter-pipeline[{extra}]'" in line


def test_publishing_models_without_dbt_names_the_way_to_publish_without_them(bare_desk: Desk) -> None:
    assert "--raw" in _refusal(bare_desk, "publish")


def test_a_refused_command_leaves_nothing_behind(bare_desk: Desk) -> None:
    _refusal(bare_desk, "demo", METER_DATA_DIR="untouched")
    _refusal(bare_desk, "dev", METER_DATA_DIR="untouched")
    assert not (bare_desk.folder / "untouched").exists()


def test_an_import_of_dagsters_side_is_an_import_error_that_says_what_to_install(bare_desk: Desk) -> None:
    program = (
        "try:\n    from meter_pipeline import build_meter_defs\nexcept ImportError as error:\n    print(error)\n"
        "from meter_pipeline import MeterPipelineError"
    )
    assert "pip install 'meter-pipeline[dagster]'" in _python(bare_desk, program)


def test_the_version_of_a_build_is_the_packages_own(bare_desk: Desk) -> None:
    program = (
        "import meter_pipeline, importlib.metadata as m; print(meter_pipeline.__version__, m.version('meter-pipeline'))"
    )
    of_package, of_build = _python(bare_desk, program).split()
    assert of_package == of_build


def test_the_extra_all_has_every_extra_that_users_can_choose() -> None:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def reach(name: str) -> set[str]:
        own = [text for text in extras[name] if text.startswith("meter-pipeline[")]
        named = {inner for text in own for inner in re.findall(r"[\w-]+", text.partition("[")[2])}
        return {name}.union(*map(reach, named))

    # Celery has its place on the machines of a deployment alone, and some clients are many packages.
    assert {*extras} - reach("all") == {
        "bench",
        "bigquery",
        "celery",
        "databricks",
        "dev",
        "docs",
        "engines",
        "snowflake",
    }
