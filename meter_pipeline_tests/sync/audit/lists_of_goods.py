"""Invented lists of what is sold, lent or cooked, day after day."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

from meter_pipeline_tests.sync.audit.list_making import (
    FIRST,
    START,
    TOWNS,
    Days,
    Item,
    english,
    first_number,
    french,
    german,
    name,
    sentence,
    simulate,
)


def flights(chance: Random) -> Days:
    """Departures whose fares change daily, the cheapest first."""
    base = first_number(chance) // 1000

    def make(number: int) -> dict[str, Any]:
        return {
            "flight": f"{chance.choice(['LX', 'KF', 'BA'])} {base % 7000 + number * 3}",
            "to": chance.choice(TOWNS),
            "departs": f"{chance.randrange(5, 23):02d}:{chance.choice('0134')}5",
            "fare": chance.randrange(40, 700),
            "duration": f"{chance.randrange(1, 11)}h {chance.randrange(0, 59)}m",
            "stops": chance.choice([0, 0, 1, 2]),
        }

    def drift(thing: dict[str, Any]) -> None:
        if chance.random() < 0.6:
            thing["fare"] = max(19, round(thing["fare"] * chance.uniform(0.88, 1.14)))

    def show(_: int, stock: list[dict[str, Any]]) -> list[Item]:
        return [thing | {"fare": f"€{thing['fare']}"} for thing in sorted(stock, key=lambda thing: thing["fare"])]

    return simulate(chance, make, 40, churn=0.01, drift=drift, show=show)


def real_estate(chance: Random) -> Days:
    """Flats with prices in the German way and an agent each."""
    base = first_number(chance)

    def make(number: int) -> dict[str, Any]:
        agent = chance.choice(FIRST)
        return {
            "address": f"{chance.choice(FIRST)} Street {chance.randrange(1, 200)}, {chance.choice(TOWNS)}",
            "price": f"{german(chance.randrange(90, 1900) * 1000)[:-3]} €",
            "area": f"{chance.randrange(28, 260)} m²",
            "rooms": chance.choice([1, 1.5, 2, 3, 3.5, 4, 5]),
            "url": f"https://homes.example/expose/{base + number * 13}",
            "agent": {"name": f"{agent} Homes", "phone": f"+49 30 {5550000 + FIRST.index(agent) * 1313}"},
            "listed": (START - timedelta(chance.randrange(1, 200))).isoformat(),
        }

    def drift(thing: dict[str, Any]) -> None:
        if chance.random() < 0.01:
            amount = int(thing["price"][:-2].replace(".", ""))
            thing["price"] = f"{german(round(amount * 0.95, -3))[:-3]} €"

    return simulate(chance, make, 60, churn=0.04, drift=drift)


def nested_products(chance: Random) -> Days:
    """Products with objects and arrays within."""
    base = first_number(chance)

    def make(number: int) -> dict[str, Any]:
        title = name(chance)
        return {
            "id": base + number,
            "name": title,
            "price": {"amount": round(chance.uniform(3, 900), 2), "currency": "EUR"},
            "rating": {"average": round(chance.uniform(2.5, 5), 1), "count": chance.randrange(0, 900)},
            "variants": [{"size": size, "stock": chance.randrange(0, 30)} for size in ("S", "M", "L")],
            "images": [f"https://cdn.example/{base + number}/{place}.jpg" for place in range(chance.randrange(1, 5))],
            "available": chance.random() < 0.85,
        }

    def drift(thing: dict[str, Any]) -> None:
        thing["rating"] = thing["rating"] | {"count": thing["rating"]["count"] + (chance.random() < 0.1)}
        for variant in thing["variants"]:
            variant["stock"] = max(0, variant["stock"] - (chance.random() < 0.2)) or chance.choice([0, 20])
        if chance.random() < 0.05:
            thing["price"] = thing["price"] | {"amount": round(thing["price"]["amount"] * chance.uniform(0.9, 1.1), 2)}

    def show(_: int, stock: list[dict[str, Any]]) -> list[Item]:
        return [thing | {"variants": [dict(variant) for variant in thing["variants"]]} for thing in stock]

    return simulate(chance, make, 45, churn=0.02, drift=drift, show=show)


def single_page(chance: Random) -> Days:
    """The page of one product."""
    amount, reviews = chance.uniform(20, 400), chance.randrange(20, 900)
    title, code = name(chance), chance.randrange(10_000)
    while True:
        yield [
            {
                "title": title,
                "price": f"£{amount:,.2f}",
                "reviews": reviews,
                "stock": "In stock",
                "url": f"https://shop.example/p/{code}",
                "description": f"{title}: made to last.",
            }
        ]
        if chance.random() < 0.15:
            amount *= chance.choice([0.9, 0.95, 1.05, 1.1])
        reviews += chance.randrange(0, 3)


def tiny_list(chance: Random) -> Days:
    """Two to five dishes."""

    def make(number: int) -> dict[str, Any]:
        return {"dish": sentence(chance, 3), "price": f"{chance.randrange(7, 22)}.{chance.choice('05')}0", "vegan": chance.random() < 0.5}  # noqa: E501  # fmt: skip

    menu = [make(number) for number in range(8)]
    while True:
        yield [dict(dish) for dish in chance.sample(menu, chance.randrange(2, 6))]


def library(chance: Random) -> Days:
    """Books in several scripts; copies come and go."""
    titles = ("Вечерний сад", "夜の地図", "Η θάλασσα", "Den stille by", "Le vieux port", "The Salt Road")

    def make(number: int) -> dict[str, Any]:
        return {
            "title": f"{chance.choice(titles)} {number}",
            "isbn": f"978{chance.randrange(10**9, 10**10)}",
            "year": chance.randrange(1950, 2025),
            "copies": f"{chance.randrange(0, 3)} of 3",
            "shelf": f"{chance.choice('ABCDE')}-{chance.randrange(100, 999)}",
        }

    def drift(thing: dict[str, Any]) -> None:
        if chance.random() < 0.2:
            thing["copies"] = f"{chance.randrange(0, 4)} of 3"

    return simulate(chance, make, 80, churn=0.005, drift=drift)


def cars(chance: Random) -> Days:
    """Used cars with Swiss prices."""
    base = first_number(chance)

    def make(number: int) -> dict[str, Any]:
        amount = english(chance.randrange(20, 900) * 100)[:-3].replace(",", "'")
        return {
            "model": f"{chance.choice(FIRST)} {chance.choice('GTXRS')}{chance.randrange(1, 9)}",
            "price": f"CHF {amount}",
            "mileage": f"{french(chance.randrange(1, 230) * 1000)[:-3]} km",
            "year": chance.randrange(2004, 2025),
            "fuel": chance.choice(["petrol", "diesel", "electric"]),
            "ad": f"https://cars.example/ad/{base + number * 11}",
        }

    return simulate(chance, make, 55, churn=0.1)


def recipes(chance: Random) -> Days:
    """A page that never changes."""
    base = first_number(chance)

    def make(number: int) -> dict[str, Any]:
        return {
            "title": sentence(chance, 4),
            "minutes": f"{chance.randrange(2, 18) * 5} min",
            "rating": round(chance.uniform(3, 5), 1),
            "ingredients": [sentence(chance, 2) for _ in range(chance.randrange(3, 9))],
            "photo": f"/img/{base + number}.jpg",
        }

    return simulate(chance, make, 24)


def groceries(chance: Random) -> Days:
    """Goods with weights and prices per kilogram; a few are on offer."""

    def make(number: int) -> dict[str, Any]:
        return {"product": name(chance), "weight": f"{chance.randrange(1, 20) * 50} g", "cents": chance.randrange(79, 1500), "offer": False}  # noqa: E501  # fmt: skip

    def drift(thing: dict[str, Any]) -> None:
        if chance.random() < 0.04:
            thing["offer"] = not thing["offer"]

    def show(_: int, stock: list[dict[str, Any]]) -> list[Item]:
        rows = []
        for thing in stock:
            amount = thing["cents"] / 100 * (0.75 if thing["offer"] else 1)
            per_kilo = amount / int(thing["weight"][:-2]) * 1000
            rows.append(
                {
                    "product": thing["product"],
                    "weight": thing["weight"],
                    "price": f"{german(amount)} €",
                    "per_kilo": f"{german(per_kilo)} €/kg",
                    "offer": thing["offer"],
                }
            )
        return rows

    return simulate(chance, make, 40, churn=0.01, drift=drift, show=show)


def hotels(chance: Random) -> Days:
    """Rooms with prices as numbers that change nearly all each day."""

    def make(number: int) -> dict[str, Any]:
        return {
            "hotel": f"Hotel {name(chance)}",
            "price": chance.randrange(50, 420),
            "score": f"{chance.uniform(6, 9.8):.1f}",
            "reviews": f"{chance.randrange(30, 5000):,} reviews",
            "city": chance.choice(TOWNS),
            "free_cancellation": chance.random() < 0.5,
        }

    def drift(thing: dict[str, Any]) -> None:
        if chance.random() < 0.8:
            thing["price"] = max(35, round(thing["price"] * chance.uniform(0.8, 1.25)))

    return simulate(chance, make, 42, churn=0.06, drift=drift)


def stock_levels(chance: Random) -> Days:
    """Parts whose stock runs down and is filled up."""

    def make(number: int) -> dict[str, Any]:
        return {"sku": f"PX-{chance.randrange(1000, 9999)}-{number}", "quantity": chance.randrange(0, 400), "unit_price": round(chance.uniform(0.2, 80), 3)}  # noqa: E501  # fmt: skip

    def drift(thing: dict[str, Any]) -> None:
        thing["quantity"] = max(0, thing["quantity"] - chance.randrange(0, 25)) if thing["quantity"] > 20 else 400

    return simulate(chance, make, 70, drift=drift)
