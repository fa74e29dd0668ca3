"""`kill -9` at any moment of a load, then a sync: the tables are those of an undisturbed load, each job once.

A suite of its own: `make crash`. `CRASHES` in the environment sets how many kills there are.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.cleaning import clean, sweep
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline_tests.behaviour import interrupted
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, insert_drifting

pytestmark = pytest.mark.slow

CRASHES = int(os.environ.get("CRASHES", "32"))
# Kills in a row before the sync that must put everything right.
ROW = 4


@pytest.fixture
def world(empty_sandbox: Sandbox) -> Sandbox:
    """Sixteen jobs of two strategies whose columns keep changing, and one with an item that is rejected."""
    insert_drifting(empty_sandbox, 16)
    empty_sandbox.insert_job("Alpha", items=[b'{"id": NaN}', *({"id": n} for n in range(9))])
    return empty_sandbox


@pytest.fixture
def whole(make_station: Callable[..., Station], world: Sandbox) -> Station:
    """An undisturbed load."""
    station = make_station(world, "whole")
    assert station.sync().exit_code == 0
    return station


def assert_recovers(folder: Path, world: Sandbox, whole: Station, ledger: str | None = None) -> None:
    """A sync after a kill gives the tables of an undisturbed load."""
    with Station(folder, world) as station:
        if ledger is not None:
            station.ledger.close()
            station.ledger = Ledger.open(ledger)
        # There is nothing to put right: what was committed is whole, and nothing else counts.
        assert_whole(station)
        assert station.sync().exit_code == 0
        assert_whole(station)
        assert_equal(station, whole)
        # Nothing but what counts is left of the killed loads once they are old.
        sweep(station.ledger, station.lake, older_than=timedelta(0))
        clean(station.ledger, station.lake, grace=timedelta(0))
        counted = {part.name for slug in station.slugs for part in station.parts(slug)}
        # The lake's marker is written once, before anything else; a copy of its few bytes harms nobody.
        assert {
            name for name in station.files() if not name.split("/")[-1].lstrip(".").startswith("lake.json")
        } == counted


@pytest.mark.parametrize("seed", range(CRASHES // 2 // ROW))
def test_a_load_killed_at_random_moments_is_put_right_by_the_next(
    seed: int, tmp_path: Path, world: Sandbox, whole: Station
) -> None:
    interrupted.started(tmp_path / "warm", world.url, world.api_key).join()
    start = time.monotonic()
    interrupted.started(tmp_path / "timed", world.url, world.api_key).join()
    duration = time.monotonic() - start
    chance = random.Random(seed)
    for _ in range(ROW):
        process = interrupted.started(tmp_path / "killed", world.url, world.api_key)
        interrupted.killed_after(process, chance.uniform(0, duration))
    assert_recovers(tmp_path / "killed", world, whole)


@pytest.mark.parametrize("seed", range(CRASHES // 2 // ROW))
def test_a_load_that_dies_at_any_write_is_put_right_by_the_next(
    seed: int, tmp_path: Path, world: Sandbox, whole: Station
) -> None:
    chance = random.Random(seed)
    for number in range(ROW // 2):
        folder = tmp_path / f"died-{number}"
        # The recovery is killed, too.
        for _ in range(2):
            process = interrupted.started(folder, world.url, world.api_key, die_at=chance.randrange(60))
            process.join()
            assert process.exitcode in (0, 137)
        assert_recovers(folder, world, whole)


@pytest.mark.parametrize("seed", range(CRASHES // 8))
def test_two_machines_on_one_ledger_that_die_at_any_write_lose_and_double_nothing(
    seed: int, tmp_path: Path, world: Sandbox, whole: Station, postgres_url: str
) -> None:
    chance = random.Random(seed)
    for _ in range(ROW // 2):
        pair = [
            interrupted.started(tmp_path / "shared", world.url, world.api_key, chance.randrange(60), postgres_url)
            for _ in range(2)
        ]
        for process in pair:
            process.join()
            assert process.exitcode in (0, 137)
    assert_recovers(tmp_path / "shared", world, whole, postgres_url)
