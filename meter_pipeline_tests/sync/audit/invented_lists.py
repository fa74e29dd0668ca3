"""Invented lists of many shapes, day after day, as they change where nothing is wrong: what the audit has to let pass.

Each list is a generator of days; a day is the items of one job. Sizes, numbers as text in several ways, and what comes,
goes and changes differ from list to list.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from meter_pipeline_tests.sync.audit.list_making import (
    FIRST,
    SECOND,
    START,
    TOWNS,
    Days,
    Item,
    english,
    first_number,
    french,
    name,
    sentence,
    simulate,
)
from meter_pipeline_tests.sync.audit.lists_of_goods import (
    cars,
    flights,
    groceries,
    hotels,
    library,
    nested_products,
    real_estate,
    recipes,
    single_page,
    stock_levels,
    tiny_list,
)


def job_board(chance: Random) -> Days:
    """Jobs with pay as text, a third of them new each day."""
    base = first_number(chance)

    def make(number: int) -> dict[str, Any]:
        pay = chance.randrange(30, 120) * 1000
        return {
            "title": f"{chance.choice(['Senior', 'Junior', 'Lead'])} {chance.choice(SECOND)} maker",
            "company": chance.choice(FIRST) + " Ltd",
            "location": chance.choice(TOWNS),
            "salary": f"${pay:,} a year" if chance.random() < 0.7 else None,
            "posted": (START + timedelta(number // 12)).isoformat(),
            "url": f"https://jobs.example/j/{base + number * 7}",
            "remote": chance.random() < 0.4,
            "tags": chance.sample(["full time", "part time", "visa", "bonus", "shift"], 2),
        }

    return simulate(chance, make, 45, churn=0.33)


def weather(chance: Random) -> Days:
    """Stations where every number is another one each day."""
    warm = [0.0]

    def make(number: int) -> dict[str, Any]:
        return {"station": f"{TOWNS[number % 16]} {'North' if number < 16 else 'South'}", "base": chance.gauss(8, 6)}

    def show(day: int, stock: list[dict[str, Any]]) -> list[Item]:
        warm[0] += chance.gauss(0, 1.5) - 0.2 * warm[0]
        return [
            {
                "station": thing["station"],
                "temperature": round(thing["base"] + warm[0] + chance.gauss(0, 2), 1),
                "humidity": chance.randrange(35, 99),
                "wind": f"{chance.randrange(2, 60)} km/h",
                "sky": chance.choice(["clear", "cloudy", "rain", "fog"]),
                "measured": f"{START + timedelta(day)}T06:{chance.randrange(60):02d}:00Z",
            }
            for thing in stock
        ]

    return simulate(chance, make, 26, show=show)


def forum(chance: Random) -> Days:
    """Threads with counters that grow; the busiest come first."""
    base = first_number(chance)

    def make(number: int) -> dict[str, Any]:
        return {
            "thread": sentence(chance, 5),
            "link": f"/t/{base + number}",
            "author": f"user{chance.randrange(400)}",
            "replies": chance.randrange(0, 40),
            "views": chance.randrange(30, 4000),
            "pinned": chance.random() < 0.1,
        }

    def drift(thing: dict[str, Any]) -> None:
        thing["replies"] += int(chance.expovariate(0.3))
        thing["views"] += int(chance.expovariate(0.01))

    return simulate(chance, make, 25, churn=0.4, drift=drift)


def league(chance: Random) -> Days:
    """A table of eighteen teams that play every third day."""

    def make(number: int) -> dict[str, Any]:
        return {"team": f"{TOWNS[number % 16]} {'FC' if number < 16 else 'United'}", "w": 4, "d": 3, "l": 3, "f": 15,
                "a": 14}  # fmt: skip

    def show(day: int, stock: list[dict[str, Any]]) -> list[Item]:
        if day % 3 == 2:
            for thing in stock:
                thing[chance.choice("wwdll")] += 1
                thing["f"] += chance.randrange(4)
                thing["a"] += chance.randrange(4)
        ordered = sorted(stock, key=lambda thing: (-3 * thing["w"] - thing["d"], thing["a"] - thing["f"]))
        return [
            {
                "rank": place,
                "team": thing["team"],
                "played": thing["w"] + thing["d"] + thing["l"],
                "won": thing["w"],
                "drawn": thing["d"],
                "lost": thing["l"],
                "goals": f"{thing['f']}:{thing['a']}",
                "points": 3 * thing["w"] + thing["d"],
            }
            for place, thing in enumerate(ordered, 1)
        ]

    return simulate(chance, make, 18, show=show)


def statistics(chance: Random) -> Days:
    """Rows of texts, as a table is: numbers in the French way."""

    def make(number: int) -> dict[str, Any]:
        return {
            "Région": f"{TOWNS[number % 16]}-{number // 16 + 1}",
            "Habitants": chance.randrange(900, 900_000),
            "Taux": chance.uniform(2, 14),
            "Budget": chance.uniform(20_000, 9_000_000),
        }

    def drift(thing: dict[str, Any]) -> None:
        if chance.random() < 0.15:
            thing["Taux"] += chance.gauss(0, 0.2)
            thing["Habitants"] += chance.randrange(-20, 60)

    def show(_: int, stock: list[dict[str, Any]]) -> list[Item]:
        return [
            {
                "Région": thing["Région"],
                "Habitants": french(thing["Habitants"])[:-3],
                "Taux": f"{french(thing['Taux'])} %",
                "Budget": f"{french(thing['Budget'])} €",
            }
            for thing in stock
        ]

    return simulate(chance, make, 32, drift=drift, show=show)


def headlines(chance: Random) -> Days:
    """Plain texts, half of them new each day."""
    days = simulate(chance, lambda _: {"text": sentence(chance, chance.randrange(4, 9))}, 30, churn=0.5)
    return ([item["text"] for item in day] for day in days)


def rows_of_arrays(chance: Random) -> Days:
    """Items that are arrays: a code, a name and a number as text."""
    base = first_number(chance)

    def drift(thing: dict[str, Any]) -> None:
        if chance.random() < 0.2:
            thing["value"] *= chance.uniform(0.97, 1.03)

    days = simulate(
        chance,
        lambda number: {"code": f"{chance.choice('ABC')}{base // 1000 + number:05d}", "name": name(chance),
                        "value": chance.uniform(10, 5000)},
        36,
        drift=drift,
    )  # fmt: skip
    return ([[item["code"], item["name"], english(item["value"])] for item in day] for day in days)


def exchange_rates(chance: Random) -> Days:
    """Rates that all move a little each day, with the day's date."""

    def make(number: int) -> dict[str, Any]:
        return {
            "currency": f"{'ABCDEFGHIJKLMNOPQRST'[number % 20]}{'XYZ'[number % 3]}D",
            "rate": chance.uniform(0.01, 90),
        }

    def drift(thing: dict[str, Any]) -> None:
        thing["rate"] *= chance.gauss(1, 0.004)

    def show(day: int, stock: list[dict[str, Any]]) -> list[Item]:
        on = (START + timedelta(day)).isoformat()
        return [{"currency": thing["currency"], "rate": round(thing["rate"], 5), "date": on} for thing in stock]

    return simulate(chance, make, 20, drift=drift, show=show)


def coins(chance: Random) -> Days:
    """Coins with prices that swing, gains with signs, and a rank."""

    def make(number: int) -> dict[str, Any]:
        return {"coin": f"{chance.choice(FIRST)}coin {number}", "price": 10 ** chance.uniform(-2, 4), "units": 10 ** chance.uniform(6, 9)}  # noqa: E501  # fmt: skip

    def show(_: int, stock: list[dict[str, Any]]) -> list[Item]:
        mood, rows = chance.gauss(0, 0.02), []
        for thing in stock:
            gain = chance.gauss(mood, 0.04)
            thing["price"] *= 1 + gain
            cap = thing["price"] * thing["units"]
            rows.append((cap, thing["coin"], thing["price"], gain))
        return [
            {
                "rank": rank,
                "coin": coin,
                "price": f"${price:,.2f}",
                "gain": f"{100 * gain:+.2f}%",
                "cap": f"${cap:,.0f}",
            }
            for rank, (cap, coin, price, gain) in enumerate(sorted(rows, reverse=True), 1)
        ]

    return simulate(chance, make, 50, show=show)


def events(chance: Random) -> Days:
    """Events with dates in the British way, of which the past ones go."""
    base = first_number(chance)

    def make(number: int) -> dict[str, Any]:
        starts = START + timedelta(max(0, number // 3) + chance.randrange(0, 20))
        return {
            "title": sentence(chance, 4),
            "venue": chance.choice(TOWNS) + " Hall",
            "starts": starts.strftime("%d/%m/%Y"),
            "price": f"from £{chance.randrange(5, 80)}",
            "sold_out": chance.random() < 0.15,
            "image": f"https://cdn.example/e/{base + number}.webp",
        }

    def drift(thing: dict[str, Any]) -> None:
        thing["sold_out"] = thing["sold_out"] or chance.random() < 0.01

    return simulate(chance, make, 34, churn=0.08, drift=drift, on_top=False)


def news(chance: Random) -> Days:
    """Articles with long texts and relative times, most of them new each day."""
    base = first_number(chance)

    def make(number: int) -> dict[str, Any]:
        return {
            "headline": sentence(chance, 7),
            "summary": sentence(chance, chance.randrange(15, 40)) + ".",
            "url": f"https://news.example/{base + number}",
            "author": chance.choice(FIRST) + " " + chance.choice(TOWNS) if chance.random() < 0.6 else None,
            "published": "",
        }

    def show(_: int, stock: list[dict[str, Any]]) -> list[Item]:
        return [thing | {"published": f"{place // 3 + 1} hours ago"} for place, thing in enumerate(stock)]

    return simulate(chance, make, 30, churn=0.7, show=show)


def _counted(chance: Random, size: Callable[[int], int], make: Callable[[int], dict[str, Any]]) -> Days:
    number = day = 0
    while True:
        count = size(day)
        yield [make(number + place) for place in range(count)]
        number += count
        day += 1


def notices(chance: Random) -> Days:
    """None to a dozen notices a day, all of them new."""
    base = first_number(chance)

    def make(number: int) -> dict[str, Any]:
        return {"notice": f"N-{base + number}", "about": sentence(chance, 6), "office": chance.choice(TOWNS)}

    return _counted(chance, lambda _: chance.choice([0, 0, 1, 2, 3, 4, 6, 8, 12]), make)


def outages(chance: Random) -> Days:
    """Outages of the last day: one or two, often none."""
    base = first_number(chance)

    def make(number: int) -> dict[str, Any]:
        return {"id": base + number, "place": chance.choice(TOWNS), "homes": chance.randrange(20, 4000)}

    return _counted(chance, lambda _: sum(chance.random() < 0.3 for _ in range(5)), make)


def earthquakes(chance: Random) -> Days:
    """The twenty latest quakes."""

    def make(number: int) -> dict[str, Any]:
        moment = START + timedelta(number / 12)
        return {
            "magnitude": round(chance.expovariate(1.2) + 2, 1),
            "place": f"{chance.randrange(3, 90)} km {chance.choice('NESW')} of {chance.choice(TOWNS)}",
            "time": f"{moment.isoformat()}T{chance.randrange(24):02d}:{chance.randrange(60):02d}:09+00:00",
            "depth": f"{chance.randrange(1, 120)} km",
        }

    return simulate(chance, make, 20, churn=0.6)


def branches(chance: Random) -> Days:
    """Branches of a bank: hardly anything changes."""

    def make(number: int) -> dict[str, Any]:
        return {
            "branch": f"{TOWNS[number % 16]} {number}",
            "address": f"{chance.randrange(1, 90)} {chance.choice(FIRST)} Road",
            "phone": f"+44 20 7946 {chance.randrange(1000, 9999)}",
            "position": {"lat": round(chance.uniform(36, 64), 5), "lon": round(chance.uniform(-9, 25), 5)},
            "open": chance.choice(["Mo-Fr 9-17", "Mo-Sa 9-13", "Mo-Fr 10-18"]),
            "atm": chance.random() < 0.7,
        }

    return simulate(chance, make, 90, churn=0.001)


#: The lists by name.
LISTS: dict[str, Callable[[Random], Days]] = {
    make.__name__: make
    for make in (
        job_board, flights, weather, forum, real_estate, league, nested_products, statistics, headlines,
        rows_of_arrays, single_page, tiny_list, exchange_rates, coins, events, news, library, cars, recipes,
        groceries, notices, outages, hotels, stock_levels, earthquakes, branches,
    )
}  # fmt: skip
#: Those of which no items are as right as some.
OFTEN_EMPTY = {"notices", "outages"}


def days_of(kind: str, days: int, seed: int = 1) -> list[list[Item]]:
    """The first days of a list."""
    source = LISTS[kind](Random(f"{kind} {seed}"))
    return [next(source) for _ in range(days)]
