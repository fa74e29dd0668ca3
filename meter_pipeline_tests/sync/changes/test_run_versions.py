"""The versions of an item go on while it moves from page to page, and are kept up as they are built in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline_tests.behaviour.station import Station
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.sync.changes.listings import Day, expect, served, slide

BY_RUN = Config(strategies={"shop": StrategyConfig(key=("sku",), compare="run")})
VERSIONS = "SELECT * FROM meter.item_versions ORDER BY ALL"


def ask(station: Station, sql: str, *, force: bool = False) -> list[tuple[Any, ...]]:
    """Rows of the warehouse, published again."""
    path = station.folder / "warehouse.duckdb"
    publish(station.ledger, station.lake, path, force=force)
    with reading(path) as connection:
        return connection.execute(sql).fetchall()


def count_versions(days: Sequence[Day], pages: int) -> dict[str, tuple[int, bool]]:
    """Number of versions of each item, and whether it is still listed, read from what happens to it."""
    found = {item["sku"]: (1, True) for page in days[0].pages(pages) for item in page}
    for _, kind, name, _, _ in expect(days, pages):
        versions, _ = found.get(name, (0, False))
        found[name] = (versions + (kind != "removed"), kind != "removed")
    return found


def load(
    station: Station, ids: Mapping[tuple[int, int], str], days: Sequence[Day], number: int, **options: Any
) -> None:
    """Loads the pages of a day that are not missing."""
    wanted = [id_ for (day, page), id_ in ids.items() if day == number and page not in days[number].missing]
    assert not station.sync(jobs=wanted, **options).problems


@pytest.mark.parametrize("config", [slow(None, id="found"), pytest.param(BY_RUN, id="configured")])
def test_versions_that_are_kept_up_from_day_to_day_equal_those_built_in_full(
    config: Config | None, tmp_path: Path
) -> None:
    days = slide(11, 4, days=6, missing=config is not None)
    with served(days, 4) as (sandbox, ids), Station(tmp_path, sandbox) as station:
        for number in range(len(days)):
            load(station, ids, days, number, config=config)
            kept = ask(station, VERSIONS)
            # In between, each is kept up from one that was.
            if number in (2, 5):
                assert kept == ask(station, VERSIONS, force=True)
        found = ask(station, "SELECT item_key, version, is_current FROM meter.item_versions WHERE is_latest")
        assert len(found) == len({name for name, *_ in found})
        assert {name: (version, current) for name, version, current in found} == count_versions(days, 4)
        assert {target for (target,) in ask(station, "SELECT DISTINCT target FROM meter.item_versions")} == {
            f"schedule {row.schedule_id}" for row in station.ledger.schedules()
        }


def test_items_of_a_page_that_is_seen_for_the_first_time_were_there_before(tmp_path: Path) -> None:
    days = [Day(dict.fromkeys("abcdefgh", 1), frozenset({1})), Day(dict.fromkeys("abcdfghi", 1)), Day({"a": 2})]
    with served(days, 2) as (sandbox, ids), Station(tmp_path, sandbox) as station:
        for number in range(3):
            load(station, ids, days, number, config=BY_RUN)
            sql = "SELECT item_key, version, is_current FROM meter.item_versions ORDER BY ALL"
            kept = ask(station, sql)
        assert kept == ask(station, sql, force=True)
        assert kept == [("a", 1, False), ("a", 2, True), *((name, 1, False) for name in "bcdfghi")]
        kinds = ask(station, "SELECT kind, item_key FROM meter.item_changes ORDER BY ALL")
        assert kinds == [("changed", "a"), *(("removed", name) for name in "bcdfghi")]
