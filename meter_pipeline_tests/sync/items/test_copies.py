"""Copies of whole items say nothing of a key, and neither do the places, ages and amounts that look like one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from meter_pipeline.sync.items.keys import search_key
from meter_pipeline.sync.items.places import numbers_places
from meter_pipeline.sync.items.samples import is_amount
from meter_pipeline_tests.sync.items.test_keys import candidate, fields_of, pages_of

Item = dict[str, Any]


def promote(draw: random.Random, page: list[Item]) -> list[Item]:
    """A page with a copy of one of its items on top."""
    return [dict(draw.choice(page[3:])), *page]


def rates(draw: random.Random, days: int, currencies: str = "ABCDEFG") -> list[list[Item]]:
    """All rates between currencies, which move in every job; one of them is promoted."""
    pairs = [(one, other) for one in currencies for other in currencies if one != other]
    costs = {pair: draw.uniform(1, 99) for pair in pairs}
    pages = []
    for _ in range(days):
        costs = {pair: cost * draw.uniform(0.98, 1.02) for pair, cost in costs.items()}
        page = [{"zorp": one + one, "plim": other + other, "bid": round(costs[one, other], 4)} for one, other in pairs]
        pages.append(promote(draw, page))
    return pages


def songs(draw: random.Random, days: int) -> list[list[Item]]:
    """A chart with two songs of one title, by different artists, of whom most have several songs."""
    names = [f"Song {number}" for number in range(29)]
    chart: list[Item] = [
        {"zorp": name, "plim": f"Band {number % 9} Ark", "wochen": number * 7 % 20}
        for number, name in enumerate([*names, names[4]])
    ]
    pages = []
    for day in range(days):
        for _ in range(8):
            chart.insert(draw.randrange(30), chart.pop(draw.randrange(30)))
        pages.append([song | {"pos": n, "wochen": song["wochen"] + day} for n, song in enumerate(chart, 1)])
    return pages


@pytest.mark.parametrize("make", [rates, songs])
def test_two_fields_that_only_whole_items_repeat_are_a_key(
    make: Callable[[random.Random, int], list[list[Item]]],
) -> None:
    found = [fields_of(search_key(pages_of(make(random.Random(seed), 10)))) for seed in range(8)]
    assert set(found) == {("zorp", "plim")}


def test_numbers_are_those_of_places_whatever_copies_stand_between_them() -> None:
    places: list[Item] = [{"zorp": f"#{place}"} for place in range(1, 31)]
    gap: list[Item] = [*places[:6], {"zorp": None}, *places[7:]]
    pages: list[list[Item]] = [
        places,
        [places[19], places[20], *places],
        [*places[:9], places[2], *places[9:], places[5]],
        gap,
    ]
    assert numbers_places(pages_of(pages), ("zorp",))
    # The number of an item that leaves, leaves with it.
    assert numbers_places(pages_of([places, places[:20] + places[21:]]), ("zorp",))
    assert not numbers_places(pages_of([places, places[1:]]), ("zorp",))


def test_a_place_with_gaps_and_copies_is_no_evidence_against_a_name() -> None:
    draw = random.Random(0)
    teams: list[Item] = [
        {"zorp": f"{one}{other}o Sund", "pts": draw.randrange(30)} for one in "ABC" for other in "aeio"
    ]
    pages = []
    for day in range(10):
        for team in teams:
            team["pts"] += draw.choice([0, 0, 1, 3, 3]) if day else 0
        teams.sort(key=lambda team: -team["pts"])
        page = [{"platz": place, **team} for place, team in enumerate(teams, 1)]
        page[draw.randrange(12)]["platz"] = None
        pages.append(page)
    assert fields_of(search_key(pages_of(pages))) == ("zorp",)


def test_ages_of_news_that_move_in_step_show_that_their_titles_stay() -> None:
    draw = random.Random(0)
    news: list[tuple[str, int]] = []
    pages = []
    for job in range(10):
        news = [(f"Satz {draw.getrandbits(40):x} steht da", 60 * job - draw.randrange(1, 60)) for _ in range(5)] + news
        news = news[:20]
        minutes = [60 * job - moment for _, moment in news]
        ages = [f"{age} minutes ago" if age < 60 else f"{age // 60} hours ago" for age in minutes]
        pages.append([{"zorp": title, "age": age} for (title, _), age in zip(news, ages, strict=True)])
    assert fields_of(search_key(pages_of(pages))) == ("zorp",)


@pytest.mark.parametrize("targets", [1, 3])
def test_a_page_of_numbers_alone_is_about_what_they_measure(targets: int) -> None:
    draw = random.Random(0)
    pages = [
        [{"price": f"${draw.uniform(60, 70) * (1 + n % targets):.2f}", "vol": f"{n},{n:03},{n:03}", "at": f"9:{n:02}"}]
        for n in range(10, 10 + 6 * targets)
    ]
    found = search_key(pages_of(pages, [f"page {n % targets}" for n in range(len(pages))]))
    assert found.key is not None
    assert found.key.kind == "target"
    words = [[page[0] | {"word": f"Wort {n}"}] for n, page in enumerate(pages)]
    assert fields_of(search_key(pages_of(words, [f"page {n % targets}" for n in range(len(words))]))) is None


@pytest.mark.parametrize("text", ["A1.01", "v1.2", "WE3.12"])
def test_letters_at_a_number_that_are_no_currency_make_it_no_amount(text: str) -> None:
    assert not is_amount(text)
    assert all(map(is_amount, ["R12.50", "kr1.20", "$1.20", "1.20 kg", "from 1.20", f"{text}%"]))


def test_numbers_of_flats_are_a_key() -> None:
    draw = random.Random(0)
    flats = [{"zorp": f"A{n // 8}.{n % 8 + 1:02}", "rooms": 1 + n % 4, "free": "yes"} for n in range(40)]
    pages = []
    for _ in range(8):
        for flat in draw.sample(flats, 3):
            flat["free"] = draw.choice(["yes", "no", "soon"])
        pages.append([dict(flat) for flat in flats])
    search = search_key(pages_of(pages))
    assert fields_of(search) == ("zorp",)
    assert candidate(search, "zorp").stability == 1


def test_a_picture_of_each_item_is_better_than_two_fields_that_several_items_share() -> None:
    draw = random.Random(0)
    stock: list[Item] = []
    for number in range(48):
        title = stock[number - 3]["zorp"] if number % 4 == 3 else f"Ding {number} Lum"
        stock.append(
            {
                "zorp": title,
                "art": "neu" if number % 2 else "alt",
                "bild": f"/{number}.jpg",
                "n": number,
                "ort": f"O{number % 7} Au",
            }
        )
    stock[-1]["art"] = stock[-4]["art"]
    pages = []
    for _ in range(8):
        for item in draw.sample(stock, 12):
            item["n"] += 1
        one, other = draw.sample(stock[:40], 2)
        pages.append([dict(one), other | {"n": None}, *map(dict, stock)])
    search = search_key(pages_of(pages))
    assert candidate(search, "zorp", "art").verdict == "accepted"
    assert fields_of(search) == ("bild",)


@pytest.mark.parametrize("mark", [True, "Anzeige"])
def test_a_copy_that_is_marked_as_promoted_is_a_copy(mark: object) -> None:
    found = []
    for seed in range(8):
        draw = random.Random(seed)
        pages = rates(draw, 10, "ABCD")
        for page in pages:
            page[0]["krell"] = mark
            for rate in page[1:]:
                rate["krell"] = False if mark is True else None
        found.append(fields_of(search_key(pages_of(pages))))
    assert set(found) == {("zorp", "plim")}


def test_tokens_made_for_each_row_do_not_tell_copies_apart() -> None:
    found = []
    for seed in range(8):
        draw = random.Random(seed)
        pages = [[rate | {"krell": f"{draw.getrandbits(48):x}"} for rate in page] for page in rates(draw, 10)]
        found.append(fields_of(search_key(pages_of(pages))))
    assert set(found) == {("zorp", "plim")}


def test_a_copy_and_a_gap_do_not_rule_out_the_id_of_a_short_list() -> None:
    found = []
    for seed in range(8):
        draw = random.Random(seed)
        flats = [{"zorp": f"{n}K{n * 37}", "plim": f"{n % 3} Zimmer", "preis": 500 + n * 31} for n in range(12)]
        pages = []
        for day in range(12):
            for flat in draw.sample(flats, 3):
                flat["preis"] = draw.randrange(500, 900)
            page = [flat | {"krell": f"Wohnung {n} am See"} for n, flat in enumerate(flats)]
            page = promote(draw, page) if day % 4 else page
            page[-1]["zorp"] = None if day == 5 else page[-1]["zorp"]
            # The text is rewritten now and then.
            page[day]["krell"] = f"Neu {day}"
            pages.append(page)
        found.append(fields_of(search_key(pages_of(pages))))
    assert set(found) == {("zorp",)}
