"""Changes inside arrays go to the element they are about; an element that only moved has not changed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.config.field_paths import spell_path
from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.store.item_json import spell_json
from meter_pipeline.sync.changes.fields import ElementKeys, changed_fields
from meter_pipeline.sync.items.elements import (
    FIELD,
    POSITION,
    SET,
    ElementKey,
    choose_element_key,
    pair_elements,
)
from meter_pipeline.sync.items.identity import PLAIN, Identity, canonical
from meter_pipeline.sync.items.steps import Element, parse_steps, spell_steps

Changes = list[tuple[str, Any, Any]]


def changes(old: Any, new: Any, identity: Identity = PLAIN) -> Changes:
    """What differs, with paths as text."""
    keys = ElementKeys(identity, lambda: [(old, new)])
    found = changed_fields([old], [new], identity, keys)
    return [(spell_steps(steps), *values.old, *values.new) for steps, values in found]


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
    assert changes({"v": old}, {"v": new}) == [("v[id=4]", None, new[3])]
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
        ("tags[]", ["new", "sale"], ["red"])
    ]
    assert changes({"tags": ["a", "b"]}, {"tags": ["b", "a"]}) == []
    assert changes({"n": ["a", "b", "b", 1]}, {"n": ["b", 2, "1", None]}) == [
        ("n[]", ["a", "b", 1], [2, "1", None])
    ]  # fmt: skip


def test_the_order_of_an_array_is_one_row_where_the_rules_keep_it() -> None:
    kept = Identity(ItemRules(array_order=True))
    old, new = {"v": variants("1", "2", "3")}, {"v": variants("1", "2", "3")[::-1]}
    assert changes(old, new, kept) == [("v", old["v"], new["v"])]
    assert changes(old, {"v": variants("1", "5", "3")[::-1]}, kept) == [("v[id=2].price", "2", "5")]


def test_what_the_rules_ignore_is_ignored_in_elements_too() -> None:
    loose = Identity(ItemRules(ignore=("v.seen",), whitespace=False))
    old = {"v": [{"id": "a", "seen": 1, "note": "x  y"}, {"id": "b", "seen": 2}], "tags": ["a  b"]}
    new = {"v": [{"id": "b", "seen": 3}, {"id": "a", "seen": 4, "note": "x y"}], "tags": ["a b", "c"]}
    assert changes(old, new, loose) == [("tags[]", None, ["c"])]


def test_the_key_is_chosen_from_all_items_that_changed() -> None:
    # In the first item alone, nothing but the position could match its only variant.
    alone = ({"v": [{"size": "S", "price": "$1"}]}, {"v": [{"size": "S", "price": "$2"}]})
    others = [({"v": [{"size": size, "price": "$1"} for size in "SML"]}, {"v": [{"size": "M", "price": "$2"}]})] * 3
    keys = ElementKeys(PLAIN, lambda: [alone, *others])
    old, new = ([side] for side in alone)
    found = [spell_steps(steps) for steps, _ in changed_fields(old, new, PLAIN, keys)]
    assert found == ["v[size=S].price"]


def test_elements_with_one_key_are_matched_by_content_first() -> None:
    old = [
        {"sku": "x", "n": 1},
        {"sku": "x", "n": 2},
        {"sku": "y", "n": 3},
        *({"sku": f"z{n}", "n": n} for n in range(40)),
    ]
    new = [{"sku": "x", "n": 2}, {"sku": "x", "n": 5}, *old[2:]]
    assert changes({"v": old}, {"v": new}) == [("v[sku=x#2].n", 1, 5)]


@pytest.mark.parametrize(
    ("element", "text"),
    [
        (Element(("id",), ("42",)), "[id=42]"),
        (Element(("size", "hue"), ("L", "dark red")), "[size=L,hue=dark red]"),
        (Element(("id",), ("a]b",)), '[id="a]b"]'),
        (Element(("id",), ("1.5",), 2), "[id=1.5#2]"),
        (Element(("id",), ("",)), '[id=""]'),
        (Element(("id",), ("a\nb",)), '[id="a\\nb"]'),
        (Element((), ("3",)), "[3]"),
        (Element(), "[]"),
    ],
)
def test_an_element_is_spelled_in_one_way(element: Element, text: str) -> None:
    assert element.spell() == text
    assert parse_steps(text) == (element,)


_TEXT = st.one_of(st.text(max_size=5), st.text('a."[]=,#\\ 1\u202e\n', max_size=5))
_KEYS = st.lists(st.tuples(_TEXT.map(lambda name: spell_path((name,))), _TEXT), min_size=1, max_size=2)
_ELEMENTS = st.one_of(
    st.builds(lambda key, n: Element(*map(tuple, zip(*key, strict=True)), n), _KEYS, st.integers(1, 3)),
    st.integers(0, 99).map(lambda place: Element((), (str(place),))),
    st.just(Element()),
)


@settings(max_examples=300)
@given(st.lists(st.one_of(_TEXT, _ELEMENTS), min_size=1, max_size=4))
def test_any_path_can_be_parsed_again_whatever_was_scraped(steps: list[Any]) -> None:
    assert parse_steps(spell_steps(steps)) == tuple(steps)


@pytest.mark.parametrize("text", ["a[", "a[id=1", "a[id=]", "a]b", "a..b", 'a["x"]', "a[id=1]b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        parse_steps(text)


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


@settings(max_examples=150)
@given(ELEMENTS, ELEMENTS, st.randoms())
def test_nothing_is_lost_between_two_versions(old: list[Any], new: list[Any], draw: random.Random) -> None:
    key = key_of(old, new)
    pairs = pair_elements(old, new, key)
    # What was, without what changed or went, and with what changed or came, is what is.
    left = sorted(map(canonical, old))
    for pair in pairs:
        if pair.old is not None:
            left.remove(canonical(old[pair.old]))
    left += [canonical(new[pair.new]) for pair in pairs if pair.new is not None]
    assert sorted(left) == sorted(map(canonical, new))
    shuffled = draw.sample(old, len(old))
    assert changes({"v": old}, {"v": shuffled}) == []


_JSON = st.recursive(
    st.sampled_from([None, 0, -0.0, 1, "1", "a", " a", True]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["id", "x", "a.b", "c[d]"]), inner, max_size=3)
    ),
    max_leaves=12,
)
_ITEM = st.dictionaries(st.sampled_from(["v", "w"]), _JSON, max_size=2)
_RULES = st.builds(
    ItemRules,
    st.none(),
    st.sampled_from([(), ("v.x",), ("v",)]),
    st.sampled_from([None, True, False]),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=300)
@given(_ITEM, _ITEM, _RULES)
def test_an_item_has_rows_if_and_only_if_its_hash_has_changed_and_each_has_a_path_of_its_own(
    old: dict[str, Any], new: dict[str, Any], rules: ItemRules
) -> None:
    identity = Identity(rules)
    before, after = identity.hashes([old, new], [spell_json(item).encode() for item in (old, new)])
    found = changes(old, new, identity)
    assert bool(found) == (before != after)
    assert len({path for path, *_ in found}) == len(found)
