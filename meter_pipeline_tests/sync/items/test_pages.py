"""Pages between which items move are one list; pages that each have their own items are not."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from meter_pipeline.sync.items.pages import PAGE, RUN, RunState, compare_runs, judge_pages


def paged(numbers: Sequence[int], size: int) -> dict[str, Sequence[int]]:
    """A listing as pages."""
    return {f"page {at // size}": numbers[at : at + size] for at in range(0, len(numbers), size)}


def marks(pages: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The pages' keys as marks."""
    return {page: np.array(numbers, np.int64) for page, numbers in pages.items()}


@pytest.mark.parametrize("pages", [3, 10, 50])
@pytest.mark.parametrize("fresh", [1, 4, 12])
def test_a_listing_that_slides_is_one_list(pages: int, fresh: int) -> None:
    runs = [marks(paged(range(1_000 - day * fresh, 1_000 - day * fresh + pages * 10), 10)) for day in range(4)]
    found = judge_pages(runs)
    assert (found.mode, found.compared) == (RUN, 3)
    assert found.wandered > 0


def test_pages_with_items_of_their_own_are_compared_one_by_one() -> None:
    shops = [
        {f"shop {shop}": np.arange(shop * 100 + day, shop * 100 + day + 20, dtype=np.int64) for shop in range(5)}
        for day in range(4)
    ]
    found = judge_pages(shops)
    assert (found.mode, found.wandered, found.left) == (PAGE, 0, 15)
    assert judge_pages(shops[:1]).compared == 0


def test_categories_that_overlap_are_not_one_list() -> None:
    draw = random.Random(4)
    runs = [{f"category {c}": np.array(draw.sample(range(60), 30), np.int64) for c in range(3)} for _ in range(4)]
    found = judge_pages(runs)
    assert found.mode == PAGE
    assert "several pages at once" in found.reason


def test_an_item_that_changes_its_category_now_and_then_does_not_join_pages() -> None:
    runs = []
    for day in range(5):
        pages = {f"category {c}": [c * 100 + n + day * 3 for n in range(20)] for c in range(3)}
        pages["category 0"].append(-1) if day < 2 else pages["category 1"].append(-1)
        runs.append(marks(pages))
    assert judge_pages(runs).mode == PAGE


@pytest.mark.parametrize("seed", range(8))
def test_the_feed_of_a_sliding_listing_is_the_truth(seed: int) -> None:
    draw = random.Random(seed)
    pages = draw.choice((3, 8, 50))
    listing = list(range(pages * 10))
    prices = dict.fromkeys(listing, 0)
    state = RunState()
    known: dict[int, int] = {}
    for day in range(10):
        for _ in range(draw.randint(0, 6)):
            listing.insert(0, number := 10_000 * (day + 1) + len(prices))
            prices[number] = 0
        for gone in draw.sample(listing, 3):
            listing.remove(gone)
        for moved in draw.sample(listing, 4):
            prices[moved] += 1
        every = paged(listing[: pages * 10], 10)
        failed = draw.choice([*every, None, None]) if day else None
        accepted = {page: numbers for page, numbers in every.items() if page != failed}
        delta = compare_runs(
            state, {page: {str(n): str(prices[n]) for n in numbers} for page, numbers in accepted.items()}, every
        )
        shown = {number: prices[number] for numbers in accepted.values() for number in numbers}
        assert set(delta.added) == {str(number) for number in shown.keys() - known.keys()}
        assert set(delta.changed) == {str(n) for n in shown.keys() & known.keys() if shown[n] != known[n]}
        absent = known.keys() - shown.keys()
        assert set(delta.removed) == (set() if failed else {str(number) for number in absent})
        known = shown if not failed else {**{number: known[number] for number in absent}, **shown}
        assert delta.state.unseen == (frozenset(map(str, absent)) if failed else frozenset())
        state = delta.state


def test_an_item_on_two_pages_while_the_list_moves_counts_once_and_as_before() -> None:
    state = RunState({"a": "1", "b": "1"})
    delta = compare_runs(state, {"one": {"a": "2"}, "two": {"a": "1", "b": "1"}}, ("one", "two"))
    assert (delta.added, delta.removed, delta.changed) == ((), (), ())
