"""What the first jobs of a list leave open: a key waits for what tells it from a text, a picture, a place or chance."""

from __future__ import annotations

import random
from typing import Any

import pytest

from meter_pipeline.sync.items.keys import search_key
from meter_pipeline.sync.items.verdicts import REFUSED, WAITING
from meter_pipeline_tests.sync.items.test_keys import candidate, fields_of, pages_of

Item = dict[str, Any]


def moved(items: list[Item], jobs: int, *, share: float = 1.0, seed: int = 1) -> list[list[Item]]:
    """Jobs of the same items, whose count moves in a share of them each time."""
    draw = random.Random(seed)
    pages = [[{**item, "klicks": draw.randint(1, 10**6)} for item in items]]
    while len(pages) < jobs:
        pages.append(
            [{**item, "klicks": draw.randint(1, 10**6)} if draw.random() < share else dict(item) for item in pages[-1]]
        )
    return pages


@pytest.mark.parametrize(("jobs", "expected"), [(2, None), (4, None), (5, ("satz",))])
def test_a_text_of_a_short_list_is_a_key_after_the_fourth_comparison(jobs: int, expected: tuple[str] | None) -> None:
    texts = ["Ana bel dun", "Cor eva fox", "Gil hat ido", "Jan kel lum"]
    search = search_key(pages_of(moved([{"satz": text, "sorte": text[-2]} for text in texts], jobs)))
    assert fields_of(search) == expected
    if expected is None:
        assert candidate(search, "satz").verdict == WAITING


def test_a_text_of_a_long_list_need_not_wait() -> None:
    texts = [f"{a} {b}" for a in ("Ana", "Bel", "Cor", "Dun", "Eva") for b in ("Fox", "Gil", "Hat", "Ido", "Jan")]
    assert fields_of(search_key(pages_of(moved([{"satz": text, "sorte": text[-2]} for text in texts], 2)))) == ("satz",)


@pytest.mark.parametrize(
    ("name", "jobs", "expected"), [("zorp", 4, None), ("zorp", 5, ("zorp",)), ("sku", 2, ("sku",))]
)
def test_a_code_of_a_short_list_waits_as_a_text_does_unless_it_is_called_one(
    name: str, jobs: int, expected: tuple[str] | None
) -> None:
    codes = moved([{name: f"Z-{n * 37}", "sorte": n % 2} for n in range(4)], jobs)
    assert fields_of(search_key(pages_of(codes))) == expected


@pytest.mark.parametrize("picture", ["/b/{:x}.webp", "https://x.test/{:x}_s.JPG?w=80", "{:x}.png"])
def test_a_picture_is_exchanged_like_a_text_and_is_no_code(picture: str) -> None:
    items = [{"bild": picture.format(n * 7919 + 4096), "zorp": f"Z-{n * 37}", "sorte": n % 2} for n in range(4)]
    assert fields_of(search_key(pages_of(moved(items, 5)))) == ("zorp",)
    alone = [{"bild": item["bild"], "sorte": item["sorte"]} for item in items]
    assert candidate(search_key(pages_of(moved(alone, 2))), "bild").verdict == WAITING
    assert fields_of(search_key(pages_of(moved(alone, 5)))) == ("bild",)


@pytest.mark.parametrize(("jobs", "expected"), [(5, None), (8, ("farbe", "form"))])
def test_two_fields_of_a_few_items_need_the_pairs_of_a_number(jobs: int, expected: tuple[str, str] | None) -> None:
    kinds = [("rot", "rund"), ("rot", "eckig"), ("blau", "rund"), ("blau", "eckig")]
    items = [{"farbe": farbe, "form": form, "kg": n + 0.5} for n, (farbe, form) in enumerate(kinds)]
    assert fields_of(search_key(pages_of(moved(items, jobs, share=0.5)))) == expected


@pytest.mark.parametrize(("first", "expected"), [(10_423, ("zorp",)), (1, None), (241, None)])
def test_numbers_in_order_are_places_only_where_a_page_could_begin(first: int, expected: tuple[str] | None) -> None:
    items = [{"zorp": first + n, "sorte": "abc"[n % 3]} for n in range(12)]
    search = search_key(pages_of(moved(items, 12, share=0.2)))
    assert fields_of(search) == expected
    if expected is None:
        assert candidate(search, "zorp").verdict == REFUSED


@pytest.mark.parametrize("seed", [20, 59])
def test_two_numbers_that_change_at_once_by_chance_do_not_make_another_item(seed: int) -> None:
    # Both change at once in three of about a hundred items, as often as they would independently.
    draw = random.Random(seed)
    items: list[Item] = [
        {"titel": f"Ana {letter}el", "preis": draw.random(), "lager": draw.random()} for letter in "abcdefgh"
    ]
    pages = []
    for _ in range(13):
        pages.append([dict(item) for item in items])
        for item in items:
            item |= {
                name: draw.random() for name, share in {"preis": 0.15, "lager": 0.06}.items() if draw.random() < share
            }
    search = search_key(pages_of(pages))
    assert fields_of(search) == ("titel",), candidate(search, "titel").spell()
