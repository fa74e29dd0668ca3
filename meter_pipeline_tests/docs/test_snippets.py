"""Every snippet of the README and `docs/` runs as it stands, on a reader's folder, or says why it does not."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from io import StringIO
from pathlib import Path

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner
from dagster._core.instance.config import dagster_instance_config
from dagster_dg_cli.cli import cli as dg_program
from dotenv import dotenv_values

from meter_pipeline import MeterComponent
from meter_pipeline.api import MeterClient
from meter_pipeline.cli import run
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store import reading
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.docs.conftest import Reader
from meter_pipeline_tests.docs.snippets import PAGES, ROOT, Snippet, parse, read_snippets
from meter_pipeline_tests.examples import copy_example

SNIPPETS = read_snippets()
# What is shown and not run: drawings, paths.
SHOWN = {"text", "mermaid"}
RUN = {"sh", "sql", "python", "yaml", "ini", "json"}
# Blocks that cannot run here (a server that never ends, Spark, AWS). A new one is a decision: prefer one that runs.
MOST_NOT_RUN = 9
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")


def _run_meter_pipeline(arguments: list[str], scratch: Path) -> None:
    assert run(arguments) == 0


def _copy(arguments: list[str], scratch: Path) -> None:
    shutil.copy(*arguments)


def _find_target(arguments: list[str], scratch: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in arguments:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target


def _run_dg(arguments: list[str], scratch: Path) -> None:
    """In a copy of the example without its own `meter`, so that what is scaffolded can be seen."""
    project = copy_example("own_project", scratch)
    shutil.rmtree(project / "scraping" / "defs" / "meter")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
        patched.chdir(project)
        # In this process, which has imported Dagster.
        done = CliRunner().invoke(dg_program, arguments)
    assert done.exit_code == 0, done.output
    written = yaml.safe_load((project / "scraping" / "defs" / "meter" / "defs.yaml").read_text())
    assert written["attributes"] == {"data_dir": "data", "group": "scraping", "owners": ["team:web"]}


def _find_dbt(arguments: list[str], scratch: Path) -> None:
    """`dbt build` in the project's folder runs for itself with the tests of the models, which takes a while."""
    from dbt.cli.main import cli

    assert arguments[0] in cli.commands


def _find_hook(arguments: list[str], scratch: Path) -> None:
    assert arguments == ["install"]
    assert yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]


PROGRAMS = {
    "meter-pipeline": _run_meter_pipeline,
    "cp": _copy,
    "make": _find_target,
    "dg": _run_dg,
    "dbt": _find_dbt,
    "pre-commit": _find_hook,
}


def _of(language: str) -> list[Snippet]:
    return [snippet for snippet in SNIPPETS if snippet.language == language and snippet.reason is None]


def _commands() -> dict[tuple[str, ...], str]:
    """Distinct commands of the shell blocks with their first place, in order; one on several pages runs once."""
    commands: dict[tuple[str, ...], str] = {}
    for snippet in _of("sh"):
        for line in snippet.text.splitlines():
            folder = Path()
            for command in " ".join(map(shlex.quote, shlex.split(line, comments=True))).split(" '&&' "):
                words = shlex.split(command)
                if words[:1] == ["cd"]:
                    folder = folder / words[1]
                elif words:
                    program = next(index for index, word in enumerate(words) if not _ASSIGNMENT.fullmatch(word))
                    words[program] = _find_program(folder, words[program], snippet)
                    commands.setdefault(tuple(words), str(snippet))
    return commands


def _find_program(folder: Path, word: str, snippet: Snippet) -> str:
    """The name of a program; where it is written as a path, that leads to what `make` installs in the checkout."""
    assert (ROOT / folder).is_dir(), snippet
    name = Path(word).name
    assert word == name or Path(os.path.normpath(ROOT / folder / word)).parent == ROOT / ".venv" / "bin", snippet
    assert name in PROGRAMS, f"{snippet}: nothing runs {name}"
    return name


COMMANDS = _commands()
# Each builds all the models again, as the first publication does.
_BUILDS = [("meter-pipeline", "publish", *options) for options in ((), ("--force",), ("--tables", "iceberg"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_fence_of_a_page_goes_unnoticed(page: Path) -> None:
    text = page.read_text("utf-8")
    found = list(parse(page.name, text))
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(found)
    # A reason that stands elsewhere than right above its block would be ignored.
    assert len(re.findall("^ *<!-- not run:", text, re.MULTILINE)) == sum(
        snippet.reason is not None for snippet in found
    )


def test_every_snippet_has_a_language_that_is_run_or_a_reason() -> None:
    unknown = [str(snippet) for snippet in SNIPPETS if snippet.language not in RUN | SHOWN and not snippet.reason]
    assert unknown == []


def test_few_snippets_are_not_run() -> None:
    unrun = [f"{snippet}: {snippet.reason}" for snippet in SNIPPETS if snippet.reason]
    assert len(unrun) <= MOST_NOT_RUN, "\n".join(unrun)


@pytest.mark.parametrize("snippet", _of("sql"), ids=str)
def test_sql_runs_on_the_published_warehouse(snippet: Snippet, reader: Reader) -> None:
    with reading(reader.warehouse) as connection:
        for statement in filter(str.strip, snippet.text.split(";")):
            assert connection.execute(statement).description


@pytest.mark.parametrize("snippet", _of("python"), ids=str)
def test_python_runs(snippet: Snippet, reader: Reader) -> None:
    code = snippet.text.replace(
        'MeterClient("sk_live_..."', f"MeterClient({reader.sandbox.api_key!r}, base_url={reader.sandbox.url!r}"
    )
    names: dict[str, object] = {}
    exec(compile(code, str(snippet), "exec", dont_inherit=True), names)
    for value in names.values():
        if isinstance(value, dg.Definitions):
            assert list(value.resolve_asset_graph().get_all_asset_keys())


@pytest.mark.parametrize("snippet", _of("yaml"), ids=str)
def test_yaml_is_what_its_reader_expects(snippet: Snippet, reader: Reader, tmp_path: Path) -> None:
    document = yaml.safe_load(snippet.text)
    if "type" in document:
        assert document["type"] == "meter_pipeline.MeterComponent"
        component = MeterComponent.resolve_from_yaml(yaml.safe_dump(document["attributes"]))
        assert list(component.strategies) == document["attributes"].get("strategies", [])
    elif "storage" in document:
        (tmp_path / "dagster.yaml").write_text(snippet.text)
        settings, _ = dagster_instance_config(str(tmp_path))
        assert settings["storage"] == document["storage"]
    else:
        path = tmp_path / "meter.yaml"
        path.write_text(snippet.text, encoding="utf-8")
        config = load_config(path)
        for part in ("strategies", "deliver"):
            assert set(getattr(config, part)) == set(document.get(part, ()))


@pytest.mark.parametrize("snippet", _of("ini"), ids=str)
def test_variables_are_settings_and_their_values_are_accepted(snippet: Snippet) -> None:
    values = {name: value or "" for name, value in dotenv_values(stream=StringIO(snippet.text)).items()}
    assert values
    assert Settings.from_env(values, dotenv=None) != Settings.from_env({}, dotenv=None)


@pytest.mark.parametrize("snippet", _of("json"), ids=str)
def test_recorded_jobs_are_served(snippet: Snippet, tmp_path: Path) -> None:
    header, *items = snippet.text.splitlines()
    (tmp_path / "job.jsonl").write_text(snippet.text)
    with Sandbox(replay=tmp_path) as sandbox, MeterClient(sandbox.api_key, base_url=sandbox.url) as client:
        (strategy,) = client.strategies()
        (page,) = client.job_pages()
    assert strategy.name == json.loads(header)["strategy"]
    assert [job.item_count for job in page] == [len(items)]


@pytest.mark.parametrize("command", [slow(words) if words in _BUILDS else words for words in COMMANDS], ids=" ".join)
def test_shell_lines_run(
    command: tuple[str, ...], reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [reader.names.get(word, word) for word in command]
    while _ASSIGNMENT.fullmatch(words[0]):
        name, value = words.pop(0).split("=", 1)
        monkeypatch.setenv(name, os.path.expandvars(value))
    PROGRAMS[words[0]](words[1:], tmp_path)
