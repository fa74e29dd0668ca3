"""Changes inside arrays go to the element they are about; an element that only moved has not changed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.sync.items.elements import (
    FIELD,
    POSITION,
    SET,
    Element,
    ElementKey,
    changed_steps,
    choose_element_key,
    member_changes,
    pair_elements,
    spell_steps,
)
from meter_pipeline.sync.items.identity import PLAIN, canonical

Changes = list[tuple[str, Any, Any]]


def changes(old: Any, new: Any) -> Changes:
    """What differs, with paths as text."""
    return [(spell_steps(steps), before, after) for steps, before, after in changed_steps(old, new, PLAIN.same)]


def key_of(old: list[Any], new: list[Any]) -> ElementKey:
    """The key of two versions of an array."""
    return choose_element_key([(old, new)])


def variants(*prices: str) -> list[dict[str, Any]]:
    """Variants of a product."""
    return [{"id": number, "title": f"Size {number}", "price": price} for number, price in enumerate(prices, 1)]


def test_a_move_of_one_variant_is_told_by_its_key() -> None:
    old, new = {"variants": variants("19.99", "19.99", "20")}, {"variants": variants("19.99", "14.99", "20")}
    assert changes(old, new) == [("variants[id=2].price", "19.99", "14.99")]
    assert changes(old, {"variants": new["variants"][::-1]}) == [("variants[id=2].price", "19.99", "14.99")]
    assert changes(old, {"variants": old["variants"][::-1]}) == []


def test_elements_come_and_go_whole() -> None:
    old, new = variants("1", "2", "3"), variants("1", "2", "3", "4")
    assert changes(old, new) == [("[id=4]", None, new[3])]
    assert changes({"v": new}, {"v": old}) == [("v[id=4]", new[3], None)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # A name that is in no list, beside a number of the place.
        (
            [{"place": 1, "krell": "a", "x": 5}, {"place": 2, "krell": "b", "x": 6}],
            [{"place": 1, "krell": "b", "x": 6}, {"place": 2, "krell": "a", "x": 5}],
            ElementKey(FIELD, (("krell",),)),
        ),
        # Two fields together.
        (
            [{"size": s, "hue": h, "n": 1} for s in "SML" for h in "rg"],
            [{"size": s, "hue": h, "n": 2} for s in "LMS" for h in "gr"],
            ElementKey(FIELD, (("size",), ("hue",))),
        ),
        ([{"at": {"code": "x"}, "n": 1}], [{"at": {"code": "x"}, "n": 2}], ElementKey(FIELD, (("at", "code"),))),
        # Amounts are no key, so the position matches elements that are mostly alike, and nothing those that are not.
        ([{"price": "$5", "on": True}] * 2, [{"price": "$6", "on": True}] * 2, ElementKey(POSITION)),
        ([{"price": "$5"}, {"price": "$7"}], [{"price": "$6"}], ElementKey(SET)),
        (["a", "b"], ["b"], ElementKey(SET)),
        ([{"id": 1}, "b"], [{"id": 1}], ElementKey(SET)),
        ([], [], ElementKey(SET)),
    ],
)
def test_what_elements_are_matched_by(old: list[Any], new: list[Any], expected: ElementKey) -> None:
    assert key_of(old, new) == expected


def test_members_of_a_list_of_scalars_are_added_and_removed() -> None:
    assert changes({"tags": ["new", "sale", "sale"]}, {"tags": ["sale", "red"]}) == [
        ("tags[]", None, "red"),
        ("tags[]", "new", None),
        ("tags[]", "sale", None),
    ]
    assert changes({"tags": ["a", "b"]}, {"tags": ["b", "a"]}) == []
    assert member_changes(["a", "b", "b", 1], ["b", 2, "1"]) == ([2, "1"], ["a", "b", 1])


def test_elements_with_one_key_are_matched_by_content_first() -> None:
    old = [
        {"sku": "x", "n": 1},
        {"sku": "x", "n": 2},
        {"sku": "y", "n": 3},
        *({"sku": f"z{n}", "n": n} for n in range(40)),
    ]
    new = [{"sku": "x", "n": 2}, {"sku": "x", "n": 5}, *old[2:]]
    assert changes(old, new) == [("[sku=x#2].n", 1, 5)]


@pytest.mark.parametrize(
    ("element", "text"),
    [
        (Element(("id",), (42,)), "[id=42]"),
        (Element(("size", "hue"), ("L", "dark red")), "[size=L,hue=dark red]"),
        (Element(("id",), ("a]b",)), '[id="a]b"]'),
        (Element(("id",), (1.5,), 2), "[id=1.5#2]"),
        (Element(("id",), ("",)), '[id=""]'),
        (Element(("id",), ("a\nb",)), '[id="a\\nb"]'),
        (Element((), (3,)), "[3]"),
        (Element(), "[]"),
    ],
)
def test_an_element_is_spelled_in_one_way(element: Element, text: str) -> None:
    assert element.spell() == text


def test_nested_arrays_and_odd_names_have_a_path() -> None:
    old = {"odd.name": [{"id": "a", "sizes": [{"code": "S", "stock": 1}, {"code": "L", "stock": 2}]}]}
    new = {"odd.name": [{"id": "a", "sizes": [{"code": "L", "stock": 3}, {"code": "S", "stock": 1}]}]}
    assert changes(old, new) == [('"odd.name"[id=a].sizes[code=L].stock', 2, 3)]


def test_the_key_depends_on_the_set_of_arrays() -> None:
    arrays = [(variants("1", "2"), variants("2", "2")), (variants("3"), variants("3", "4"))]
    assert choose_element_key(arrays) == choose_element_key(arrays[::-1]) == ElementKey(FIELD, (("id",),))


ELEMENTS = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(0, 9), "price": st.sampled_from(["$1", "$2"]), "note": st.sampled_from("ab")}
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(ELEMENTS, ELEMENTS, st.randoms())
def test_nothing_is_lost_between_two_versions(old: list[Any], new: list[Any], draw: random.Random) -> None:
    key = key_of(old, new)
    pairs = list(pair_elements(old, new, key, PLAIN.same))
    # What was, without what changed or went, and with what changed or came, is what is.
    left = sorted(map(canonical, old))
    for pair in pairs:
        if pair.old is not None:
            left.remove(canonical(pair.old))
    left += [canonical(pair.new) for pair in pairs if pair.new is not None]
    assert sorted(left) == sorted(map(canonical, new))
    shuffled = draw.sample(old, len(old))
    if key_of(old, shuffled).kind != POSITION:
        assert changes(old, shuffled) == []
