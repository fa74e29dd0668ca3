"""The report of a sync, the change feed and the price mart agree on what money is, spelling by spelling."""

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

# Two values of a field whose name says nothing; the numbers that they read as; the currency.
SPELLINGS: list[tuple[object, object, tuple[float | None, float | None], str | None]] = [
    ("AED 100", "AED 90", (100, 90), "AED"),
    ("£51.77", "£49", (51.77, 49), "£"),
    ("1.234,56 €", "1.234 €", (1234.56, 1234), "€"),
    ("12,345,678.90 USD", "7 USD", (12345678.9, 7), "USD"),
    ("₹1,23,456.50", "₹5", (123456.5, 5), "₹"),
    ("from £5", "£3.99 each", (5, 3.99), "£"),
    ("US$5", "US$6", (5, 6), "US$"),
    ("5,- kr", "6,- kr", (5, 6), "kr"),
    ("£9", "9.50", (9, 9.5), "£"),
    (10, 11, (10, 11), None),
    ("12,5", "13", (12.5, 13), None),
    ("100 RPM", "90 RPM", (100, 90), None),
    ("1,2,3", "1,2,4", (None, None), None),
    ("007", "008", (None, None), None),
    ("5 %", "6 %", (None, None), None),
    ("£5.00 (was £6)", "£4.00 (was £6)", (None, None), None),
    ("2026-03-02", "2026-03-03", (None, None), None),
    ("£5", "sold out", (5, None), "£"),
]


@pytest.mark.slow
def test_feed_macros_and_mart_agree_on_every_spelling(tmp_path: Path) -> None:
    with Sandbox(worlds=()) as sandbox, Station(tmp_path, sandbox) as station:
        sandbox.add_strategy("Shop", items=[])
        for side, hours in ((0, 2), (1, 1)):
            items = [{"id": f"item {place}", "now": spelling[side]} for place, spelling in enumerate(SPELLINGS)]
            sandbox.insert_job("Shop", items=items, completed_at=sandbox.world.now - hours * 3600)
        report = station.sync(config=Config(strategies={"shop": StrategyConfig(key=("id",))}))
        warehouse = tmp_path / "warehouse.duckdb"
        publish(station.ledger, station.lake, warehouse, models=Project(PROJECT))
    numbers = {f"item {place}": spelling[2] for place, spelling in enumerate(SPELLINGS)}
    prices = {
        f"item {place}": (*pair, currency)
        for place, (_, _, pair, currency) in enumerate(SPELLINGS)
        if currency and None not in pair
    }
    assert report.strategies["shop"].moved == sum(None not in pair for pair in numbers.values())
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        feed = connection.execute("SELECT item_key, old_number, new_number FROM meter.item_changes").fetchall()
        mart = connection.execute("SELECT item_key, old_price, new_price, currency FROM marts.fct_price_changes")
        assert {key: (old, new) for key, old, new in feed} == numbers
        assert {key: tuple(found) for key, *found in mart.fetchall()} == prices
