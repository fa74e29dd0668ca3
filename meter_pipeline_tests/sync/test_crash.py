"""`kill -9` at any moment of a load, then a sync: the tables are those of an undisturbed load, each job once.

`CRASHES` in the environment sets how many kills there are (`make crash`: hundreds).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.sync import interrupted
from meter_pipeline_tests.sync.station import Station, assert_equal, assert_whole, insert_drifting

CRASHES = int(os.environ.get("CRASHES", "32"))
# Kills in a row before the sync that must put everything right.
ROW = 4


@pytest.fixture
def world(empty_sandbox: Sandbox) -> Sandbox:
    """Thirty jobs of two strategies whose columns keep changing."""
    insert_drifting(empty_sandbox, 30)
    return empty_sandbox


@pytest.fixture
def whole(make_station: Callable[..., Station], world: Sandbox) -> Station:
    """An undisturbed load."""
    station = make_station(world, "whole")
    assert station.sync().exit_code == 0
    return station


def assert_recovers(folder: Path, world: Sandbox, whole: Station) -> None:
    """A sync makes of what a killed one left what it would have been."""
    with Station(folder, world) as station:
        assert station.sync().exit_code == 0
        assert_whole(station)
        assert_equal(station, whole)
        # The lake's marker is written once, before anything else; a copy of its few bytes harms nobody.
        leftovers = [p for p in (folder / "lake").rglob(".*") if p.is_file() and not p.name.startswith(".lake.json.")]
        assert not leftovers


def test_a_load_killed_at_random_moments_is_put_right_by_the_next(
    tmp_path: Path, world: Sandbox, whole: Station
) -> None:
    interrupted.started(tmp_path / "warm", world.url, world.api_key).join()
    start = time.monotonic()
    interrupted.started(tmp_path / "timed", world.url, world.api_key).join()
    duration = time.monotonic() - start
    chance = random.Random(7)
    for number in range(0, CRASHES // 2, ROW):
        folder = tmp_path / f"killed-{number}"
        for _ in range(ROW):
            process = interrupted.started(folder, world.url, world.api_key)
            interrupted.killed_after(process, chance.uniform(0, duration))
        assert_recovers(folder, world, whole)


def test_a_load_that_dies_at_any_write_is_put_right_by_the_next(tmp_path: Path, world: Sandbox, whole: Station) -> None:
    chance = random.Random(11)
    kills, at = 0, 0
    while kills < CRASHES - CRASHES // 2:
        folder = tmp_path / f"died-{kills}"
        process = interrupted.started(folder, world.url, world.api_key, die_at=at)
        process.join()
        kills += 1
        # Half the time the recovery is killed, too.
        if process.exitcode == 137 and chance.random() < 0.5:
            interrupted.started(folder, world.url, world.api_key, die_at=chance.randrange(60)).join()
            kills += 1
        assert process.exitcode in (0, 137)
        assert_recovers(folder, world, whole)
        at = at + chance.randrange(1, 16) if process.exitcode else chance.randrange(8)
