"""Prices move in one currency: typed columns, the report of a sync, the change feed and the price mart agree."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.config.settings import PROJECT
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish
from meter_pipeline.store.warehouse.dbt import Project
from meter_pipeline_tests.behaviour.station import Station

Number = float | None
# By shop: pairs of values, the numbers that they are, and the currency in which they are compared by the price mart.
# The name of the field says nothing.
SHOPS: dict[str, list[tuple[object, object, Number, Number, str | None]]] = {
    "german": [
        ("1.234,56 €", "1.234 €", 1234.56, 1234, "EUR"),
        ("2.500 €", "2.400", 2500, 2400, "EUR"),
        ("5,- €", "kostenlos", 5, 0, "EUR"),
        ("9 €", "ausverkauft", 9, None, None),
    ],
    "english": [
        ("£51.77", "£49", 51.77, 49, "GBP"),
        ("from £5", "£3.99 each", 5, 3.99, "GBP"),
        ("£5.00 (was £6)", "£4.00", 5, 4, "GBP"),
        ("12,345,678.90 USD", "7 USD", 12345678.9, 7, "USD"),
        ("USD 1.2 million", "USD 950,000", 1_200_000, 950_000, "USD"),
        ("£1,299.00", "€1,499.00", 1299, 1499, None),
        ("₹1,23,456.50", "₹5", 123456.5, 5, "INR"),
        ("₹2 / kg", "₹5", 2, 5, None),
    ],
    "numbers": [(10, 11, 10, 11, None), (12.5, "£13", 12.5, 13, None)],
    "texts": [
        ("007", "008", None, None, None),
        ("1,2,3", "1,2,4", None, None, None),
        ("100 RPM", "90 RPM", None, None, None),
        ("2026-03-02", "2026-03-03", None, None, None),
        ("a", "b", None, None, None),
    ],
    "shares": [("5 %", "6 %", 5, 6, None), ("12.5%", "11%", 12.5, 11, None)],
}


@pytest.mark.slow
def test_columns_feed_and_mart_agree_on_every_price(tmp_path: Path) -> None:
    config = Config(strategies={shop: StrategyConfig(key=("id",)) for shop in SHOPS})
    with Sandbox(worlds=()) as sandbox, Station(tmp_path, sandbox) as station:
        for shop, pairs in SHOPS.items():
            sandbox.add_strategy(shop, items=[])
            for side, hours in ((0, 2), (1, 1)):
                items = [{"id": f"item {place}", "now": pair[side]} for place, pair in enumerate(pairs)]
                sandbox.insert_job(shop, items=items, completed_at=sandbox.world.now - hours * 3600)
        report = station.sync(config=config)
        warehouse = tmp_path / "warehouse.duckdb"
        publish(station.ledger, station.lake, warehouse, models=Project(PROJECT))
    assert report.strategies["german"].moved == 3
    assert report.strategies["english"].moved == 6
    numbers = {
        (shop, f"item {place}"): (old, new)
        for shop, pairs in SHOPS.items()
        for place, (_, _, old, new, _) in enumerate(pairs)
    }
    prices = {
        (shop, f"item {place}"): (old, new, currency)
        for shop, pairs in SHOPS.items()
        for place, (_, _, old, new, currency) in enumerate(pairs)
        if currency
    }
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        rows = connection.execute(
            "SELECT strategy, item_key, old_number, new_number FROM meter.item_changes"
        ).fetchall()
        assert {(shop, key): pair for shop, key, *pair in rows} == {place: [*pair] for place, pair in numbers.items()}
        rows = connection.execute(
            "SELECT strategy, item_key, old_price, new_price, currency FROM marts.fct_price_changes"
        ).fetchall()
        assert {(shop, key): tuple(found) for shop, key, *found in rows} == prices
        typed = connection.execute("SELECT now, now_amount, now_currency FROM results.german").fetchall()
        assert ("1.234 €", 1234, "EUR") in typed
        assert ("2.400", 2400, "EUR") in typed
        assert ("ausverkauft", None, None) in typed
        relative = connection.execute(
            "SELECT relative_change FROM meter.item_changes WHERE strategy = 'english' AND item_key = 'item 5'"
        )
        assert relative.fetchall() == [(None,)]
