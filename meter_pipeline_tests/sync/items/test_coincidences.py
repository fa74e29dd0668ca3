"""What items have in common by coincidence, or change at once, does not hide the key beside it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from meter_pipeline.sync.items.keys import KeySearch, find_key, search_key
from meter_pipeline_tests.sync.items.test_keys import candidate, fields_of, pages_of
from meter_pipeline_tests.sync.items.test_rivals import refs_of

Item = dict[str, Any]


def played(draw: random.Random, days: int) -> list[list[Item]]:
    """A league: each team gets points on each day, and stands where another one stood before."""
    teams = [{"zorp": f"{first}{second}o Sund", "pts": draw.randrange(30)} for first in "ABCD" for second in "aeiou"]
    pages = []
    for day in range(days):
        for team in teams:
            team["pts"] += draw.choice([0, 0, 1, 3, 3]) if day else 0
        teams.sort(key=lambda team: (-team["pts"], team["zorp"]))
        pages.append([{"pos": place, **team, "runde": day} for place, team in enumerate(teams, 1)])
    return pages


def forecast(draw: random.Random, days: int) -> list[list[Item]]:
    """Twelve days from today on, with few degrees and few skies."""
    week = [
        {"zorp": f"2026-03-{number:02}", "grad": draw.randint(3, 20), "himmel": draw.choice("abc")}
        for number in range(1, 13 + days // 3)
    ]
    pages = []
    for today in range(days):
        for day in week:
            day["grad"] += draw.choice([-1, 0, 1])
            if draw.random() < 0.3:
                day["himmel"] = draw.choice("abc")
        pages.append([dict(day) for day in week[today // 3 : today // 3 + 12]])
    return pages


def booked(draw: random.Random, days: int) -> list[list[Item]]:
    """Rooms of hotels whose prices move, and meet those of other rooms."""
    prices = [draw.randint(60, 200) for _ in range(12)]
    pages = []
    for _ in range(days):
        prices = [price + draw.randint(-15, 15) if draw.random() < 0.6 else price for price in prices]
        rooms = ["Ein", "Zwei", "Drei", "Vier"]
        pages.append(
            [{"haus": "abc"[n // 4], "raum": rooms[n % 4], "eur": f"{price} €"} for n, price in enumerate(prices)]
        )
    return pages


def matched(draw: random.Random, days: int) -> list[list[Item]]:
    """Twenty matches of twenty teams, two of which are played each day; their odds move."""
    names = [f"{first}{second}o Sund" for first in "ABCD" for second in "aeiou"]
    pairs = list(dict.fromkeys(tuple(draw.sample(names, 2)) for _ in range(20 + 2 * days)))
    matches = [{"heim": home, "gast": guest, "quote": f"{draw.uniform(1, 5):.2f}"} for home, guest in pairs]
    pages = []
    for today in range(days):
        for match in matches:
            if draw.random() < 0.5:
                match["quote"] = f"{draw.uniform(1, 5):.2f}"
        pages.append([dict(match) for match in matches[2 * today : 2 * today + 20]])
    return pages


@pytest.mark.parametrize(
    ("make", "days", "expected"),
    [(played, 10, ("zorp",)), (forecast, 12, ("zorp",)), (booked, 10, ("haus", "raum"))],
)
def test_numbers_that_meet_those_of_another_item_do_not_hide_the_key(
    make: Callable[[random.Random, int], list[list[Item]]], days: int, expected: tuple[str, ...]
) -> None:
    found = [fields_of(search_key(pages_of(make(random.Random(seed), days)))) for seed in range(24)]
    assert set(found) <= {expected, None}
    assert found.count(expected) >= 16


def test_two_fields_of_few_items_that_would_not_repeat_in_any_case_are_a_key_once_enough_items_came() -> None:
    found = [fields_of(search_key(pages_of(matched(random.Random(seed), 8)))) for seed in range(24)]
    assert set(found) <= {("heim", "gast"), None}
    assert found.count(("heim", "gast")) >= 20


def test_a_rank_whose_items_move_is_still_refuted_by_them() -> None:
    for seed in range(12):
        found = candidate(search_key(pages_of(played(random.Random(seed), 10))), "pos")
        assert found.verdict == "refused"


def test_a_number_that_pairs_few_items_says_nothing_of_the_others() -> None:
    # Free places of five car parks: four times in sixteen days a number of the day before comes back, once elsewhere.
    free = [[280, 140, 113, 88, 60]]
    for day in range(1, 16):
        free.append([number + 7 * day % 11 + place + 1 for place, number in enumerate(free[-1])])
    free[4][1], free[8][2], free[12][3], free[14][0] = free[3][1], free[7][2], free[11][3], free[13][4]
    names = ["Mitte", "Oper", "Messe", "Hafen", "Zoo"]
    pages = [[{"zorp": name, "frei": number} for name, number in zip(names, day, strict=True)] for day in free]
    assert fields_of(search_key(pages_of(pages))) == ("zorp",)


def edited(draw: random.Random, days: int, rewritten: float, *, places: bool = False) -> list[list[Item]]:
    """News that come and go, whose titles are rewritten now and then while their comments grow most of the time."""
    stock: list[Item] = []
    pages = []
    for _ in range(days):
        stock = [item for item in stock if draw.random() < 0.7]
        while len(stock) < 40:
            marks = draw.getrandbits(40), draw.getrandbits(40)
            stock.insert(0, {"zorp": f"/news/{marks[0]:x}", "satz": f"Satz {marks[1]:x}", "n": draw.randint(0, 900)})
        for item in stock:
            if draw.random() < rewritten:
                item["satz"] = f"Satz {draw.getrandbits(40):x}"
            if draw.random() < 0.7:
                item["n"] += draw.randint(1, 50)
        pages.append([{**item, "zorp": f"/ort/{place}x"} if places else dict(item) for place, item in enumerate(stock)])
    return pages


def test_a_title_that_is_rewritten_while_a_number_moves_does_not_make_another_item() -> None:
    for seed in range(12):
        assert fields_of(search_key(pages_of(edited(random.Random(seed), 6, 0.08)))) == ("zorp",), seed


def test_a_place_under_which_other_news_come_is_no_key() -> None:
    for seed in range(12):
        search = search_key(pages_of(edited(random.Random(seed), 6, 0.0, places=True)))
        assert fields_of(search) in (("satz",), None), seed


def test_a_picture_that_changes_with_the_price_does_not_make_another_item() -> None:
    for seed in range(12):
        draw = random.Random(seed)
        goods = [{"zorp": f"Ware {number * 7919:x}", "eur": f"{number}.50", "tag": number} for number in range(14)]
        pages = []
        for _ in range(10):
            for good in goods:
                good["tag"] += 1
                if draw.random() < 0.05:
                    good["eur"] = f"{draw.randint(50, 999)}.50"
            pages.append([{"bild": f"/b/{float(good['eur']).hex()}.jpg", **good} for good in goods])
        assert fields_of(search_key(pages_of(pages))) == ("zorp",), seed


@pytest.mark.parametrize("seed", range(6))
def test_items_that_stay_as_they_are_do_not_hide_the_key(seed: int) -> None:
    draw = random.Random(seed)
    page = [{"satz": draw.choice(["Notes", "Usage"]), "zorp": f"#part-{n}", "text": f"a {n}"} for n in range(20)]
    pages = [page]
    for _ in range(5):
        # An item that stays is the same object, as where jobs are read.
        page = [{**part, "text": f"{part['text']} b"} if draw.random() < 0.12 else part for part in page]
        pages.append(page)
    assert fields_of(search_key(pages_of(pages))) == ("zorp",)


def test_a_picture_that_was_the_key_while_a_title_was_in_doubt_makes_way_for_it() -> None:
    keys = set()
    for seed in range(12):
        draw = random.Random(seed)
        goods = [{"satz": f"Satz {draw.getrandbits(40):x}", "eur": 100 + number} for number in range(12)]
        samples, known = [], KeySearch()
        for day in range(20):
            if day == 2:
                goods[seed]["satz"] += "!"
            for good in goods:
                if day and draw.random() < 0.05:
                    good["eur"] = draw.randint(200, 2000)
            page = [
                {**good, "bild": f"/b/{good['satz'][5:]}{good['eur']}.jpg", "eur": good["eur"] + 0.5, "tag": day}
                for good in goods
            ]
            samples = pages_of([*(sample.values for sample in samples), page])
            by_job = {sample.job_id: sample for sample in samples}
            known = find_key(refs_of(samples), lambda jobs: [by_job[job.job_id] for job in jobs], known)  # noqa: B023
            keys.add(fields_of(known))
        assert fields_of(known) == ("satz",), seed
    assert ("bild",) in keys
