"""An item's hash is that of its meaning, and equal items of a job are numbered the same however they are read."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.store.item_json import parse_items, spell_json
from meter_pipeline.sync.changes.fields import ElementKeys, changed_fields
from meter_pipeline.sync.items.identity import PLAIN, Identity, Occurrences, item_hashes, number_occurrences
from meter_pipeline.sync.items.steps import spell_steps


def hashes(*items: str) -> set[str]:
    """Hashes of items given as JSON text."""
    raw = [item.encode() for item in items]
    return set(item_hashes(parse_items(raw), raw))


def test_spelling_order_and_nulls_are_no_difference() -> None:
    assert (
        len(
            hashes(
                '{"a":1,"b":{"c":2,"d":3}}', '{ "b" : {"d":3,"c":2}, "a" : 1 }', '{"a":1,"b":{"c":2,"d":3},"e":null}'
            )
        )
        == 1
    )
    assert len(hashes('{"a":0.0}', '{"a":-0.0}')) == 1
    assert len(hashes('{"a":[{"b":null}]}', '{"a":[{}]}')) == 1
    assert len(hashes('"\\u00e9"', '"é"')) == 1


def test_values_types_and_order_of_lists_are() -> None:
    different = [
        '{"a":1}',
        '{"a":2}',
        '{"a":"1"}',
        '{"a":true}',
        '{"a":[1,2]}',
        '{"a":[2,1]}',
        '{"a":[1,null,2]}',
        "{}",
        "[]",
        "null",
    ]
    assert len(hashes(*different)) == len(different)


def test_what_the_fast_way_refuses_has_a_hash_too() -> None:
    long = "123456789012345678901234567890"
    different = [f'{{"a":{long}}}', f'{{"a":{long}1}}', '{"a":"\\ud800"}', '{"a":"\\ud801"}']
    assert len(hashes(*different)) == 4
    assert len(hashes(f'{{"a":{long},"b":1}}', f'{{"b":1,"a":{long}}}')) == 1
    assert len(hashes('{"a":"\\ud800","b":1}', '{"b":1,"a":"\\ud800","c":null}')) == 1


@settings(max_examples=40)
@given(st.lists(st.sampled_from("abcd"), max_size=30), st.lists(st.integers(1, 8), min_size=1, max_size=30))
def test_occurrences_are_numbered_the_same_whatever_the_pieces(keys: list[str], sizes: list[int]) -> None:
    expected = [key if (n := keys[:i].count(key)) == 0 else f"{key}#{n + 1}" for i, key in enumerate(keys)]
    assert number_occurrences(keys) == expected
    occurrences, numbered, start = Occurrences(), [], 0
    for size in [*sizes, len(keys)]:
        numbered += occurrences.number(keys[start : start + size])
        start += size
    assert numbered == expected


def differences(identity: Identity, old: object, new: object) -> list[tuple[str, object, object]]:
    """The fields by which two items differ, with paths as text."""
    keys = ElementKeys(identity, lambda: [(old, new)])
    found = changed_fields([old], [new], identity, keys)
    return [(spell_steps(path), *values.old, *values.new) for path, values in found]


def alike(identity: Identity, *items: str) -> bool:
    """Whether items are the same under an identity, by hash and by their fields alike."""
    raw = [item.encode() for item in items]
    values = parse_items(raw)
    by_hash = len(set(identity.hashes(values, raw))) == 1
    by_field = not any(differences(identity, values[0], other) for other in values[1:])
    assert by_hash == by_field
    return by_hash


def test_what_is_left_out_of_account_is_no_difference() -> None:
    ignoring = Identity(ItemRules(ignore=("seen", "offers.at", "meta")))
    assert alike(ignoring, '{"a":1,"seen":1}', '{"a":1,"seen":2}', '{"a":1}', '{"a":1,"meta":{"x":1}}')
    assert alike(ignoring, '{"offers":[{"at":1,"p":1}]}', '{"offers":[{"at":2,"p":1}]}')
    assert not alike(ignoring, '{"offers":[{"at":1,"p":1}]}', '{"offers":[{"at":1,"p":2}]}')
    assert alike(Identity(ItemRules(array_order=False)), '{"a":[1,[2,3]]}', '{"a":[[3,2],1]}')
    assert not alike(Identity(ItemRules(array_order=False)), '{"a":[1,1]}', '{"a":[1]}')
    assert alike(Identity(ItemRules(whitespace=False)), '{"a":" x  y"}', '{"a":"x\\ny"}')
    assert not alike(Identity(ItemRules(whitespace=False)), '{"a":"xy"}', '{"a":"x y"}')
    numbers = Identity(ItemRules(numbers=False))
    assert alike(numbers, '{"a":5}', '{"a":5.0}', '{"a":"5"}', '{"a":"5.00"}', '{"a":5e0}')
    assert alike(numbers, '{"a":["x","y",5]}', '{"a":["x","y","5"]}')
    assert not alike(numbers, '{"a":["1","2"]}', '{"a":[2,1]}')
    assert not alike(numbers, '{"a":"05"}', '{"a":"5"}')
    assert not alike(numbers, '{"a":123456789012345678901}', '{"a":123456789012345678902}')
    assert not alike(Identity(ItemRules(array_order=True)), '{"a":["x","y"]}', '{"a":["y","x"]}')
    assert alike(PLAIN, '{"a":["x",{"n":1},"y"]}', '{"a":["y","x",{"n":1}]}')
    for strict in ('{"a":5}|{"a":5.0}', '{"a":"x y"}|{"a":"x  y"}', '{"a":[1,2]}|{"a":[2,1]}', '{"a":{}}|{}'):
        assert not alike(PLAIN, *strict.split("|"))


def test_fields_are_named_by_their_path() -> None:
    old = {"a": 1, "specs": {"w": 1, "h": [1, 2]}, "odd.name": 1, "gone": {"x": 1}, "same": {"n": None}}
    new = {"a": True, "specs": {"w": 2, "h": [3, 1]}, "odd.name": 2, "same": {}}
    assert sorted(differences(PLAIN, old, new), key=lambda row: row[0]) == [
        ('"odd.name"', 1, 2),
        ("a", 1, True),
        ("gone", {"x": 1}, None),
        ("specs.h[]", [2], [3]),
        ("specs.w", 1, 2),
    ]


def test_keys_are_the_values_spelled_and_no_two_items_share_one() -> None:
    items: list[object] = [
        {"id": 7}, {"id": "7"}, {"id": "a#2"}, {"id": '"q'}, {"id": {"b": 1, "a": 2}}, {"id": 1.5}, {"id": None},
        {"id": ""}, {}, 5,
    ]  # fmt: skip
    raw = [spell_json(item).encode() for item in items]
    identity = Identity(ItemRules(key=("id",)))
    hashes = identity.hashes(items, raw)
    keys = number_occurrences(identity.keys(items, hashes))
    assert keys[:6] == ["7", "7#2", '"a#2"', '"\\"q"', '{"a":2,"b":1}', "1.5"]
    # Null, and nothing at all, are the same item; empty text lacks a key too, but is another one.
    assert keys[6:] == [hashes[6], hashes[7], f"{hashes[6]}#2", hashes[9]]
    assert len(set(keys)) == len(keys)
    both = Identity(ItemRules(key=("a.b", "c")))
    assert both.keys([{"a": {"b": "x"}, "c": 1}, {"a": {"b": "x"}}, {"a": 3, "c": 1}], ["h0", "h1", "h2"]) == [
        '["x","1"]',
        "h1",
        "h2",
    ]


def test_a_number_that_becomes_text_is_the_same_key_alone_and_among_others() -> None:
    items = [{"id": 2, "size": 1}, {"id": "2", "size": "1"}]
    for key in (("id",), ("id", "size")):
        first, second = Identity(ItemRules(key=key)).keys(items, ["hash 1", "hash 2"])
        assert first == second
    one, other = Identity(ItemRules(key=("a", "b"))).keys([{"a": "x", "b": "y z"}, {"a": "x y", "b": "z"}], ["", ""])
    assert one != other
