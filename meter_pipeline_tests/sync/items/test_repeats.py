"""Of items with one key, the usual one keeps the plain key, wherever it stands."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.sync.items import repeats
from meter_pipeline.sync.items.identity import Identity
from meter_pipeline.sync.items.repeats import number_by_content, whole_jobs


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


def test_copies_that_swap_places_keep_their_keys_and_a_moving_price_does_not_decide() -> None:
    def pair(price: int) -> list[Any]:
        return [{"k": 1, "price": price, "seller": "Ada"}, {"k": 1, "price": 50, "seller": "Bo"}]

    for items in (pair(40), pair(60), pair(60)[::-1]):
        keys = number_by_content(["1", "1"], items)
        assert {item["seller"]: key for item, key in zip(items, keys, strict=True)} == {"Ada": "1", "Bo": "1#2"}


def test_what_other_items_cost_does_not_decide() -> None:
    twins = [{"k": 1, "price": "$5", "seller": "Ada"}, {"k": 1, "price": "$7", "seller": "Bo"}]
    others = [{"k": 2, "price": "$7", "seller": "Cy"}, {"k": 3, "price": "$7", "seller": "Di"}]
    assert number_by_content(["1", "1", "2", "3"], [*twins, *others]) == ["1", "1#2", "2", "3"]


def test_what_the_rules_ignore_does_not_tell_copies_apart() -> None:
    identity = Identity(ItemRules(ignore=("seen",)))
    items = [{"k": 1, "seen": 9, "a": "x"}, {"k": 1, "seen": 3, "a": "x"}]
    assert number_by_content(["1", "1"], items, identity) == ["1", "1#2"]
    assert number_by_content(["1", "1"], items) == ["1#2", "1"]


def test_odd_items_are_numbered_too() -> None:
    items: list[Any] = [{"k": 1, "a": "y"}, {"k": 1, "a": "x"}, 5, 5, None]
    assert number_by_content(["1", "1", "h", "h", "n"], items) == ["1#2", "1", "h", "h#2", "n"]
    assert number_by_content([], []) == []


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), max_size=6), st.lists(st.integers(1, 7)), st.booleans()
)
def test_rows_that_were_cut_anywhere_come_back_job_by_job(
    jobs: list[tuple[int, int]], cuts: list[int], is_small: bool
) -> None:
    rows = [(f"j{job}", "x" * size) for job, (count, size) in enumerate(jobs) for _ in range(count)]
    table = pa.table({"job_id": [job for job, _ in rows], "item": [text for _, text in rows]}, RAW)
    batches, start = [], 0
    for cut in [*cuts, len(rows)]:
        batches += table.slice(start, cut).combine_chunks().to_batches()
        start += cut
    most, repeats.MOST_BYTES = repeats.MOST_BYTES, 10 if is_small else 1_000
    try:
        found = list(whole_jobs(batches))
    finally:
        repeats.MOST_BYTES = most
    assert [tuple(row.values()) for batch, _ in found for row in batch.to_pylist()] == rows
    for batch, is_whole in found:
        for job, (count, size) in enumerate(jobs):
            here = batch["job_id"].to_pylist().count(f"j{job}")
            assert not here or is_whole == (not is_small or count * size <= 10)
            assert not is_whole or here in (0, count)


RAW = pa.schema({"job_id": pa.string(), "item": pa.string()})
