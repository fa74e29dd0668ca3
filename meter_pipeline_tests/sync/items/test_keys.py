"""A key is found in the data where the data are clear, and not where they are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from meter_pipeline.sync.items.keys import Profile, suggest

Item = dict[str, Any]


def key(shape: Callable[[int, int], Item], *, items: int = 30, jobs: int = 4) -> tuple[str, ...] | None:
    """The key of jobs on one page; `shape` makes an item from its number and the job's."""
    pages = [[shape(number, job) for number in range(job, items + job)] for job in range(jobs)]
    return key_of(pages)


def key_of(pages: Sequence[Sequence[Any]], targets: Sequence[str] = ()) -> tuple[str, ...] | None:
    """The key of jobs with given items."""
    profiles = []
    for place, page in enumerate(pages):
        profile = Profile(targets[place] if targets else "page")
        # In pieces, as a large job comes.
        profile.feed(page[:7])
        profile.feed(page[7:])
        profiles.append(profile)
    found = suggest(profiles)
    return None if found is None else found.key


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (lambda n, j: {"title": f"t{n}", "isbn": f"978{n}", "price": f"£{n}.{j}"}, ("isbn",)),
        (lambda n, j: {"price": n + j, "productId": n}, ("productId",)),
        (lambda n, j: {"image_url": f"i{n}", "name": f"n{n}", "item link": f"https://x/{n}"}, ("item link",)),
        (lambda n, j: {"id": f"{n}-{j}", "url": f"https://x/{n}"}, ("url",)),
        (lambda n, j: {"odd.id": n, "x": 1}, ('"odd.id"',)),
        (lambda n, j: {"title": f"t{n}", "price": f"£{n * 7 + j}"}, ("title",)),
        (lambda n, j: {"title": f"t{n // 2}", "edition": "ab"[n % 2], "price": n + j}, ("title", "edition")),
        (lambda n, j: {"price": f"£{n}", "stock": n}, None),
        (lambda n, j: {"text": f"t{n}{j}", "seller_id": n // 9}, None),
        (lambda n, j: {"id": n, "x": 1} if n % 7 else {"x": 1}, None),
        (lambda n, j: {"id": n if n % 7 else ""}, None),
        (lambda n, j: {"id": n * 1.5}, None),
    ],
)
def test_the_key_that_the_data_speak_for(shape: Callable[[int, int], Item], expected: tuple[str, ...] | None) -> None:
    assert key(shape) == expected


def test_two_jobs_of_one_page_are_needed_and_two_items_in_each() -> None:
    page = [{"id": n} for n in range(30)]
    assert key_of([page, page]) == ("id",)
    assert key_of([page]) is None
    assert key_of([page, page[:1]]) is None
    assert key_of([page, page], ["one", "two"]) is None
    assert key_of([page[:2], page[:2]]) == ("id",)
    assert key_of([page, [*page[1:], 5]]) is None


def test_few_items_say_nothing_of_a_name_that_is_no_id() -> None:
    assert key_of([[{"title": "a"}, {"title": "b"}]] * 3) is None
