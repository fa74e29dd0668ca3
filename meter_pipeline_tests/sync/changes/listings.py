"""Listings that slide over several pages, day by day, and an independent reading of what happens to their items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.behaviour.station import Station

DAY = 86_400.0
# The last days of a month.
START = 1_772_150_400.0
ROOM = 4


@dataclass(frozen=True)
class Day:
    """A run: the prices of the items in order, and the pages that are missing."""

    prices: Mapping[str, int]
    missing: frozenset[int] = frozenset()

    def pages(self, count: int) -> list[list[dict[str, Any]]]:
        """The items of each page."""
        items = [{"sku": name, "title": f"Thing number {name}", "price": price} for name, price in self.prices.items()]
        return [items[number * ROOM : (number + 1) * ROOM] for number in range(count)]


@dataclass
class Listing:
    """A listing, newest item first, that gains and loses items from day to day."""

    draw: Random
    pages: int
    names: list[str] = field(default_factory=list)
    prices: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for _ in range(self.pages * ROOM + 10):
            self.insert(len(self.names))

    def insert(self, place: int) -> None:
        """Adds an item that was never there."""
        name = f"a{len(self.prices):04}"
        self.names.insert(place, name)
        self.prices[name] = len(self.prices) + 100

    def advance(self, *, inserted: int, deleted: int, repriced: int) -> None:
        """A day passes."""
        for _ in range(inserted):
            self.insert(0)
        for name in self.draw.sample(self.names[: self.pages * ROOM], deleted):
            self.names.remove(name)
        for name in self.draw.sample(self.names, repriced):
            self.prices[name] += 1

    def day(self, missing: Sequence[int] = ()) -> Day:
        """What its pages show."""
        shown = self.names[: self.pages * ROOM]
        return Day({name: self.prices[name] for name in shown}, frozenset(missing))


def slide(seed: int, pages: int, days: int, *, missing: bool = True) -> list[Day]:
    """A listing over some days; no page is missing on the first day, and none for longer than two days."""
    draw = Random(seed)
    listing = Listing(draw, pages)
    found = [listing.day()]
    for number in range(1, days):
        listing.advance(inserted=draw.randint(0, 3), deleted=draw.randint(0, 2), repriced=draw.randint(0, 3))
        gone = draw.sample(range(pages), draw.choice((0, 1, 1, 2))) if missing and number % 3 else []
        found.append(listing.day(gone))
    return found


Happening = tuple[int, str, str, int | None, int | None]
"""Day, kind, name, price before, price after."""


def expect(days: Sequence[Day], pages: int) -> list[Happening]:
    """What happens to the items, as far as the pages show it; no page is missing on the first day."""
    known: dict[str, int] = {}
    found: list[Happening] = []
    for number, day in enumerate(days):
        shown = {
            item["sku"]: item["price"]
            for page, items in enumerate(day.pages(pages))
            if page not in day.missing
            for item in items
        }
        if number:
            found += [(number, "added", name, None, price) for name, price in shown.items() if name not in known]
            found += [
                (number, "changed", name, known[name], price)
                for name, price in shown.items()
                if name in known and known[name] != price
            ]
            absent = [name for name in known if name not in shown]
            found += [(number, "removed", name, known[name], None) for name in absent if not day.missing]
        known = shown if not day.missing else known | shown
    return sorted(found, key=repr)


@contextmanager
def open_shop(pages: int) -> Iterator[tuple[Sandbox, list[str], str]]:
    """A sandbox with a strategy, the URLs of its pages, and the schedule that runs all of them each day."""
    with Sandbox(worlds=()) as sandbox:
        sandbox.add_strategy("Shop", items=[])
        urls = [f"https://shop.example/list?page={page + 1}" for page in range(pages)]
        yield sandbox, urls, sandbox.add_schedule("Shop", urls=urls, interval_seconds=int(DAY), runs=False)


@contextmanager
def served(days: Sequence[Day], pages: int) -> Iterator[tuple[Sandbox, dict[tuple[int, int], str]]]:
    """A sandbox with the jobs of a listing, and their ids by day and page; jobs of missing pages are there, too."""
    with open_shop(pages) as (sandbox, urls, schedule):
        ids = {}
        for number, day in enumerate(days):
            for page, items in enumerate(day.pages(pages)):
                ids[number, page] = sandbox.insert_job(
                    "Shop",
                    url=urls[page],
                    items=items,
                    schedule=schedule,
                    completed_at=START + number * DAY + page * 20 + number * 7 % 5,
                )
        yield sandbox, ids


def tell(station: Station, ids: Mapping[tuple[int, int], str]) -> list[Happening]:
    """What the feed has."""
    days = {id_: day for (day, _), id_ in ids.items()}
    names = ["job_id", "kind", "item_key", "field", "old_value", "new_value"]
    found: list[Happening] = []
    for row in station.read("changes", "shop", names).to_pylist():
        before, after = row["old_value"], row["new_value"]
        if row["kind"] != "changed":
            before, after = (None if text is None else _price(text) for text in (before, after))
        else:
            assert row["field"] == "price"
            before, after = int(before), int(after)
        found.append((days[row["job_id"]], row["kind"], row["item_key"], before, after))
    return sorted(found, key=repr)


def _price(item: str) -> int:
    return int(item.partition('"price":')[2].strip(" }"))
