"""What sites do by themselves, to all items at once, is at most a doubt; what looks like it and is broken is held."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import pytest

from meter_pipeline.sync.audit.findings import ACCEPTED, FLAGGED, HELD
from meter_pipeline_tests.sync.audit.pages import Item, Page, judge_after, named, shop, spoil


def price(item: Item) -> float:
    return float(item["price"][1:].replace(",", ""))


@pytest.mark.parametrize(("hours", "outcome"), [(1, FLAGGED), (-1, FLAGGED), (9, FLAGGED), (24, HELD), (-72, HELD)])
def test_all_times_may_be_those_of_another_zone_and_not_of_another_day(hours: int, outcome: str) -> None:
    chance = Random(6)
    times = [datetime(2025, 8, 1) + timedelta(minutes=chance.randrange(40_000)) for _ in range(80)]

    def listed(day: int, later: timedelta = timedelta()) -> list[Item]:
        return [
            {"ad": f"A{number}", "since": f"{times[number] + later:%Y-%m-%dT%H:%M:%SZ}"} for number in range(day, 70)
        ]

    verdict = judge_after([listed(day) for day in range(7)], listed(7, timedelta(hours=hours)))
    assert verdict.outcome == outcome
    assert named(verdict) == {("dates", "since")}


@pytest.mark.parametrize(
    ("jobs", "first", "outcome"),
    [(12, (0, 0, 0), FLAGGED), (12, (0, 0, 3), FLAGGED), (12, (3, 4, 5), HELD), (4, (0, 0, 3), HELD)],
)
def test_counts_that_few_items_gain_may_start_again_at_zero(jobs: int, first: tuple[int, ...], outcome: str) -> None:
    chance = Random(4)
    points = [chance.randrange(20, 90) for _ in range(40)]
    days = []
    for _ in range(jobs):
        days.append([{"team": f"Team {number}", "points": count} for number, count in enumerate(points)])
        points = [count + (3 if chance.random() < 0.2 else 0) for count in points]
    verdict = judge_after(days, [item | {"points": first[number % 3]} for number, item in enumerate(days[-1])])
    assert verdict.outcome == outcome
    assert {field for _, field in named(verdict)} == {"points"}


@pytest.mark.parametrize(("unit", "outcome"), [(1, HELD), (0.17, ACCEPTED)])
def test_whole_counts_do_not_start_again_with_fractions_and_sums_may(unit: float, outcome: str) -> None:
    def summed(day: int, scale: float = 1.0) -> list[Item]:
        return [{"song": f"S{n}", "sum": round((900 + 37 * n + 5 * day) * unit * scale, 4)} for n in range(40)]

    verdict = judge_after([summed(day) for day in range(9)], summed(9, 0.01))
    assert (("step", "sum") in named(verdict)) == (outcome == HELD)


def test_prices_do_not_start_again() -> None:
    *days, last = shop(10)
    assert judge_after(days, spoil(last, lambda item: item | {"price": "£0.00"})).outcome == HELD
    assert judge_after(days, spoil(last, lambda item: item | {"price": f"£{1 + price(item) % 3:.2f}"})).outcome == HELD
    bids = [
        [item | {"bid": f"£{40.25 + 1.1 * (day + number):.2f}"} for number, item in enumerate(shop(1)[0])]
        for day in range(8)
    ]
    assert judge_after(bids[:7], spoil(bids[7], lambda item: item | {"bid": "£0.00"})).outcome == HELD


def test_few_small_counts_are_not_those_of_other_items() -> None:
    chance = Random(3)
    replies = [round(10 ** chance.uniform(0.5, 3.5)) for _ in range(40)]
    days = [
        [{"thread": f"T{number}", "replies": count, "day": day} for number, count in enumerate([*replies, 0, 1, 2, 3])]
        for day in range(8)
    ]
    started = [item | {"replies": number % 4} for number, item in enumerate(days[7])]
    assert ("other item", "replies") not in named(judge_after(days[:7], started))
    slid = [item | {"replies": days[7][place - 1]["replies"]} for place, item in enumerate(days[7])]
    assert ("other item", "replies") in named(judge_after(days[:7], slid))


def discounted(item: Item, least: float, most: float) -> Item:
    """An item with a discount of its own, by its name."""
    factor = Random(item["url"]).uniform(least, most)
    return item | {"price": f"£{price(item) * factor:,.2f}"}


def test_a_sale_may_have_another_discount_for_each_item_and_not_a_price_of_another_kind() -> None:
    *days, last = shop(8)
    sale = judge_after(days, [discounted(item, 0.55, 0.8) for item in last])
    assert (sale.outcome, {field for _, field in named(sale)}) == (FLAGGED, {"price"})
    for least, most in ((0.3, 1.9), (0.02, 0.04), (1.6, 2.2)):
        other = judge_after(days, [discounted(item, least, most) for item in last])
        assert other.outcome != ACCEPTED
        assert ("step", "price") in named(other) or ("partial", "price") in named(other)
    assert judge_after(days, [discounted(item, 0.63, 0.63) for item in last]).outcome == HELD


def test_prices_that_are_rounded_repeat_and_are_a_doubt() -> None:
    chance = Random(2)
    fees = [round(chance.uniform(5, 20), 2) for _ in range(30)]
    days = [[{"plan": f"P{number}", "fee": fee, "day": day} for number, fee in enumerate(fees)] for day in range(8)]
    whole = [round(fee) for fee in fees]
    rounded = judge_after(days[:7], [item | {"fee": fee} for item, fee in zip(days[7], whole, strict=True)])
    assert (rounded.outcome, named(rounded)) == (FLAGGED, {("distinct", "fee")})
    steps = [1000 * (fee // 5) for fee in whole]
    repeated = judge_after(days[:7], [item | {"fee": fee} for item, fee in zip(days[7], steps, strict=True)])
    assert repeated.outcome == HELD


@pytest.mark.parametrize("length", [24, 50, 120])
def test_every_other_item_of_a_list_that_keeps_its_items_is_missed(length: int) -> None:
    days = [shop(1, items=length + 9)[0][day % 3 : day % 3 + length + day % 2] for day in range(8)]
    verdict = judge_after(days[:7], days[7][::2])
    assert verdict.outcome == FLAGGED
    assert named(verdict) == {("items", None)}


def test_values_that_slide_up_over_the_gaps_of_their_column_are_held_and_a_list_with_these_last_is_not() -> None:
    chance = Random(11)
    rated = [None if chance.random() < 0.3 else round(chance.uniform(3, 5), 1) for _ in range(50)]
    *days, last = [
        [item | {"rating": rating} for item, rating in zip(day, rated, strict=True)] for day in shop(8, items=50)
    ]
    values = [rating for rating in rated if rating is not None]
    slid = [item | {"rating": values[place] if place < len(values) else None} for place, item in enumerate(last)]
    verdict = judge_after(days, slid)
    assert verdict.outcome == HELD
    assert ("other item", "rating") in named(verdict)
    ordered = sorted(last, key=lambda item: item["rating"] is None)
    assert judge_after(days, ordered).outcome == ACCEPTED
    # Other items may be rated another day.
    others = [item | {"rating": last[place - 1]["rating"]} for place, item in enumerate(last)]
    assert ("other item", "rating") not in named(judge_after(days, others))


@pytest.mark.parametrize(
    ("address", "outcome"),
    [
        ("https://shop.example/p/{}?ref=list", FLAGGED),
        ("https://shop.example/p/{0}?utm_source=list&pos={0}#top", FLAGGED),
        ("https://shop.example/cart?add={}", HELD),
        ("/p/{}?ref=list", HELD),
    ],
)
@pytest.mark.parametrize("is_key", [True, False])
def test_addresses_may_get_a_query_and_not_another_path(address: str, outcome: str, is_key: bool) -> None:
    *days, last = [
        [item if is_key else item | {"sku": f"N{number}"} for number, item in enumerate(day)] for day in shop(8)
    ]
    verdict = judge_after(days, [item | {"url": address.format(number)} for number, item in enumerate(last)])
    assert verdict.outcome == outcome
    assert ("pattern", "url") in named(verdict)


def test_a_query_that_was_a_doubt_is_not_held_in_the_next_job_whose_samples_do_not_show_it() -> None:
    *days, last = shop(8)
    with_query = [item | {"url": f"https://shop.example/p/{number}?ref=list"} for number, item in enumerate(last)]
    beyond = [item | {"url": f"https://shop.example/p/{number:045}?ref=list"} for number, item in enumerate(last)]
    assert judge_after(days, beyond).outcome == HELD
    page = Page()
    assert page.scrape_all([*days, with_query])[-1].outcome == FLAGGED
    assert page.scrape(beyond).outcome == FLAGGED
