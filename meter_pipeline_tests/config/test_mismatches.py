"""Names in `meter.yaml` that no strategy and no item has are reported, with their place and the way out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.mismatches import find_mismatches
from meter_pipeline.store.columns import Field, infer_fields, names_within


@dataclass(frozen=True)
class Known:
    strategy_id: str
    slug: str
    name: str | None
    fields: tuple[Field, ...]

    def field_names(self, within: tuple[str, ...] = ()) -> tuple[str, ...] | None:
        return names_within(self.fields, within)


ITEM = (
    '{"isbn": "1", "title": "A", "offer": {"price": 1, "stock": 2}, "odd.name": 1, "sizes": [{"width": 1}],'
    ' "extra": [1, {}, "x"]}'
)
BOOKS = Known("b1", "new_books", "New books", infer_fields([json.loads(ITEM)], ("", "", 0)))
LAMPS = Known("l1", "lamps", "Lamps", ())


def mismatches(tmp_path: Path, entries: str) -> list[str]:
    path = tmp_path / "meter.yaml"
    path.write_text(f"strategies:\n{entries}")
    return [line.removeprefix(f"{path}:") for line in find_mismatches(load_config(path), [BOOKS, LAMPS])]


@pytest.mark.parametrize(
    "entry",
    [
        "new_books: {key: [isbn, offer.price], ignore: [title]}",
        "New books: {types: {offer.stock: double}, audit: {ignore: [offer]}}",
        "b1: {key: ['\"odd.name\"'], types: {'\"odd.name\"': text}}",
        "new_books: {key: []}",
        "new_books: {ignore: [sizes.width, extra.any.thing]}",
        "lamps: {key: [sku]}",  # nothing of it is loaded yet
        "new_books:",
    ],
)
def test_names_that_exist_are_no_mismatch(tmp_path: Path, entry: str) -> None:
    assert mismatches(tmp_path, f"  {entry}\n") == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("key: [isbnn]", "key: no item of new_books has a field 'isbnn': did you mean isbn?"),
        ("ignore: [ofer.rank]", "ignore: no item of new_books has a field 'ofer.rank': did you mean offer?"),
        ("types: {TITLE: text}", "types: no item of new_books has a field 'TITLE': did you mean title?"),
        (
            "audit: {ignore: [x]}",
            "audit.ignore: no item of new_books has a field 'x': there are isbn, title, offer, odd.name, sizes, extra",
        ),
        ("key: [offer.prize]", "key: no item of new_books has a field 'offer.prize': did you mean offer.price?"),
        ("ignore: [sizes.x]", "ignore: no item of new_books has a field 'sizes.x': sizes has width"),
        (
            "key: [isbn, offer]",
            "key: 'offer' is an object in the items of new_books: name a field in it, such as offer.price",
        ),
        ("ignore: [title.x.y]", "ignore: no item of new_books has a field 'title.x.y': title has no fields"),
    ],
)
def test_a_field_that_no_item_has_is_named_with_the_one_that_was_meant(tmp_path: Path, options: str, line: str) -> None:
    assert mismatches(tmp_path, f"  lamps:\n  new_books: {{{options}}}\n") == [f"3: {line}"]


def test_a_strategy_that_does_not_exist_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    assert mismatches(tmp_path, "  new_boks: {key: [x]}\n  zoo:\n") == [
        "2: no strategy has the id, slug or name 'new_boks': did you mean 'new_books'?",
        "3: no strategy has the id, slug or name 'zoo': see `meter-pipeline strategies list`",
    ]


def test_two_entries_of_one_strategy_are_named_since_only_one_is_used(tmp_path: Path) -> None:
    entries = "  new_books: {key: [isbn]}\n  New books: {key: [title]}\n"
    assert mismatches(tmp_path, entries) == ["3: 'New books' and 'new_books' are one strategy: write one entry for it"]


def test_a_name_that_several_strategies_share_may_stand_beside_the_slug_of_one(tmp_path: Path) -> None:
    path = tmp_path / "meter.yaml"
    path.write_text("strategies:\n  Shop: {key: [isbn]}\n  shop_2: {key: [title]}\n")
    shops = [Known(slug, slug, "Shop", BOOKS.fields) for slug in ("shop", "shop_2")]
    assert find_mismatches(load_config(path), shops) == []
    assert len(find_mismatches(load_config(path), shops[1:])) == 1


def test_fields_of_wrapped_items_are_not_judged_before_a_sync_has_unwrapped_them(tmp_path: Path) -> None:
    assert mismatches(tmp_path, "  new_books: {items: offer.rows, key: [sku]}\n") == []
    assert len(mismatches(tmp_path, "  new_books: {items: rows, key: [sku]}\n")) == 1
