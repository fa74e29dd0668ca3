"""What invented lists are made of: names, numbers as pages write them, and a stock that changes from day to day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from random import Random
from typing import Any

Item = Any
Days = Iterator[list[Item]]

FIRST = (
    "Amber", "Birch", "Cedar", "Delta", "Ember", "Fjord", "Grove", "Haven", "Indigo", "Juniper", "Kestrel", "Lagoon",
    "Maple", "Nimbus", "Opal", "Pike",
)  # fmt: skip
SECOND = (
    "Lamp", "Chair", "Kettle", "Rope", "Tent", "Drill", "Vase", "Clock", "Boots", "Scarf", "Desk", "Radio", "Bike",
    "Stove", "Mirror", "Ladder",
)  # fmt: skip
TOWNS = (
    "Arles", "Bergen", "Cork", "Delft", "Évora", "Fulda", "Gdańsk", "Hull", "Izmir", "Jaén", "Košice", "Lund", "Mâcon",
    "Naples", "Oulu", "Porto",
)  # fmt: skip
WORDS = (
    "harbour", "reopens", "council", "votes", "storm", "delays", "early", "train", "new", "bridge", "costs", "rise",
    "school", "wins", "prize", "market", "opens", "late", "museum", "finds", "lost", "map", "river", "floods", "road",
    "old", "mill", "sold", "again", "farmers", "ask", "for", "rain", "team", "signs", "young", "keeper",
)  # fmt: skip
START = date(2025, 3, 3)


def name(chance: Random) -> str:
    """A name of two or three words with a number, mostly one of its kind."""
    return f"{chance.choice(FIRST)} {chance.choice(SECOND)} {chance.randrange(10, 9999)}"


def sentence(chance: Random, words: int) -> str:
    """Some words."""
    return " ".join(chance.choice(WORDS) for _ in range(words)).capitalize()


def english(amount: float) -> str:
    """1,234.50"""
    return f"{amount:,.2f}"


def german(amount: float) -> str:
    """1.234,50"""
    return english(amount).replace(",", "_").replace(".", ",").replace("_", ".")


def french(amount: float) -> str:
    """1 234,50"""
    return english(amount).replace(",", "\u202f").replace(".", ",")


def first_number(chance: Random) -> int:
    """Where the ids of a list begin."""
    return chance.randrange(100, 9000) * 1000


def simulate(
    chance: Random,
    make: Callable[[int], dict[str, Any]],
    size: int,
    *,
    churn: float = 0.0,
    drift: Callable[[dict[str, Any]], None] | None = None,
    show: Callable[[int, list[dict[str, Any]]], list[Item]] | None = None,
    on_top: bool = True,
) -> Days:
    """A stock of things of which a share is replaced each day; `drift` changes one, `show` writes a day's items."""
    stock = [make(number) for number in range(size)]
    number, day = size, 0
    while True:
        yield show(day, stock) if show else [dict(thing) for thing in stock]
        day += 1
        if drift:
            for thing in stock:
                drift(thing)
        gone = [place for place in range(len(stock)) if chance.random() < churn]
        for place in reversed(gone):
            del stock[place]
        arrivals = [make(number + step) for step in range(len(gone))]
        number += len(gone)
        stock = arrivals + stock if on_top else stock + arrivals
