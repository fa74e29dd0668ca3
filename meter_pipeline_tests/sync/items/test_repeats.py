"""Of items with one key, the usual one keeps the plain key, and each continues as the one that it was."""

from __future__ import annotations

import random
from typing import Any

from meter_pipeline.sync.items.repeats import number_by_content, pair_occurrences


def adverts(*promoted: int) -> list[dict[str, Any]]:
    """Twenty adverts, some of which stand on top once more."""
    usual = [{"url": f"u{n}", "price": n, "promoted": False} for n in range(20)]
    return [*({**usual[number], "promoted": True} for number in promoted), *usual]


def numbered(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The items by their numbered keys."""
    return dict(zip(number_by_content([item["url"] for item in items], items), items, strict=True))


def test_an_advert_keeps_its_key_when_a_promoted_copy_comes_and_goes() -> None:
    days = [numbered(adverts(7)), numbered(adverts()), numbered(adverts(3, 7)), numbered(adverts(4))]
    plain = days[1]
    for day in days:
        assert {key: item for key, item in day.items() if "#" not in key} == plain
    assert [sorted(day.keys() - plain.keys()) for day in days] == [["u7#2"], [], ["u3#2", "u7#2"], ["u4#2"]]


def test_the_order_of_the_list_does_not_decide() -> None:
    items = adverts(7, 3)
    expected = numbered(items)
    random.Random(2).shuffle(items)
    assert numbered(items) == expected


def test_copies_that_are_equally_usual_keep_their_order_and_odd_items_are_numbered_too() -> None:
    items: list[Any] = [{"k": 1, "a": "x"}, {"k": 1, "a": "y"}, 5, 5, None]
    assert number_by_content(["1", "1", "h", "h", "n"], items) == ["1", "1#2", "h", "h#2", "n"]
    assert number_by_content([], []) == []


def test_an_occurrence_continues_as_the_one_with_its_content_then_as_that_with_its_number() -> None:
    old = [("k", "red"), ("k#2", "green")]
    assert pair_occurrences(old, [("k", "green"), ("k#2", "red")]) == [(1, 0), (0, 1)]
    assert pair_occurrences(old, [("k", "green")]) == [(1, 0), (0, None)]
    assert pair_occurrences(old, [("k", "blue"), ("k#2", "green")]) == [(1, 1), (0, 0)]
    assert pair_occurrences([], [("k", "red")]) == [(None, 0)]
    assert pair_occurrences([("k#2", "red")], [("k", "blue")]) == [(0, 0)]
