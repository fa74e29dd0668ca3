"""Pages between which items move are one list; pages that each have their own items are not."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from meter_pipeline.config.item_rules import PAGE, RUN
from meter_pipeline.sync.items.pages import judge_pages


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
