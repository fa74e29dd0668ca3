"""The change feed: what it says of a history is what an independent slow reading of the same history says."""

from __future__ import annotations

from typing import Any

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline_tests.behaviour.station import Station, assert_whole, flagging


def ask(station: Station, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the warehouse, published again."""
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path)
    with reading(path) as connection:
        return connection.execute(sql).fetchall()


def test_the_warehouse_has_the_feed_before_there_is_anything(station: Station) -> None:
    assert ask(station, "SELECT * FROM meter.item_changes") == []
    assert ask(station, "SELECT * FROM meter.item_versions") == []


def test_items_come_and_go(station: Station, empty_sandbox: Sandbox) -> None:
    now = empty_sandbox.world.now
    for number, prices in enumerate(([1, 2], [1, 3], [1, 2, 3], [])):
        empty_sandbox.insert_job(
            "Shop", items=[{"price": f"£{p}.50"} for p in prices], completed_at=now - 1000 + number
        )
    station.sync(config=flagging("Shop"))
    assert_whole(station)
    reported = ask(
        station,
        "SELECT kind, old_value, new_value FROM meter.item_changes ORDER BY observed_at, kind, new_value, old_value",
    )
    assert reported == [
        ("added", None, '{"price":"£3.50"}'),
        ("removed", '{"price":"£2.50"}', None),
        ("added", None, '{"price":"£2.50"}'),
        ("removed", '{"price":"£1.50"}', None),
        ("removed", '{"price":"£2.50"}', None),
        ("removed", '{"price":"£3.50"}', None),
    ]
    versions = ask(
        station,
        "SELECT item, version, date_diff('second', valid_from, valid_to) FROM meter.item_versions ORDER BY 1, 2",
    )
    assert versions == [
        ('{"price":"£1.50"}', 1, 3),
        ('{"price":"£2.50"}', 1, 1),
        ('{"price":"£2.50"}', 2, 1),
        ('{"price":"£3.50"}', 1, 2),
    ]
