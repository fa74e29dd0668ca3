"""Keys of real loads: what the feed says of usual pages, and that order, batches and late jobs leave no trace."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.rules import ChosenRules
from meter_pipeline.sync.limits import Limits
from meter_pipeline_tests.behaviour import thorough
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, flagging

Item = dict[str, Any]
_DAY = 86_400


def scrape(sandbox: Sandbox, strategy: str, days: Sequence[Sequence[Item]], url: str = "https://example.test/") -> None:
    """A job a day."""
    for day, items in enumerate(days):
        at = sandbox.world.now - (len(days) - day) * _DAY
        sandbox.insert_job(strategy, url=url, items=list(items), completed_at=at)


def rules_of(station: Station, slug: str) -> ChosenRules:
    """The item rules of a strategy."""
    (row,) = (row for row in station.ledger.strategies() if row.slug == slug)
    return item_rules.load(row.identity)


def count_changes(station: Station, slug: str) -> Counter[str]:
    """Rows of the feed by kind, or by field for changed ones."""
    rows = station.read("changes", slug, ["kind", "field"]).to_pylist()
    return Counter(row["field"] or row["kind"] for row in rows)


@dataclass(frozen=True)
class Table:
    """A table on three days: each row is named by one field and moves in others."""

    named: str
    names: tuple[str, ...]
    moving: str
    steady: str | None = None

    def rows(self, day: int) -> list[Item]:
        """The rows on a day."""
        draw = random.Random(self.named)
        rows = []
        for number, name in enumerate(self.names):
            row: Item = {self.named: name}
            if self.steady:
                row[self.steady] = ("north", "south", "east")[number % 3]
            row[self.moving] = round(draw.uniform(1, 90) + day * (number + 1) * 0.37, 2)
            rows.append(row)
        return rows


_PLACES = ("Aa", "Bo", "Ce", "Da", "Ek", "Fu", "Go", "Hi", "Ib", "Jo", "Ka", "Lo")
_TABLES = (
    Table("ticker", tuple(f"{a}{b}X" for a in "ABCDE" for b in "KLMNOP"), "last", "market"),
    Table("club", tuple(f"{place} United" for place in _PLACES), "points", "group"),
    Table("unit", ("EUR", "USD", "GBP", "JPY", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK"), "rate"),
    Table("gate", tuple(f"{a}{number}" for a in "ABC" for number in range(1, 11)), "delay", "pier"),
    Table("machine", tuple(f"Note {number} Pro" for number in range(11, 36)), "price", "maker"),
)


@pytest.mark.parametrize("table", _TABLES, ids=lambda table: table.named)
def test_a_table_is_keyed_by_the_field_that_names_its_rows(
    station: Station, empty_sandbox: Sandbox, table: Table
) -> None:
    scrape(empty_sandbox, "Table", [table.rows(day) for day in range(3)])
    station.sync(config=flagging("Table"))
    assert rules_of(station, "table").key == (table.named,)
    assert set(count_changes(station, "table")) == {table.moving}


def test_one_repeated_advert_is_no_obstacle_to_a_key(station: Station, empty_sandbox: Sandbox) -> None:
    def advert(number: int, day: int) -> Item:
        price = 100 + number * 7 + (5 if day and number % 10 == 3 else 0)
        return {"link": f"https://ads.test/{number}", "title": f"Bike {number}", "price": price, "promoted": False}

    days = [[advert(number, day) for number in range(50)] for day in range(4)]
    days[0].insert(0, {**advert(17, 0), "promoted": True})
    scrape(empty_sandbox, "Bikes", days)
    station.sync()
    assert rules_of(station, "bikes").key == ("link",)
    found = count_changes(station, "bikes")
    assert (found["price"], found["added"], found["removed"]) == (5, 0, 1)


def test_the_item_of_a_page_is_the_same_item_when_its_price_moves(station: Station, empty_sandbox: Sandbox) -> None:
    prices = {"kettle": (24.99, 24.99, 22.5, 22.5), "lamp": (9, 10, 10, 9), "chair": (60, 60, 60, 55)}
    for name, moves in prices.items():
        days = [[{"headline": f"The {name}", "price": price, "stock": "yes"}] for price in moves]
        scrape(empty_sandbox, "Pages", days, f"https://shop.test/p/{name}")
    station.sync()
    assert rules_of(station, "pages").by_page
    assert count_changes(station, "pages") == {"price": 4}
    assert set(station.results("pages")["_meter_item_key"].to_pylist()) == {"page"}
    assert_whole(station)


def test_a_number_and_its_spelling_as_text_are_one_key_while_it_is_looked_for(
    station: Station, empty_sandbox: Sandbox
) -> None:
    days = [
        [{"id": number if day % 2 else str(number), "state": f"s{number % 2}{day}"} for number in (7, 8)]
        for day in range(3)
    ]
    scrape(empty_sandbox, "Codes", days)
    station.sync(config=flagging("Codes"))
    assert rules_of(station, "codes").key == ("id",)
    assert {"added", "removed"}.isdisjoint(count_changes(station, "codes"))


def test_a_large_first_job_is_not_made_again_when_the_second_confirms_its_key(
    station: Station, empty_sandbox: Sandbox
) -> None:
    for day in range(2):
        items = [{"kind": n % 7, "zorp": f"Z-{n * 7919}", "price": n % 13 + day} for n in range(2_500)]
        scrape(empty_sandbox, "Large", [items])
        empty_sandbox.advance(days=1)
        report = station.sync(limits=Limits(large_bytes=600))
        assert not report.strategies["large"].rewritten
        assert rules_of(station, "large").key == ("zorp",)
    assert count_changes(station, "large") == {"price": 2_500}


JOBS = 16
# The ids of the world's jobs.
_WORLD: list[str] = []


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """Strategies whose key is found late, is a pair, is the page, is given up, or is not there."""
    with Sandbox(worlds=()) as sandbox:
        _WORLD.clear()
        for day in range(JOBS):
            draw = random.Random(day)
            at = sandbox.world.now - (JOBS - day) * _DAY
            pages: dict[str, list[Item]] = {
                "Late": [
                    {"zorp": f"z{n}" if day > 5 else f"z{n}-{day}", "kind": n % 4, "price": n + day} for n in range(12)
                ],
                "Pair": [{"a": f"t{n // 4}", "b": "wxyz"[n % 4], "c": n % 3, "price": n % 9 + day} for n in range(40)],
                "None": [{"kind": draw.choice("abc"), "price": draw.randint(1, 9)} for _ in range(12)],
                "Page": [{"headline": "The lamp", "price": 9 + day // 3, "stock": day % 2}],
            }
            for strategy, items in pages.items():
                url = f"https://{strategy}.test/".lower()
                _WORLD.append(sandbox.insert_job(strategy, items=items, url=url, completed_at=at))
        yield sandbox


LENIENT = flagging("Late", "Pair", "None", "Page")


@pytest.fixture(scope="module")
def whole(world: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """All jobs, loaded by one sync."""
    with Station(tmp_path_factory.mktemp("whole"), world) as station:
        station.sync(config=LENIENT)
        yield station


def _keys(station: Station) -> dict[str, Any]:
    """The keys of all strategies, with the searches that found them."""
    rules = {row.slug: item_rules.load(row.identity) for row in station.ledger.strategies()}
    return {slug: (found.key, found.by_page, found.source, found.search) for slug, found in rules.items()}


def _feed(station: Station) -> dict[str, Counter[str]]:
    names = ["job_id", "previous_job_id", "item_key", "kind", "field", "old_value", "new_value"]
    return {slug: Counter(map(str, station.read("changes", slug, names).to_pylist())) for slug in station.slugs}


def test_keys_are_found_in_this_world(whole: Station) -> None:
    found = _keys(whole)
    assert {slug: entry[:2] for slug, entry in found.items()} == {
        "late": (("zorp",), False),
        "pair": (("a", "b"), False),
        "none": ((), False),
        "page": ((), True),
    }


# The order of the search itself is tested in test_keys.py, and that of loading in test_order.py.
@pytest.mark.slow
@settings(
    max_examples=2 * thorough.TIMES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example is several syncs: shrinking takes too long
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32), batch=st.sampled_from([600, 4_000, 8 * 2**20]), large=st.sampled_from([600, 2**25]))
def test_keys_and_tables_are_the_same_whatever_the_order_and_the_batches(
    world: Sandbox, whole: Station, seed: int, batch: int, large: int
) -> None:
    chance = random.Random(seed)
    order = chance.sample(_WORLD, len(_WORLD))
    sizes = [chance.randint(1, 30) for _ in range(chance.randint(2, 5))]
    limits = Limits(batch_bytes=batch, large_bytes=large)
    with tempfile.TemporaryDirectory() as folder, Station(Path(folder), world) as station:
        rest = list(order)
        for size in sizes:
            part, rest = rest[:size], rest[size:]
            if part:
                station.sync(jobs=part, limits=limits, config=LENIENT)
        station.sync(reconcile=True, limits=limits, config=LENIENT)
        assert _keys(station) == _keys(whole)
        assert _feed(station) == _feed(whole)
        assert_equal(station, whole)
        assert_whole(station)


def test_a_key_that_was_found_late_keys_the_whole_history_in_one_commit(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    station = make_station(empty_sandbox)
    names = ("amber", "birch", "cedar", "ebony", "fir", "hazel", "larch", "maple", "oak", "pine")
    for day in range(5):
        items = [{"zorp": name, "kind": n % 3, "price": n + (day > 2) * (n < 4)} for n, name in enumerate(names)]
        empty_sandbox.advance(days=1)
        empty_sandbox.insert_job("Late", url="https://late.test/", items=items)
        report = station.sync()
        key = rules_of(station, "late").key
        assert key == (("zorp",) if day > 2 else ())
        assert report.strategies["late"].rewritten == (day == 3)
    assert count_changes(station, "late") == {"price": 4}
    assert_whole(station)
