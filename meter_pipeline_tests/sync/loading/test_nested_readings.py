"""Texts in objects have typed columns like those of items, by one reading for the columns and for the change feed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.config.meter_yaml import Config, StrategyConfig, load_config
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.withdraw import hold
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, flagging
from meter_pipeline_tests.sync.loading.test_readings import cells, numbers, own_columns

AUDIT = flagging("shop").strategies["shop"].audit
CONFIG = Config(strategies={"shop": StrategyConfig(key=("id",), audit=AUDIT)})


def scrape(sandbox: Sandbox, *jobs: Sequence[dict[str, Any]], start: int = 0) -> list[str]:
    """A job of the shop for each list of items, which get their places as ids."""
    return [
        sandbox.insert_job(
            "Shop",
            items=[{"id": place, **item} for place, item in enumerate(items)],
            completed_at=sandbox.world.now - 100_000 + 60 * (start + number),
        )
        for number, items in enumerate(jobs)
    ]


def offers(*prices: object) -> list[dict[str, Any]]:
    """Items with prices in an object."""
    return [{"offer": {"price": price}} for price in prices]


def test_values_in_objects_stand_in_columns_named_by_their_paths(station: Station, empty_sandbox: Sandbox) -> None:
    item = {
        "offer": {"price": "€ 129 / night", "validFrom": "2026-03-02"},
        "seller": {"about": {"rating": "4,5 von 5"}, "name": "Hotel"},
        "rooms": [{"price": "€ 5"}],
    }
    other = {
        "offer": {"price": "€ 1.290,50", "validFrom": "2026-03-13"},
        "seller": {"about": {"rating": "3,0 von 5"}},
        "rooms": [],
    }
    scrape(empty_sandbox, [item, other, {"offer": None}, {}])
    report = station.sync(config=CONFIG)
    assert own_columns(station) == [
        *("id", "offer", "offer_price_amount", "offer_price_currency", "offer_price_unit", "offer_valid_from_date"),
        *("seller", "seller_about_rating_value", "rooms"),
    ]
    assert cells(station, "offer_price_amount", "offer_valid_from_date", "seller_about_rating_value") == [
        (Decimal(129), date(2026, 3, 2), 4.5),
        (Decimal("1290.5"), date(2026, 3, 13), 3.0),
        (None, None, None),
        (None, None, None),
    ]
    assert [row["price"] for row in station.results("shop")["offer"].to_pylist()[:2]] == ["€ 129 / night", "€ 1.290,50"]
    assert "offer_price_amount" in report.strategies["shop"].new_columns
    assert_whole(station)


def test_column_and_feed_read_a_text_in_an_object_alike_and_by_all_texts(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    late, whole = make_station(empty_sandbox, "late"), make_station(empty_sandbox, "whole")
    scrape(empty_sandbox, offers("1.500 €", "2.500 €", "7 €"), offers("1.600 €", "2.600 €", "7 €"))
    late.sync(config=CONFIG)
    (before,) = late.ledger.strategies()
    scrape(empty_sandbox, offers("19,99 €", "1.234,56 €", "7 €"), start=2)
    report = late.sync(config=CONFIG)
    (after,) = late.ledger.strategies()
    assert after.version == before.version + 1, "one commit"
    assert report.strategies["shop"].rewritten
    whole.sync(config=CONFIG)
    assert_equal(late, whole)
    assert_whole(late)
    assert numbers(late) == numbers(whole)
    amounts = [float(amount) for (amount,) in cells(late, "offer_price_amount")]
    assert amounts == [1500, 2500, 7, 1600, 2600, 7, 19.99, 1234.56, 7]
    feed = {(key, old, new) for key, old, new, *_ in numbers(late)}
    assert feed == {("0", 1500, 1600), ("1", 2500, 2600), ("0", 1600, 19.99), ("1", 2600, 1234.56)}


def test_a_name_that_another_column_has_gets_a_number(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    station, whole = make_station(empty_sandbox, "late"), make_station(empty_sandbox, "whole")
    scrape(empty_sandbox, offers("$5.00", "$6.50"))
    station.sync(config=CONFIG)
    assert own_columns(station) == ["id", "offer", "offer_price_amount", "offer_price_currency"]
    # A field of items with this name, a path that spells like it, and a name with the dot in it.
    more = [
        {**item, "offer_price": "€ 7,00", "offer": {"price": "$7.00", "Price": "£8.00"}, "offer.price": "¥ 900"}
        for item in offers("", "")
    ]
    scrape(empty_sandbox, more, start=1)
    station.sync(config=CONFIG)
    names = own_columns(station)
    assert len({name.casefold() for name in names}) == len(names)
    found = dict(zip(names, cells(station, *names)[-1], strict=True))
    amounts = [(name, int(value)) for name, value in found.items() if isinstance(value, Decimal)]
    assert amounts == [
        ("offer_price_amount_2", 7),
        ("offer_price_2_amount_2", 8),
        ("offer_price_amount", 7),
        ("offer_price_2_amount", 900),
    ]
    whole.sync(config=CONFIG)
    assert_equal(station, whole)
    assert_whole(station)


def config_of(folder: Path, types: str) -> Config:
    """What a `meter.yaml` with these types says."""
    path = folder / "meter.yaml"
    path.write_text(f"strategies: {{shop: {{key: [id], audit: {{flag: ['*']}}, types: {types}}}}}", encoding="utf-8")
    return load_config(path)


def test_a_path_that_meter_yaml_makes_text_has_no_typed_columns(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path
) -> None:
    scrape(empty_sandbox, [{"offer": {"price": "$5.00", "day": 5}}])
    station.sync(config=config_of(tmp_path, "{offer.price: text}"))
    assert own_columns(station) == ["id", "offer"]
    station.sync(config=config_of(tmp_path, "{}"))
    assert own_columns(station) == ["id", "offer", "offer_price_amount", "offer_price_currency"]
    assert_whole(station)
    station.sync(config=config_of(tmp_path, "{offer: json}"))
    assert own_columns(station) == ["id", "offer"]
    assert_whole(station)


@pytest.mark.parametrize(("path", "kind"), [(("a.b",), "text"), (("a", "b"), "text"), (("c",), "json"), (("b",), None)])
def test_a_type_is_of_a_path_or_of_the_plain_name_of_a_field_of_items(path: tuple[str, ...], kind: str | None) -> None:
    assert ItemRules(types={"a.b": "text", '"c"': "double", "c": "json"}).type_of(path) == kind


def test_narrowest_types_reach_into_objects_and_arrays(
    station: Station, empty_sandbox: Sandbox, tmp_path: Path
) -> None:
    scrape(empty_sandbox, [{"offer": {"price": 5, "stock": 1}, "rooms": [{"price": 7}]}])
    station.sync(config=config_of(tmp_path, "{offer.price: double, offer.stock: text, rooms.price: double}"))
    ((offer, rooms),) = cells(station, "offer", "rooms")
    assert json.dumps([offer, rooms]) == '[{"price": 5.0, "stock": "1"}, [{"price": 7.0}]]'
    assert_whole(station)


def test_a_relative_time_in_an_object_moves_without_a_change(station: Station, empty_sandbox: Sandbox) -> None:
    days = ("5 minutes ago", "5 hours ago"), ("7 minutes ago", "6 hours ago")
    scrape(empty_sandbox, *[[{"seller": {"seen": text}} for text in texts] for texts in days])
    assert station.sync(config=CONFIG).strategies["shop"].changed == 0
    ages = [end - at for end, at in cells(station, "_meter_completed_at", "seller_seen_at")]
    assert ages == [timedelta(minutes=5), timedelta(hours=5), timedelta(minutes=7), timedelta(hours=6)]
    assert_whole(station)


def test_columns_of_an_object_go_when_it_is_no_record_and_come_back_with_a_withdrawal(
    station: Station, empty_sandbox: Sandbox
) -> None:
    scrape(empty_sandbox, offers("$5.00", 5, None, "sold out"))
    station.sync(config=CONFIG)
    before = station.results("shop")
    assert cells(station, "offer_price_amount") == [(Decimal(5),), (None,), (None,), (None,)]
    (late,) = scrape(empty_sandbox, [{"offer": "$7.00"}], start=1)
    station.sync(config=CONFIG)
    assert own_columns(station) == ["id", "offer"]
    hold(station.ledger, station.lake, [late])
    assert station.results("shop").equals(before)
    assert_whole(station)


def test_objects_in_jobs_larger_than_memory_are_read_like_small_ones(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    small, large = make_station(empty_sandbox, "small"), make_station(empty_sandbox, "large")
    scrape(empty_sandbox, offers("1.500 €", "2,50 €"), [{"offer": None}, *offers("1.700 €", "free")])
    small.sync(config=CONFIG)
    large.sync(config=CONFIG, limits=Limits(large_bytes=1, batch_bytes=1))
    assert_equal(small, large)
    assert numbers(small) == numbers(large) != []
    assert "offer_price_amount" in own_columns(large)


def record(folder: Path) -> Path:
    """Three jobs of a hotel site with prices, ratings and days in objects."""
    folder.mkdir()
    for day, price in ((1, "€ 129 / night"), (2, "€ 1.129 / night"), (3, "€ 99,50 / night")):
        about = {"strategy": "Hotels", "url": "https://hotels.test/", "completed_at": f"2026-03-0{day}T06:00:00Z"}
        items = [
            {
                "name": name,
                "offer": {"price": now, "until": "03/04/2026"},
                "seller": {"rating": rating},
            }
            for name, now, rating in (("Adler", price, "4,5 von 5"), ("Krone", "€ 80 / night", "3,9 von 5"))
        ]
        (folder / f"00{day}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in (about, *items)))
    return folder


def test_a_recorded_site_has_typed_columns_for_its_objects_in_the_warehouse(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    with Sandbox(replay=record(tmp_path / "input"), speed=0) as sandbox, Station(tmp_path, sandbox) as station:
        station.sync(config=Config(strategies={"hotels": StrategyConfig(key=("name",), audit=AUDIT)}))
        assert_whole(station)
        publish(station.ledger, station.lake, path)
    with reading(path) as connection:
        rows = query(
            connection, "SELECT name, offer_price_amount, seller_rating_value FROM results.hotels ORDER BY ALL"
        )
        moves = query(
            connection,
            "SELECT field, old_number, new_number, old_currency FROM meter.item_changes ORDER BY observed_at",
        )
        comments = dict(
            query(connection, "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'hotels'")
        )
    assert rows == [
        ("Adler", Decimal("99.5"), 4.5),
        ("Adler", Decimal(129), 4.5),
        ("Adler", Decimal(1129), 4.5),
        *[("Krone", Decimal(80), 3.9)] * 3,
    ]
    assert moves == [("offer.price", 129, 1129, "EUR/night"), ("offer.price", 1129, 99.5, "EUR/night")]
    assert comments["offer_price_amount"] == "amount of money, read from field 'offer.price'"
    assert comments["offer"].startswith(
        "field 'offer', struct: offer.until: no date shows whether the day or the month"
    )


def query(connection: duckdb.DuckDBPyConnection, text: str) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(text).fetchall()
