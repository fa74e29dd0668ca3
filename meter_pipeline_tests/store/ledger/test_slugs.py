"""Slugs of strategies: readable whatever script a name is in, unique, and safe as a folder, table and asset name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.store.ledger.slugs import make_slug
from meter_pipeline.text.asset_names import parse_slug, spell_slug

_SAFE = re.compile(r"[a-z0-9_]{1,80}")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("東京", "dong_jing"),
        ("東京Books", "dong_jing_books"),
        ("Café Crème", "cafe_creme"),
        ("Cafe\u0301", "cafe"),
        ("Straße", "strasse"),
        ("Цены на книги", "tseny_na_knigi"),
        ("कीमत", "kimt"),
        ("가격", "ga_gyeog"),
        ("🚀", "rocket"),
        ("👩‍👩‍👧", "woman_woman_girl"),
    ],
)
def test_letters_of_any_script_and_names_of_emoji_make_a_readable_slug(name: str, slug: str) -> None:
    assert make_slug(name, "aaaaaaaa-1", set()) == slug


@pytest.mark.parametrize(
    ("name", "strategy_id", "taken", "slug"),
    [
        ("New books", "aaaaaaaa-1", (), "new_books"),
        ("NewBooks!", "aaaaaaaa-1", ("new_books",), "new_books_aaaaaaaa"),
        ("New books", "aaaaaaaa-1", ("new_books", "new_books_aaaaaaaa"), "new_books_aaaaaaaa_3"),
        ("Joe’s Books – 5 €", "aaaaaaaa-1", (), "joe_s_books_5"),
        ("🚀 deals", "aaaaaaaa-1", (), "deals"),
        ("2026 prices", "aaaaaaaa-1", (), "n2026_prices"),
        ("!?", "aaaaaaaa-1", (), "field"),
        ("Strategy", "12345678-90ab", (), "strategy_n1234567"),
        (None, "aaaa-bbbb-cccc", (), "strategy_aaaabbbb"),
        ("", "aaaa-bbbb-cccc", ("strategy_aaaabbbb",), "strategy_aaaabbbb_3"),
    ],
)
def test_names_without_letters_of_other_scripts_get_the_slugs_that_they_always_got(
    name: str | None, strategy_id: str, taken: tuple[str, ...], slug: str
) -> None:
    assert make_slug(name, strategy_id, taken) == slug


@given(st.lists(st.tuples(st.none() | st.text(max_size=80), st.text(max_size=40)), max_size=12))
def test_any_names_and_ids_at_all_get_unique_slugs_that_are_safe_everywhere(
    strategies: list[tuple[str | None, str]],
) -> None:
    taken: set[str] = set()
    for name, strategy_id in strategies:
        slug = make_slug(name, strategy_id, taken)
        assert slug not in taken
        assert _SAFE.fullmatch(slug)
        assert spell_slug(slug) == slug == parse_slug(slug)
        taken.add(slug)


@given(st.text(alphabet=st.characters(categories=("L", "N")) | st.just("_"), max_size=40))
def test_a_slug_of_an_old_ledger_has_an_ascii_name_that_leads_back_to_it(slug: str) -> None:
    name = spell_slug(slug)
    assert re.fullmatch(r"[A-Za-z0-9_]*", name)
    assert parse_slug(name) == slug
