"""Changes that may be right or wrong are flagged: the job is accepted, and a finding says what to look at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from random import Random

import pytest

from meter_pipeline.sync.audit.findings import ACCEPTED, FLAGGED, HELD
from meter_pipeline_tests.sync.audit.pages import Item, Page, judge_after, named, shop, spoil

Change = Callable[[Item], Item]


def price(item: Item) -> float:
    return float(item["price"][1:].replace(",", ""))


def priced(spell: Callable[[float], str]) -> Change:
    return lambda item: item | {"price": spell(price(item))}


@pytest.mark.parametrize(
    ("spell", "outcome"),
    [
        (lambda amount: f"GBP {amount:,.2f}", FLAGGED),
        (lambda amount: f"{amount:,.2f} GBP", FLAGGED),
        (lambda amount: f"EUR {amount:,.2f}", HELD),
        (lambda amount: f"GBP {amount * 1.17:,.2f}", HELD),
    ],
)
def test_a_currency_may_be_spelled_otherwise_and_may_not_be_another_one(
    spell: Callable[[float], str], outcome: str
) -> None:
    *days, last = shop(8)
    verdict = judge_after(days, spoil(last, priced(spell)))
    assert verdict.outcome == outcome
    assert ("unit", "price") in named(verdict)


def test_digits_beside_the_same_currency_may_not_be_written_otherwise() -> None:
    *days, last = shop(8)
    exchanged = str.maketrans(".,", ",.")
    verdict = judge_after(days, spoil(last, priced(lambda amount: f"£{amount:,.2f}".translate(exchanged))))
    assert verdict.outcome == HELD
    assert ("pattern", "price") in named(verdict)


@pytest.mark.parametrize(
    ("address", "outcome"),
    [
        ("https://m2.img.shop.example/{}.jpg?w=400", FLAGGED),
        ("/i/{}.jpg?w=400", HELD),
        ("https://img.shop.example/loading/{}?of={}", HELD),
    ],
)
def test_images_may_move_to_another_host_and_may_not_lose_it(address: str, outcome: str) -> None:
    chance = Random(3)
    names = {number: f"{chance.getrandbits(40):x}" for number in range(60)}
    *days, last = [
        [item | {"image": f"https://img.shop.example/i/{names[number]}.jpg"} for number, item in enumerate(day)]
        for day in shop(8)
    ]
    moved = [item | {"image": address.format(names[number], number)} for number, item in enumerate(last)]
    verdict = judge_after(days, moved)
    assert verdict.outcome == outcome
    assert {field for _, field in named(verdict)} == {"image"}


@pytest.mark.parametrize(("factor", "outcome"), [(1.06, FLAGGED), (1.1, FLAGGED), (1.15, HELD), (0.93, HELD)])
def test_a_rise_of_all_prices_by_a_tenth_or_less_is_a_doubt(factor: float, outcome: str) -> None:
    *days, last = shop(8)
    verdict = judge_after(days, spoil(last, priced(lambda amount: f"£{amount * factor:,.2f}")))
    assert verdict.outcome == outcome
    assert ("step", "price") in named(verdict)


def test_rounded_rents_that_all_rise_are_not_those_of_other_flats() -> None:
    chance = Random(5)
    rents = chance.sample(range(600, 2600, 25), 70)
    days = [
        [{"flat": f"F{number}", "rent": f"£{rent:,} pcm", "day": day % 2} for number, rent in enumerate(rents)]
        for day in range(8)
    ]
    risen = [item | {"rent": f"£{round(rents[place] * 1.06 / 25) * 25:,} pcm"} for place, item in enumerate(days[7])]
    verdict = judge_after(days[:7], risen)
    assert verdict.outcome != HELD
    slid = [item | {"rent": days[7][place - 1]["rent"]} for place, item in enumerate(days[7])]
    assert ("other item", "rent") in named(judge_after(days[:7], slid))


@pytest.mark.parametrize("seed", range(4))
def test_list_prices_in_place_of_prices_are_seen_beside_the_usual_changes_of_many_days(seed: int) -> None:
    *days, last = shop(16, seed=seed)
    chance = Random(seed)
    higher = spoil(
        last,
        lambda item: (
            item
            | {
                "price": f"£{price(item) / chance.choice([0.5, 0.7, 0.8, 0.9]):,.2f}"
                if chance.random() < 0.6
                else item["price"]
            }
        ),
    )
    verdict = judge_after(days, higher)
    assert verdict.outcome == FLAGGED
    assert ("partial", "price") in named(verdict)


def test_prices_that_move_every_day_may_not_move_by_factors_of_all_sizes() -> None:
    chance = Random(2)
    fares = {number: chance.uniform(40, 900) for number in range(60)}
    days = []
    for _ in range(11):
        days.append([{"flight": f"LH{number}", "fare": f"£{fare:.2f}"} for number, fare in fares.items()])
        fares = {number: fare * chance.uniform(0.9, 1.11) for number, fare in fares.items()}
    sizes = (0.2, 0.25, 0.5, 0.7, 1, 1.5, 2, 6)
    per_unit = [item | {"fare": f"£{float(item['fare'][1:]) / chance.choice(sizes):.2f}"} for item in days[10]]
    verdict = judge_after(days[:10], per_unit)
    assert verdict.outcome == FLAGGED
    assert named(verdict) == {("partial", "fare")}


def test_temperatures_around_zero_have_no_factor() -> None:
    chance = Random(4)
    own = [chance.gauss(0, 1.2) for _ in range(40)]
    middles = [7, 7.5, 8, 7.2, 7.9, 7.4, 6.8, 7.6, 7.1, 1.5]
    days = [
        [
            {"station": f"S{number}", "celsius": round(middle + shift + chance.gauss(0, 0.8), 1)}
            for number, shift in enumerate(own)
        ]
        for middle in middles
    ]
    assert HELD not in {verdict.outcome for verdict in Page().scrape_all(days)}


def test_a_state_that_no_item_is_out_of_any_more_is_a_doubt() -> None:
    *days, last = shop(8, items=150)
    verdict = judge_after(days, spoil(last, lambda item: item | {"in_stock": True}))
    assert (verdict.outcome, named(verdict)) == (FLAGGED, {("equal", "in_stock")})


def test_numbers_that_name_items_do_not_change() -> None:
    *days, last = [
        [item | {"ean": f"40{17 * number:05}{number:06}"} for number, item in enumerate(day)] for day in shop(8)
    ]
    verdict = judge_after(days, spoil(last, lambda item: item | {"ean": str(int(item["ean"]) + 500_000)}))
    assert (verdict.outcome, named(verdict)) == (FLAGGED, {("changed", "ean")})


def test_an_old_page_is_seen_after_a_day_on_which_items_only_went() -> None:
    days = [shop(1, items=90)[0][2 * day : 2 * day + 50] for day in range(9)]
    days.append(days[-1][3:])
    verdict = judge_after(days, days[5])
    assert named(verdict) == {("stale", None)}


def test_counts_that_started_again_are_a_doubt() -> None:
    chance = Random(1)
    views = [chance.randrange(100, 90_000) for _ in range(50)]
    days = []
    for _ in range(10):
        days.append([{"thread": f"T{number}", "views": seen} for number, seen in enumerate(views)])
        views = [seen + chance.randrange(300) for seen in views]
    verdict = judge_after(days, [item | {"views": chance.randrange(4)} for item in days[-1]])
    assert (verdict.outcome, named(verdict)) == (FLAGGED, {("distinct", "views")})


def counted(days: int, growth: int) -> list[list[Item]]:
    """Threads whose views grow from day to day."""
    chance = Random(7)
    views = [chance.randrange(2_000, 90_000) for _ in range(50)]
    result = []
    for _ in range(days):
        result.append([{"thread": f"T{number}", "views": seen} for number, seen in enumerate(views)])
        views = [seen + chance.randrange(growth) for seen in views]
    return result


@pytest.mark.parametrize("share", [0.1, 0.6, 0.97])
def test_what_has_only_grown_does_not_fall_to_a_share_of_itself(share: float) -> None:
    *days, last = counted(9, 300)
    fallen = [item | {"views": round(item["views"] * share)} for item in last]
    assert ("step", "views") in named(judge_after(days, fallen))


def test_counts_of_a_month_start_again() -> None:
    days = [[item | {"views": item["views"] * (1 + day % 12) + day} for item in counted(1, 2)[0]] for day in range(13)]
    assert judge_after(days[:12], days[12]).outcome == ACCEPTED


def test_numbers_that_all_grow_by_one_are_no_step_and_by_a_tenth_are_one() -> None:
    chance = Random(3)
    weeks = [chance.randrange(12, 60) for _ in range(80)]
    days = [
        [{"title": f"Song {number}", "weeks": count + day // 7} for number, count in enumerate(weeks)]
        for day in range(15)
    ]
    assert {verdict.outcome for verdict in Page().scrape_all(days)} == {ACCEPTED}
    higher = [item | {"weeks": round(item["weeks"] * 1.1)} for item in days[5]]
    assert ("step", "weeks") in named(judge_after(days[:5], higher))


def test_the_one_price_of_a_page_does_not_become_a_hundred_times_itself() -> None:
    days = [[{"title": "Nordic oak desk", "price": f"£{149 + day // 3}.00", "stock": 20 - day}] for day in range(9)]
    verdict = judge_after(days[:8], [days[8][0] | {"price": "£15100.00"}])
    assert ("step", "price") in named(verdict)


def test_large_numbers_of_all_sizes_are_no_names_of_items() -> None:
    chance = Random(8)
    people = [round(10 ** chance.uniform(4, 8)) for _ in range(60)]
    days = [
        [
            {"country": f"C{number}", "people": round(count * (1 + day // 6 / 200))}
            for number, count in enumerate(people)
        ]
        for day in range(8)
    ]
    assert ("changed", "people") not in named(judge_after(days[:6], days[6]))
    slid = [item | {"people": days[7][place - 1]["people"]} for place, item in enumerate(days[7])]
    page = Page()
    page.scrape_all(days[:7])
    assert ("other item", "people") in named(page.scrape(slid))


@pytest.mark.parametrize(
    "advertise",
    [
        lambda item: dict.fromkeys(item) | {"title": "Sponsored", "url": "https://ads.example/x", "in_stock": True},
        lambda item: dict.fromkeys(item, "Sponsored: our best offers"),
    ],
)
def test_advertisements_in_a_list_that_never_had_any_are_a_doubt(advertise: Change) -> None:
    *days, last = shop(8)
    mixed = [
        entry for place, item in enumerate(last) for entry in ([item, advertise(item)] if place % 9 == 4 else [item])
    ]
    verdict = judge_after(days, mixed)
    assert verdict.outcome == FLAGGED
    assert ("sparse", "price") in named(verdict)


def dated(days: int, spell: Callable[[date], str]) -> list[list[Item]]:
    """Courses with a date each, which does not change; some end and others come."""
    chance = Random(9)
    starts = [date(2025, 9, 1) + timedelta(chance.randrange(300)) for _ in range(80 + days)]
    return [
        [{"course": f"K{number}", "fee": 90 + day, "starts": spell(starts[number])} for number in range(day, day + 80)]
        for day in range(days)
    ]


SPELLINGS: tuple[tuple[Callable[[date], str], Callable[[date], str]], ...] = (
    (lambda day: f"{day:%d/%m/%Y}", lambda day: f"{day:%m/%d/%Y}"),
    (lambda day: f"{day:%m/%d/%Y %H:%M}", lambda day: f"{day:%d/%m/%Y %H:%M}"),
    (lambda day: f"{day.day}.{day.month}.{day.year}", lambda day: f"{day.month}.{day.day}.{day.year}"),
    (lambda day: day.isoformat(), lambda day: f"{day:%Y-%d-%m}"),
)


@pytest.mark.parametrize(("spell", "swap"), SPELLINGS)
def test_days_and_months_of_dates_are_not_exchanged(spell: Callable[[date], str], swap: Callable[[date], str]) -> None:
    def spell_where_valid(day: date) -> str:
        return swap(day) if day.day <= 12 else spell(day)

    *days, _ = dated(8, spell)
    for other in (swap, spell_where_valid):
        verdict = judge_after(days, dated(8, other)[-1])
        assert verdict.outcome != ACCEPTED
        assert {field for _, field in named(verdict)} == {"starts"}


@pytest.mark.parametrize(
    "spell",
    [
        lambda day: f"{day:%d/%m/%Y}",
        lambda day: f"{day.day} {day:%b %Y}",
        lambda day: f"{day.day}. {('März', 'April', 'Mai')[day.month % 3]} {day.year}",
        lambda day: f"{day:%B} {day.day}, {day.year}",
    ],
)
@pytest.mark.parametrize("years", [-55, 30])
def test_dates_in_words_are_not_of_another_time(spell: Callable[[date], str], years: int) -> None:
    *days, _ = dated(8, spell)
    verdict = judge_after(
        days, dated(8, lambda day: spell(day.replace(year=day.year + years, day=1 + day.day % 28)))[-1]
    )
    assert verdict.outcome == HELD
    assert ("date", "starts") in named(verdict)


def test_the_date_that_a_whole_table_is_of_moves_on() -> None:
    days = [[item | {"as_of": f"{10 + day // 8}.09.2025"} for item in items] for day, items in enumerate(shop(12))]
    assert {verdict.outcome for verdict in Page().scrape_all(days)} == {ACCEPTED}


@pytest.mark.parametrize(("factor", "is_seen"), [(1.15, True), (1.04, True), (1.1, False)])
def test_rounded_shares_that_move_every_day_have_no_more_decimals_than_ever(factor: float, is_seen: bool) -> None:
    chance = Random(12)
    days = [
        [
            {"browser": f"B{number}", "share": round(chance.uniform(0.2, 3), 3) if number % 2 else 0}
            for number in range(60)
        ]
        for _ in range(8)
    ]
    places = 5 if is_seen else 3
    multiplied = [item | {"share": round(item["share"] * factor, places)} for item in days[7]]
    found = named(judge_after(days[:7], multiplied))
    assert (("pattern", "share") in found) == is_seen


def test_decimal_and_group_marks_are_not_exchanged() -> None:
    *days, last = shop(8)
    verdict = judge_after(days, spoil(last, lambda item: item | {"price": item["price"].translate({44: ".", 46: ","})}))
    assert (verdict.outcome, named(verdict)) == (HELD, {("pattern", "price")})


def test_a_price_on_request_is_no_advertisement() -> None:
    *days, last = shop(8)
    asked = [item | {"price": "on request"} if place % 9 == 4 else item for place, item in enumerate(last)]
    assert judge_after(days, asked).outcome == ACCEPTED


def test_amounts_of_money_are_not_zero_if_they_never_were() -> None:
    *days, last = shop(8)
    free = [item | {"price": "£0.00"} if place % 4 == 0 else item for place, item in enumerate(last)]
    verdict = judge_after(days, free)
    assert (verdict.outcome, named(verdict)) == (FLAGGED, {("sign", "price")})


@pytest.mark.parametrize("title", ["Nor", "Nordic oak desk £149.00 4.2 of 5 31 reviews in stock delivered in two days"])
def test_the_title_on_the_page_of_one_product_keeps_its_length(title: str) -> None:
    days = [[{"title": "Nordic oak desk", "price": f"£14{day}.00", "stock": 20 - day}] for day in range(8)]
    verdict = judge_after(days[:7], [days[7][0] | {"title": title}])
    assert ("length", "title") in named(verdict)


@pytest.mark.parametrize(("left", "outcome"), [(1, FLAGGED), (0, HELD)])
def test_most_notes_of_a_short_list_may_go_at_once_and_not_all(left: int, outcome: str) -> None:
    def gauges(day: int, notes: int) -> list[Item]:
        return [
            {"name": f"gauge {place}", "level": 100 + place + day, "note": "calibrated" if place < notes else None}
            for place in range(11)
        ]

    verdict = judge_after([gauges(day, 7) for day in range(12)], gauges(12, left))
    assert verdict.outcome == outcome
    assert ("filled", "note") in named(verdict)
