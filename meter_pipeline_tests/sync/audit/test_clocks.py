"""Fields that move by themselves as time passes: ages, countdowns, days on the market."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
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
    page = Page(hours=6)
    verdicts = page.scrape_all([adverts(day, spell, coming=coming) for day in range(5) for _ in range(4)])
    assert [verdict.outcome for verdict in verdicts if verdict.outcome != ACCEPTED] == []


@pytest.mark.parametrize(
    "spell",
    ["Get it by {0:%A}, {0.day} {0:%B}", "Arrives {0:%b} {0.day} - {1:%b} {1.day}", "Ships {0:%A}", "{0:%Y-%m-%d}",
     "{0:%m/%d/%Y}", "Lieferung bis {0:%d.%m.}", "{0.month}月{0.day}日"],
)  # fmt: skip
@pytest.mark.parametrize("hours", [1, 6])
def test_dates_of_delivery_may_all_move_on_at_midnight(spell: str, hours: int) -> None:
    chance = Random(2)
    waits = [timedelta(days=chance.randrange(1, 12)) for _ in range(30)]
    page = Page(hours=hours)
    for today in (datetime(2025, 8, 27) + timedelta(days=day) for day in range(8)):
        listed = [
            {"sku": f"K{number}", "arrives": spell.format(today + wait, today + 2 * wait)}
            for number, wait in enumerate(waits)
        ]
        verdicts = page.scrape_all([listed] * (24 // hours))
        assert [verdict.reason for verdict in verdicts if verdict.outcome == HELD] == []


def test_dates_that_stood_for_days_are_held_when_all_move_on() -> None:
    first = datetime(2025, 1, 7)
    dates = [{"ad": f"A{number}", "since": f"{first + timedelta(days=3 * number):%Y-%m-%d}"} for number in range(40)]
    late = [{"ad": f"A{number}", "since": f"{first + timedelta(days=3 * number + 1):%Y-%m-%d}"} for number in range(40)]
    page = Page(hours=6)
    assert {verdict.outcome for verdict in page.scrape_all([dates] * 12)} == {ACCEPTED}
    assert page.scrape(late).outcome == HELD


@pytest.mark.parametrize("spell", ["{:,} views", "feels like {} degrees", "only {} left in stock", "{} bids"])
def test_numbers_among_words_may_all_move_at_once_where_a_page_counts_once_a_day(spell: str) -> None:
    chance = Random(5)
    counts = [chance.randrange(1, 2000) for _ in range(30)]
    page = Page(hours=4)
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
