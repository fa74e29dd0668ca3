"""Fields that move by themselves as time passes: ages, countdowns, days on the market."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from meter_pipeline.sync.audit.findings import ACCEPTED, HELD
from meter_pipeline_tests.sync.audit.pages import Item, Page, judge_after, named

Spell = Callable[[int], str | int]

_FORMS: dict[str, Spell] = {
    "english": "{} days ago".format,
    "german": "vor {} Tagen".format,
    "japanese": "{}日前".format,
    "in words": lambda age: ("today", "yesterday")[age] if age < 2 else f"{age} days ago",
    "on the market": "{} days on the market · York".format,
    "countdown": lambda age: f"ends in {90 - age} days",
    "number": lambda age: age,
    "number that falls": lambda age: 90 - age,
}


def adverts(day: int, spell: Spell, *, coming: int = 0) -> list[Item]:
    """The adverts of a day, each with the days since it was placed; some new ones a day, in the place of old ones."""
    chance = Random(3)
    placed = [(number, -chance.randrange(2, 60)) for number in range(40)]
    for today in range(1, day + 1):
        placed = placed[coming:] + [(1000 * today + number, today) for number in range(coming)]
    return [
        {"advert": f"Advert {number} of {number % 7}", "price": f"£{100 + 7 * number}.50", "listed": spell(day - when)}
        for number, when in placed
    ]


@pytest.mark.parametrize("coming", [0, 2])
@pytest.mark.parametrize("spell", _FORMS.values(), ids=_FORMS.keys())
def test_ages_of_a_page_that_is_scraped_several_times_a_day_may_all_move_at_midnight(spell: Spell, coming: int) -> None:
    page = Page()
    verdicts = page.scrape_all([adverts(day, spell, coming=coming) for day in range(5) for _ in range(4)])
    assert [verdict.outcome for verdict in verdicts if verdict.outcome != ACCEPTED] == []


@pytest.mark.parametrize("spell", ["{:,} views", "feels like {} degrees", "only {} left in stock", "{} bids"])
def test_numbers_among_words_may_all_move_at_once_where_a_page_counts_once_a_day(spell: str) -> None:
    chance = Random(5)
    counts = [chance.randrange(1, 2000) for _ in range(30)]
    page = Page()
    for _ in range(4):
        counts = [max(count + chance.randrange(-3, 60), 1) for count in counts]
        today = [{"thing": f"Thing {number} of 30", "seen": spell.format(count)} for number, count in enumerate(counts)]
        assert HELD not in {verdict.outcome for verdict in page.scrape_all([today] * 6)}


def test_other_texts_that_change_in_all_items_at_once_are_held() -> None:
    days = [adverts(0, "{} days ago".format)] * 8
    odd = [
        item | {"listed": f"{name} {number}"}
        for number, (item, name) in enumerate(zip(days[0], "abcdefgh" * 5, strict=True))
    ]
    verdict = judge_after(days, odd)
    assert verdict.outcome == HELD
    assert ("changed", "listed") in named(verdict)


def test_numbered_names_that_slid_by_a_row_are_held() -> None:
    lots = [{"url": f"https://auction.example/{number * 37}", "lot": f"Lot {number}"} for number in range(40)]
    slid = [item | {"lot": f"Lot {number + 1}"} for number, item in enumerate(lots)]
    verdict = judge_after([lots] * 8, slid)
    assert verdict.outcome == HELD
    assert named(verdict) == {("other item", "lot")}
