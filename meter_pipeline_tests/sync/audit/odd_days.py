"""What is unusual about a list and right: each takes the days of a list and changes them from one day on."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from meter_pipeline_tests.sync.audit import written_numbers
from meter_pipeline_tests.sync.audit.invented_lists import days_of
from meter_pipeline_tests.sync.audit.list_making import Item

Days = list[list[Item]]
#: Lists of the same things in every world: no more of them can come.
FIXED = {"league", "weather", "statistics", "exchange_rates", "coins", "branches"}
_PRICES = ("price", "fare", "per_kilo", "amount")


def _sorted(days: Days, at: int, kind: str, chance: Random) -> Days | None:
    return [*days[:at], *(sorted(day, key=lambda item: str(item)[::-1]) for day in days[at:])]


def _with_a_field(days: Days, at: int, kind: str, chance: Random) -> Days | None:
    if not all(isinstance(item, dict) for item in days[at]):
        return None
    return [*days[:at], *([item | {"badge": chance.choice(["new", "hot", None])} for item in day] for day in days[at:])]


def _cheaper(item: Item, factor: float) -> Item:
    return {
        key: _cheaper(value, factor)
        if isinstance(value, dict)
        else written_numbers.scale(value, factor)
        if key in _PRICES
        else value
        for key, value in item.items()
    }


def _sale(days: Days, at: int, kind: str, chance: Random) -> Days | None:
    factor = chance.choice([0.5, 0.7, 0.75, 0.8, 0.9])
    if kind == "coins" or not days[at] or not isinstance(days[at][0], dict):
        return None
    if _cheaper(days[at][0], factor) == days[at][0]:
        return None
    return [*days[:at], *([_cheaper(item, factor) for item in day] for day in days[at : at + 3]), *days[at + 3 :]]


def _others(kind: str, count: int) -> Days:
    return days_of(kind, count, seed=77)


def _growing(days: Days, at: int, kind: str, chance: Random) -> Days | None:
    if kind in FIXED:
        return None
    more = _others(kind, len(days))
    return [*days[:at], *(day + more[at + n][: len(day) * (n + 1) // 20] for n, day in enumerate(days[at:]))]


def _more_at_once(days: Days, at: int, kind: str, chance: Random) -> Days | None:
    if kind in FIXED:
        return None
    more = _others(kind, len(days))
    return [*days[:at], *(day + more[at + n][: len(day) * 3 // 5] for n, day in enumerate(days[at:]))]


def _half_replaced(days: Days, at: int, kind: str, chance: Random) -> Days | None:
    if kind in FIXED:
        return None
    more = _others(kind, len(days))
    return [
        *days[:at],
        *(more[at + n][: len(day) // 2] + day[len(day) // 2 :] for n, day in enumerate(days[at:])),
    ]


def _some_nulls(days: Days, at: int, kind: str, chance: Random) -> Days | None:
    day = days[at]
    if len(day) < 12 or not all(isinstance(item, dict) for item in day):
        return None
    field = chance.choice(sorted(day[0])[1:])
    some = set(chance.sample(range(len(day)), max(1, len(day) // 12)))
    spoiled = [item | {field: None} if place in some else item for place, item in enumerate(day)]
    return [*days[:at], spoiled, *days[at + 1 :]]


def _some_fewer(days: Days, at: int, kind: str, chance: Random) -> Days | None:
    day = days[at]
    return [*days[:at], [item for item in day if chance.random() < 0.85], *days[at + 1 :]]


#: The events by name; None where a list cannot have one.
ODD_DAYS: dict[str, Callable[[Days, int, str, Random], Days | None]] = {
    "sorted differently": _sorted,
    "a new field": _with_a_field,
    "a sale of three days": _sale,
    "seasonal growth": _growing,
    "+60 % at once": _more_at_once,
    "half replaced": _half_replaced,
    "a few nulls": _some_nulls,
    "a few fewer": _some_fewer,
}
