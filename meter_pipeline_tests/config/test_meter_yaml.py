"""`meter.yaml` is valid as a whole, or refused with one line that names the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from meter_pipeline.config.audit_rules import AuditConfig
from meter_pipeline.config.meter_yaml import Config, ConfigError, StrategyConfig, load_config


def test_the_file_of_the_working_folder_may_be_absent_and_may_be_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None) == Config()
    (tmp_path / "meter.yaml").write_text("# nothing yet\n")
    assert load_config(None) == Config()
    (tmp_path / "meter.yaml").write_text("acknowledge: false\n")
    assert load_config(None) == Config(acknowledge=False)


def test_a_file_that_was_named_may_be_absent_which_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = load_config(tmp_path / "meter.yaml")
    assert (config, config.missing) == (Config(), tmp_path / "meter.yaml")
    assert f"{tmp_path / 'meter.yaml'} does not exist" in caplog.text
    with pytest.raises(ConfigError, match=r":1: the file cannot be read: Is a directory"):
        load_config(tmp_path)


def test_every_option_is_read(tmp_path: Path) -> None:
    path = tmp_path / "meter.yaml"
    path.write_text(
        "acknowledge: false\n"
        "filter: +red\n"
        "strategies:\n"
        "  books:\n"
        "    key: [isbn, specs.edition]\n"
        "    ignore: scraped_at\n"
        "    items: page.products\n"
        "    array_order: ignore\n"
        "    whitespace: ignore\n"
        "    numbers: ignore\n"
        "    types: {price: text}\n"
        "    owners: [team:pricing, ann@example.org]\n"
        "    audit: {hold: known, flag: [step, '*'], ignore: [seller.name], off: [other field]}\n"
        "  Lamp shop:\n"
    )
    config = load_config(path)
    assert (config.acknowledge, config.filter) == (False, "+red")
    books = config.strategy("books", "s1", "Books")
    assert books is not None
    assert (books.key, books.ignore, books.line) == (("isbn", "specs.edition"), ("scraped_at",), 5)
    assert (books.array_order, books.whitespace, books.numbers) == (False, False, False)
    assert (dict(books.types), books.owners) == ({"price": "text"}, ("team:pricing", "ann@example.org"))
    assert books.items == "page.products"
    assert books.audit == AuditConfig(
        hold=frozenset({"known"}),
        flag=frozenset({"step", "*"}),
        ignore=frozenset({"seller.name"}),
        off=frozenset({"other field"}),
    )
    assert config.strategy("lamp_shop", "s2", "Lamp shop") == StrategyConfig()
    assert config.strategy("other", "s3", None) is None


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("strategies:\n  books:\n    kee: [isbn]\n", 3, "'kee' is not known here: did you mean key?"),
        ("strategies:\n  a: {}\n  b: {}\n  a: {}\n", 4, "'a' is here twice: remove one"),
        ("colour: red\n", 1, "'colour' is not known here: give one of acknowledge, filter, strategies"),
        ("\nacknowledge: maybe\n", 2, "acknowledge must be true or false"),
        ("strategies:\n  a:\n    key:\n      - isbn\n      - a..b\n", 5, "'a..b' is not a valid field path"),
        ("strategies:\n  a:\n    key: [[isbn]]\n", 3, "key must be a list of names"),
        ("strategies:\n  a:\n    ignore: [x, x]\n", 3, "'x' is in ignore twice"),
        ("strategies:\n  a:\n    array_order: any\n", 3, "array_order must be keep or ignore, not 'any'"),
        ("strategies:\n  a:\n    items: [rows, more]\n", 3, "items must be the path of one field"),
        ("strategies:\n  a:\n    items: a..b\n", 3, "'a..b' is not a valid field path"),
        ("strategies:\n  a:\n    types: {price: money}\n", 3, "the type of price must be integer or double"),
        (
            "strategies:\n  a:\n    owners: [bob]\n",
            3,
            "'bob' is not a valid owner: give team:name",
        ),
        ("strategies:\n  a:\n    audit: {flg: x}\n", 3, "'flg' is not known here: did you mean flag?"),
        ("strategies:\n  a:\n    audit:\n      off: [steps]\n", 4, "'steps' is not a test of the audit: did you mean"),
        ("strategies:\n  a:\n    audit: {hold: ['*']}\n", 3, "'*' is not a test of the audit"),
        ("strategies:\n  a:\n    audit: {hold: step, off: step}\n", 3, "'step' is in audit twice: remove one"),
        ("strategies:\n  a:\n    audit: {ignore: a..b}\n", 3, "'a..b' is not a valid field path"),
        ("strategies:\n  a:\n    audit: strict\n", 3, "audit must be a mapping"),
        ("strategies: [books]\n", 1, "strategies must be a mapping of names to values"),
        ("- 1\n", 1, "the file must be a mapping of names to values"),
        ("strategies:\n  a: [\n", 3, "not valid YAML"),
        ("strategies:\n\ta: {}\n", 2, "not valid YAML: a tab: indent with spaces"),
        ("filter: \x00\n", 1, "not valid YAML"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, text: str, line: int, reason: str) -> None:
    path = tmp_path / "meter.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert str(raised.value).startswith(f"{path}:{line}: {reason}")
    assert "\n" not in str(raised.value)
