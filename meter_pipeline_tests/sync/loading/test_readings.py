"""Prices, dates and other values in texts stand in typed columns beside them, by a reading that all texts decide."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store import columns
from meter_pipeline.store.warehouse.build import publish
from meter_pipeline.sync.items import readings
from meter_pipeline.sync.items.readings import PLAIN, Readings, SeenTexts, columns_of, observe_objects
from meter_pipeline.sync.items.rules import ChosenRules
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.rebuild import rekey
from meter_pipeline.sync.loading.withdraw import hold
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole
from meter_pipeline_tests.behaviour.thorough import examples
from meter_pipeline_tests.sync.values.spellings import LARGE, PRICES

CONFIG = Config(strategies={"shop": StrategyConfig(key=("id",))})
EUROS = ["1.234,56 €", "19,99 €", "5,00 €"]
DOLLARS = ["$1,234.56", "$19.99", "$5.00"]


def scrape(sandbox: Sandbox, *jobs: Sequence[object], field: str = "price", start: int = 0) -> list[str]:
    """A job of the shop for each list of values; each value is an item's, and its place the item's id."""
    return [
        sandbox.insert_job(
            "Shop",
            items=[{"id": place, field: value} for place, value in enumerate(values)],
            completed_at=sandbox.world.now - 100_000 + 60 * (start + number),
        )
        for number, values in enumerate(jobs)
    ]


def cells(station: Station, *names: str) -> list[tuple[Any, ...]]:
    """Values of columns of the shop's results, in the order of the rows."""
    rows = station.results("shop")
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


def numbers(station: Station) -> list[tuple[Any, ...]]:
    """The numbers of the shop's change feed."""
    rows = station.read("changes", "shop")
    names = ("item_key", "old_number", "new_number", "old_currency", "new_currency")
    return sorted(zip(*(rows[name].to_pylist() for name in names), strict=True), key=repr)


def own_columns(station: Station) -> list[str]:
    """Names of the shop's columns, as the ledger has them; equal to those of its files."""
    (row,) = station.ledger.strategies()
    names = [column.name for column in row.columns]
    (schema,) = station.schemas()["shop"]
    assert [name for name in schema.names if not name.startswith("_meter_")] == names
    return names


def test_prices_stand_as_amounts_and_currencies_beside_their_texts(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox, EUROS, ["USD 1.2 million", "sold out", None])
    report = station.sync(config=CONFIG)
    assert own_columns(station) == ["id", "price", "price_amount", "price_currency"]
    assert cells(station, "price_amount", "price_currency") == [
        (Decimal("1234.56"), "EUR"),
        (Decimal("19.99"), "EUR"),
        (Decimal(5), "EUR"),
        (Decimal(1_200_000), "USD"),
        (None, None),
        (None, None),
    ]
    assert "price_amount" in report.strategies["shop"].new_columns


def test_the_feed_has_the_numbers_of_the_typed_column(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox, ["USD 1.2 million", "$5.00", "$1,234"], ["USD 950,000", "10% off", "$12.50"])
    station.sync(config=CONFIG)
    assert numbers(station) == [
        ("0", 1_200_000.0, 950_000.0, "USD", "USD"),
        ("1", 5.0, None, "USD", None),
        ("2", 1234.0, 12.5, "USD", "USD"),
    ]


def test_a_reading_that_changes_makes_earlier_rows_and_changes_again(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    late, whole = make_station(empty_sandbox, "late"), make_station(empty_sandbox, "whole")
    scrape(empty_sandbox, ["1.500", "2.500 €", "1.250 €"], ["1.600", "2.600 €", "1.250 €"])
    late.sync(config=CONFIG)
    before = cells(late, "price")
    scrape(empty_sandbox, ["19,99 €", "1.234,56 €", "US$ 5,00"], start=2)
    report = late.sync(config=CONFIG)
    assert report.strategies["shop"].rewritten
    assert report.strategies["shop"].changed == 3, "only changes that the new job shows are counted"
    assert cells(late, "price")[: len(before)] == before
    whole.sync(config=CONFIG)
    assert_equal(late, whole)
    assert_whole(late)
    assert numbers(late) == numbers(whole)
    assert cells(late, "price_amount")[1] == (Decimal(2500),)


def test_a_reading_that_texts_speak_against_takes_its_columns_with_it(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox, ["13/02/2026", "14/02/2026"], field="day")
    station.sync(config=CONFIG)
    assert cells(station, "day_date") == [(date(2026, 2, 13),), (date(2026, 2, 14),)]
    scrape(empty_sandbox, ["02/13/2026", "02/14/2026"], field="day", start=1)
    station.sync(config=CONFIG)
    assert own_columns(station) == ["id", "day"]
    assert len(cells(station, "day")) == 4


def test_a_received_field_keeps_its_name_whenever_it_comes(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    station, whole = make_station(empty_sandbox, "late"), make_station(empty_sandbox, "whole")
    scrape(empty_sandbox, EUROS)
    station.sync(config=CONFIG)
    scrape(empty_sandbox, [7, 8, 9], field="Price amount", start=1)
    station.sync(config=CONFIG)
    assert own_columns(station) == ["id", "price", "price_amount_2", "price_currency", "price_amount"]
    assert cells(station, "price_amount", "price_amount_2")[0] == (None, Decimal("1234.56"))
    assert cells(station, "price_amount", "price_amount_2")[3] == (7, None)
    whole.sync(config=CONFIG)
    assert_equal(station, whole)


def test_a_field_that_meter_yaml_sets_to_text_is_text_alone(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox, EUROS)
    station.sync(config=CONFIG)
    text = Config(strategies={"shop": StrategyConfig(key=("id",), types={"price": "text"})})
    station.sync(config=text)
    assert own_columns(station) == ["id", "price"]
    station.sync(config=CONFIG)
    assert own_columns(station) == ["id", "price", "price_amount", "price_currency"]


def test_texts_beside_numbers_are_read_and_numbers_are_not(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox, [5, *DOLLARS, True])
    station.sync(config=CONFIG)
    assert cells(station, "price", "price_amount") == [
        ("5", None),
        ("$1,234.56", Decimal("1234.56")),
        ("$19.99", Decimal("19.99")),
        ("$5.00", Decimal(5)),
        ("true", None),
    ]


def test_relative_times_count_from_their_own_job(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox, ["5 minutes ago", "3 hours ago"], ["5 minutes ago", "4 hours ago"], field="seen")
    station.sync(config=CONFIG)
    ages = [end - at for end, at in cells(station, "_meter_completed_at", "seen_at")]
    assert ages == [timedelta(minutes=5), timedelta(hours=3), timedelta(minutes=5), timedelta(hours=4)]


def test_a_relative_time_that_moves_by_itself_is_no_change(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    station, whole = make_station(empty_sandbox, "late"), make_station(empty_sandbox, "whole")
    scrape(empty_sandbox, ["2 days ago", "5 hours ago"], ["3 days ago", "6 hours ago"], field="seen")
    assert station.sync(config=CONFIG).strategies["shop"].changed == 0
    assert numbers(station) == []
    assert len(set(station.results("shop")["_meter_item_hash"].to_pylist())) == 2
    scrape(empty_sandbox, ["a while ago", "6 hours ago"], field="seen", start=2)
    station.sync(config=CONFIG)
    assert own_columns(station) == ["id", "seen"]
    assert [(row["item_key"], row["old_value"]) for row in station.read("changes", "shop").to_pylist()] == [
        ("0", '"2 days ago"'),
        ("1", '"5 hours ago"'),
        ("0", '"3 days ago"'),
    ]
    whole.sync(config=CONFIG)
    assert_equal(station, whole)
    assert_whole(station)


def test_a_job_that_is_held_takes_what_it_showed_with_it(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox, ["2 days ago", "3 hours ago"], ["3 days ago", "4 hours ago"], field="seen")
    station.sync(config=CONFIG)
    before = station.results("shop")
    (late,) = scrape(empty_sandbox, ["3 days ago", "a while"], field="seen", start=2)
    station.sync(config=CONFIG)
    assert own_columns(station) == ["id", "seen"]
    (withdrawal,) = hold(station.ledger, station.lake, [late])
    assert withdrawal.is_rewritten
    assert own_columns(station) == ["id", "seen", "seen_at"]
    assert station.results("shop").equals(before)
    assert numbers(station) == []
    assert_whole(station)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2)])
def test_readings_columns_and_numbers_do_not_depend_on_the_order_of_loading(
    make_station: Callable[..., Station], empty_sandbox: Sandbox, order: tuple[int, ...]
) -> None:
    late, whole = make_station(empty_sandbox, "late"), make_station(empty_sandbox, "whole")
    jobs = [["1.500", "2.500 €"], ["1,234.56 €", "3 €"], ["19,99 €", "US$ 1,500"], ["free", "call us"]]
    for number in order:
        scrape(empty_sandbox, jobs[number], start=number)
        late.sync(config=CONFIG)
    whole.sync(config=CONFIG)
    assert_equal(late, whole)
    assert_whole(late)
    assert numbers(late) == numbers(whole)
    (row,), (other,) = late.ledger.strategies(), whole.ledger.strategies()
    assert row.readings == other.readings


@pytest.mark.parametrize("table", [PRICES, LARGE])
def test_prices_of_many_places_move_right_or_not_at_all(
    station: Station, empty_sandbox: Sandbox, table: list[tuple[str, str | None]]
) -> None:
    scrape(empty_sandbox, ["£0.01"] * len(table), [text for text, _ in table])
    station.sync(config=CONFIG)
    found = {int(key): new for key, _, new, *_ in numbers(station)}
    truths = {place: float(amount) for place, (_, amount) in enumerate(table) if amount is not None}
    assert {place: new for place, new in found.items() if new is not None and new != truths.get(place)} == {}
    assert sum(found[place] is not None for place in truths) >= 0.95 * len(truths)


def test_jobs_larger_than_memory_are_read_like_small_ones(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    small, large = make_station(empty_sandbox, "small"), make_station(empty_sandbox, "large")
    scrape(empty_sandbox, EUROS, [*EUROS, "US$ 7"], ["sold out", "7,50 €", "free"])
    small.sync(config=CONFIG)
    large.sync(config=CONFIG, limits=Limits(large_bytes=1, batch_bytes=1))
    assert_equal(small, large)
    assert numbers(small) == numbers(large)
    assert "price_amount" in own_columns(large)


def forget_readings(station: Station) -> None:
    """Makes the ledger and the rows of the shop those of rules by which nothing was read."""
    (row,) = station.ledger.strategies()
    text = Config(strategies={row.slug: StrategyConfig(key=("id",), types={"price": "text"})})
    station.sync(config=text)
    identity = json.dumps({**json.loads(row.identity or "{}"), "types": {}})
    with sqlite3.connect(station.folder / "ledger.sqlite") as connection:
        connection.execute(
            "UPDATE strategies SET identity = ?, readings = ?", (identity, json.dumps({"rules": 0, "fields": {}}))
        )
    assert own_columns(station) == ["id", "price"]


@pytest.mark.parametrize("jobs", [0, 1])
def test_rows_of_older_rules_are_made_again_by_the_next_sync(
    make_station: Callable[..., Station], empty_sandbox: Sandbox, jobs: int
) -> None:
    old, whole = make_station(empty_sandbox, "old"), make_station(empty_sandbox, "whole")
    scrape(empty_sandbox, EUROS, ["1.100,00 €", "18,99 €", "5,00 €"])
    old.sync(config=CONFIG)
    forget_readings(old)
    scrape(empty_sandbox, *[["20,00 €"]] * jobs, start=2)
    old.sync()
    whole.sync(config=CONFIG)
    assert_equal(old, whole)
    assert_whole(old)
    assert numbers(old) == numbers(whole)


def test_rows_of_older_rules_are_made_again_with_a_rekey(station: Station, empty_sandbox: Sandbox) -> None:
    scrape(empty_sandbox, EUROS, ["1.100,00 €", "18,99 €", "5,00 €"])
    station.sync(config=CONFIG)
    before, changed = station.rows(), numbers(station)
    forget_readings(station)
    (row,) = station.ledger.strategies()
    assert rekey(station.lake, station.ledger, row, ChosenRules(key=("id",), source="configured"))
    assert station.rows() == before
    assert numbers(station) == changed


def test_every_shop_of_the_currencies_world_has_amounts_in_its_own_currencies(
    make_sandbox: Callable[..., Sandbox], make_station: Callable[..., Station], tmp_path: Path
) -> None:
    sandbox = make_sandbox(worlds=("currencies",))
    sandbox.advance(days=2)
    station = make_station(sandbox)
    station.sync()
    found: dict[str, set[str]] = {}
    for slug in station.slugs:
        rows = station.results(slug)
        assert rows["price_amount"].null_count == 0
        assert rows["price_amount"].type == pa.decimal128(38, 12)
        found[slug] = set(rows["price_currency"].to_pylist())
    assert found == {"bikes_in_two_shops": {"GBP", "EUR"}, "bikes_by_currency": {"GBP", "PLN"}}
    warehouse = tmp_path / "warehouse.duckdb"
    publish(station.ledger, station.lake, warehouse)
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        comments = dict(
            connection.execute(
                "SELECT column_name, comment FROM duckdb_columns() "
                "WHERE table_name = 'bikes_in_two_shops' AND column_name LIKE 'price%'"
            ).fetchall()
        )
    assert comments == {
        "price": "field 'price', text",
        "price_amount": "amount of money, read from field 'price'",
        "price_currency": "currency of the amount, read from field 'price'",
    }


# -- properties

VALUES = st.one_of(
    st.sampled_from([*EUROS, *DOLLARS, "1.500", "1.500 €", "free", "sold out", "12/02/2026", "13/02/2026", "4K views"]),
    st.sampled_from([None, 5, 2.5, True, "", "\ud800", "5 %", "3 hours ago", "2026-02-13T10:00:00Z", "CHF 7.50 / kg"]),
)
NAMES = st.sampled_from(["price", "price_amount", "Price", "day"])
INNER = st.dictionaries(st.sampled_from(["price", "Price", "amount", "o.price"]), VALUES, max_size=3)
OBJECTS = st.one_of(INNER, st.dictionaries(st.just("in"), INNER), st.lists(INNER, max_size=2))
ITEMS = st.lists(
    st.dictionaries(NAMES, VALUES)
    | st.dictionaries(st.sampled_from(["o", "o.price", "o_price", "o_price_amount"]), VALUES | OBJECTS),
    max_size=12,
)


def observed(
    batches: Sequence[Sequence[dict[str, Any]]], seen: SeenTexts
) -> tuple[Readings, tuple[columns.Field, ...]]:
    """The readings after batches of items, each settled as a load does; the fields have the stamps of all items."""
    fields: tuple[columns.Field, ...] = ()
    found = PLAIN
    for batch in batches:
        for item in batch:
            fields = columns.merge_fields(fields, columns.infer_fields([item], ("", json.dumps(item), 0)))
        found = found.with_facts(observe_objects(batch, fields, found.facts, seen)).settle(fields, ItemRules())
    return found, fields


@settings(max_examples=examples(50, 8))
@given(items=ITEMS, data=st.data())
def test_facts_readings_and_names_depend_on_the_set_of_items_alone(items: list[dict[str, Any]], data: Any) -> None:
    whole, fields = observed([items], SeenTexts())
    order = data.draw(st.permutations(items))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(order)), max_size=4)) | {0, len(order)})
    batches = [order[start:end] for start, end in pairwise(cuts)]
    other, other_fields = observed(batches, SeenTexts())
    assert other_fields == fields
    assert other == whole
    assert other.dump() == whole.dump()
    assert readings.load(whole.dump()) == whole


@settings(max_examples=examples(50, 8))
@given(items=ITEMS)
def test_no_two_columns_of_a_strategy_have_the_same_name(items: list[dict[str, Any]]) -> None:
    found, fields = observed([items], SeenTexts())
    names = [column.name.casefold() for column in columns_of(fields, found)]
    assert len(set(names)) == len(names)
    received = [column.name for column in columns.columns(fields)]
    assert [column.name for column in columns_of(fields, found) if not column.part] == received


@pytest.mark.parametrize("count", [1, 3])
def test_texts_seen_are_forgotten_rather_than_kept_without_bound(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "_MOST_SEEN", 4)
    seen = SeenTexts()
    for number in range(count):
        assert seen.take_new("price", {f"{number} {text}" for text in range(3)}) == {
            f"{number} {text}" for text in range(3)
        }
    assert len(seen._by_field["price"]) <= 4


def test_a_field_that_stays_text_says_why_in_the_warehouse_until_its_texts_decide(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    question = "SELECT comment FROM duckdb_columns() WHERE table_name = 'shop' AND column_name = 'seen'"
    comments = []
    with Sandbox(worlds=()) as sandbox, Station(tmp_path, sandbox) as station:
        sandbox.add_strategy("Shop", items=[])
        for number, text in enumerate(("01/02/2026", "25/02/2026")):
            scrape(sandbox, [text, "03/04/2026"], field="seen", start=number)
            station.sync(config=CONFIG)
            publish(station.ledger, station.lake, warehouse)
            with duckdb.connect(str(warehouse), read_only=True) as connection:
                comments += connection.execute(question).fetchall()
    reason = "no date shows whether the day or the month comes first, as in '01/02/2026'"
    assert comments == [(f"field 'seen', text: {reason}",), ("field 'seen', text",)]
