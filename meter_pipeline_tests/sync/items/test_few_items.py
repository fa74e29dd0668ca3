"""In lists of few items much is unique, and little changes, by chance: no field is a key on the strength of that."""

from __future__ import annotations

import random
from typing import Any

import pytest

from meter_pipeline.sync.items.keys import search_key
from meter_pipeline.sync.items.verdicts import ACCEPTED
from meter_pipeline_tests.sync.items.test_keys import candidate, fields_of, pages_of

Item = dict[str, Any]


def taken_over(jobs: int, at: tuple[int, ...], *, named: bool) -> list[list[Item]]:
    """Jobs of three halls; in some of these one event is followed by another one in the same hall."""
    draw = random.Random(8)

    def event(hall: str) -> Item:
        number = draw.getrandbits(40)
        name = {"werk": f"Ana {number:x} bel"} if named else {}
        return {"saal": hall, **name, "art": f"art {number % 2}", "gage": draw.randint(10, 10**6), "klicks": 1}

    events = [event(hall) for hall in ("Cor dun", "Eva fox", "Gil hat")]
    pages = []
    for job in range(jobs):
        if job in at:
            events[job % 3] = event(events[job % 3]["saal"])
        for found in events:
            found["klicks"] += draw.randint(1, 9)
        pages.append([dict(found) for found in events])
    return pages


def test_a_name_that_all_new_items_of_a_short_list_took_over_is_no_key_however_long_it_stayed() -> None:
    assert fields_of(search_key(pages_of(taken_over(31, (), named=False)))) == ("saal",)
    search = search_key(pages_of(taken_over(31, (10, 21), named=False)))
    assert search.key is None, search.key.spell()
    assert "with another item" in candidate(search, "saal").reason


def test_of_two_names_the_one_that_another_item_took_over_is_not_the_key() -> None:
    search = search_key(pages_of(taken_over(40, (20,), named=True)))
    assert candidate(search, "saal").verdict == candidate(search, "werk").verdict == ACCEPTED
    assert fields_of(search) == ("werk",)


def advertised(seed: int, jobs: int, items: int, leave: float) -> list[list[Item]]:
    """Jobs of a list that nothing identifies: of each item a phrase and a seller, of some, and numbers that move."""
    draw = random.Random(seed)
    phrases = [f"Ana {letter}el" for letter in "abcdefghij"]
    sellers = [f"Cor {letter}un" for letter in "abcdefg"]

    def item() -> Item:
        return {
            "satz": draw.choice(phrases),
            "wer": draw.choice(sellers),
            "preis": draw.randint(100, 10**5) + 0.5,
            "klicks": draw.randint(0, 10**4),
            "rest": draw.randint(0, 300) + 0.25,
        }

    found = [item() for _ in range(items)]
    pages = []
    for _ in range(jobs):
        found = [item() if draw.random() < leave else old for old in found]
        for old in found:
            old["klicks"] += draw.randint(1, 30)
            if draw.random() < 0.1:
                old["preis"] += draw.randint(1, 900)
        pages.append([dict(old) for old in found])
    return pages


@pytest.mark.parametrize(("jobs", "items", "leave"), [(12, 5, 0.3), (8, 6, 0.4)])
def test_two_fields_that_so_far_no_two_items_shared_are_no_key_while_items_come(
    jobs: int, items: int, leave: float
) -> None:
    for seed in range(40):
        search = search_key(pages_of(advertised(seed, jobs, items, leave)))
        assert search.key is None, (seed, search.key.spell())
