"""A rule is declared in one record: `meter.yaml`, the ledger and the identity of items all know it from there."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType

from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.config.meter_yaml import StrategyConfig, load_config
from meter_pipeline.sync.items.rules import CONFIGURED, ChosenRules, load

_RULES = (
    "key: [id]\nignore: [at]\narray_order: keep\nwhitespace: ignore\nnumbers: ignore\ntypes: {price: text}\n"
    "compare: run\nitems: rows\n"
)


def _configured(folder: Path, text: str = _RULES) -> StrategyConfig:
    path = folder / "meter.yaml"
    path.write_text("strategies:\n  shop:\n" + "".join(f"    {line}\n" for line in text.splitlines()))
    return load_config(path).strategies["shop"]


def test_every_rule_of_the_file_reaches_the_ledger_and_comes_back(tmp_path: Path) -> None:
    config = _configured(tmp_path)
    kept = load(ChosenRules().wanted(config, "2026-03-02T06:00:00.000000Z").dump())
    plain = ItemRules()
    for rule in fields(ItemRules):
        assert getattr(config, rule.name) != getattr(plain, rule.name), rule.name
        assert getattr(kept, rule.name) == getattr(config, rule.name), rule.name
    assert (kept.source, kept.chosen_at) == (CONFIGURED, "2026-03-02T06:00:00.000000Z")
    assert kept.rows_alike(config)


def test_a_key_that_the_file_leaves_open_stays_as_it_was(tmp_path: Path) -> None:
    found = ChosenRules(key=("sku",), source="suggested", chosen_at="2026-03-01T00:00:00.000000Z")
    wanted = found.wanted(_configured(tmp_path, "ignore: [at]\n"), "2026-03-02T06:00:00.000000Z")
    assert (wanted.key, wanted.source, wanted.chosen_at) == (("sku",), "suggested", found.chosen_at)
    assert wanted.ignore == ("at",)
    assert found.wanted(None, "2026-03-02T06:00:00.000000Z") is found


def test_rules_that_cannot_be_changed_by_their_reader_can_be_kept() -> None:
    assert load(ChosenRules(types=MappingProxyType({"price": "text"})).dump()).types == {"price": "text"}


def test_only_rules_that_matter_to_keys_and_hashes_make_another_identity() -> None:
    plain = ChosenRules()
    assert plain.identity != ChosenRules(by_page=True).identity
    assert plain.identity == ChosenRules(types={"price": "text"}, source=CONFIGURED, search={}).identity
    assert plain.identity != ChosenRules(numbers=False).identity
    assert not plain.rows_alike(ChosenRules(types={"price": "text"}))


def test_rows_that_older_code_made_are_not_alike_and_their_arrays_lose_the_default_of_that_time() -> None:
    form = json.loads(ChosenRules(key=("sku",), array_order=True).dump())
    del form["version"]
    old = load(json.dumps(form))
    assert (old.version, old.array_order, old.key) == (1, None, ("sku",))
    current = old.wanted(None, "2026-03-02T06:00:00.000000Z")
    assert not old.rows_alike(current)
    assert current == ChosenRules(key=("sku",))
    assert load(current.dump()).rows_alike(current)
