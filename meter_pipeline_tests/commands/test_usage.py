"""Every command has complete help without Python's types, a reference that is current, and completion in a shell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from meter_pipeline.cli import Root, app, run
from meter_pipeline.cli_reference import build_reference
from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.commandline import Command


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group with its path, the root too."""
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


ALL = dict(commands(typer.main.get_command(app)))


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "root")
def test_help_is_whole_and_without_types(
    path: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    texts = []
    for option in ("--help", "-h"):
        assert run([*path, option]) == 0
        texts.append(capsys.readouterr().out)
    text = texts[0]
    assert texts[1] == text
    assert max(map(len, text.splitlines())) <= columns
    usage, _, rest = text.partition("\n")
    assert usage.startswith(f"Usage: {' '.join(('meter-pipeline', *path))} [OPTIONS]")
    # Types as Typer, Click and Python write them.
    assert not re.search(r"<|\{|list\[|\b(str|int|float|TEXT|INTEGER|FLOAT|PATH|RANGE)\b|<=", usage + rest)
    assert "…" not in text
    assert "..." not in rest
    command = ALL[path]
    assert squeezed(command.help) in squeezed(rest)
    for parameter in command.params:
        assert squeezed(parameter.help) in squeezed(rest)
    for name, inner in getattr(command, "commands", {}).items():
        assert f"{name} {squeezed(inner.help.split(chr(10) * 2)[0])}" in squeezed(rest)


def test_every_command_stands_in_the_contents_once_and_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for under in Root.contents.values() for name in under]
    assert sorted(names) == sorted(path[0] for path in ALL if len(path) == 1)
    run(["--help"])
    text = capsys.readouterr().out
    assert re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE) == names
    assert re.findall(r"^([A-Z][A-Za-z ]+):$", text, re.MULTILINE) == ["Options", *Root.contents]


@pytest.mark.parametrize(
    ("path", "option"),
    [
        (path, parameter.opts[0])
        for path, command in ALL.items()
        for parameter in command.params
        if path and parameter.param_type_name == "option" and not parameter.is_flag and not parameter.multiple
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_option_that_takes_one_value_refuses_a_second(
    path: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, option, "1", option, "2"]) == 2
    assert "is given 2 times, and takes one value: give it once" in capsys.readouterr().err


def completed(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What bash offers after these words."""
    monkeypatch.setenv("_METER_PIPELINE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run([])
    shown = capsys.readouterr()
    monkeypatch.delenv("_METER_PIPELINE_COMPLETE")
    assert shown.err == ""
    return shown.out.split()


def test_a_shell_completes_commands_slugs_and_states_without_asking_the_api(
    shop: Sandbox, meter: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = shop.insert_job("Books", items=[{"title": "Salt Road"}], item_count=7)
    shop.add_strategy("Lamps", "https://lamps.example/", strategy_id="s-lamps")
    meter("sync")
    before = len(shop.log)

    def complete_words(words: str) -> list[str]:
        return completed(words, monkeypatch, capsys)

    assert complete_words("meter-pipeline st") == ["status", "strategies"]
    assert complete_words("meter-pipeline sync --strategy ") == ["books", "lamps"]
    assert complete_words("meter-pipeline keys l") == ["lamps"]
    assert complete_words("meter-pipeline strategies show s-") == ["s-lamps"]
    assert complete_words("meter-pipeline jobs list --state ac") == ["accepted"]
    assert complete_words("meter-pipeline schedules delete ") == [*shop.world.schedules]
    assert complete_words("meter-pipeline release ") == [held]
    assert len(shop.log) == before


@pytest.mark.parametrize("harm", ["absent", "junk", "bad setting"])
def test_completion_offers_nothing_and_says_nothing_where_there_is_no_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], harm: str
) -> None:
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path))
    if harm == "junk":
        (tmp_path / "ledger.sqlite").write_bytes(b"junk" * 5000)
    if harm == "bad setting":
        monkeypatch.setenv("METER_PROCESSES", "many")
    assert completed("meter-pipeline keys ", monkeypatch, capsys) == []
    assert (tmp_path / "ledger.sqlite").exists() is (harm == "junk")


@pytest.mark.parametrize("columns", ["40", "200"])
def test_the_reference_in_the_docs_is_the_help_of_every_command(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    reference = build_reference()
    written = Path(__file__).parents[2] / "docs" / "cli.md"
    assert written.read_text(encoding="utf-8") == reference, (
        "docs/cli.md is not current: run `python -m meter_pipeline.cli_reference docs/cli.md`"
    )
    for path in ALL:
        assert reference.count(f"# `{' '.join(('meter-pipeline', *path))}`\n") == 1
    assert max(map(len, reference.splitlines())) <= 120
