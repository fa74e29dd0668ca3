"""Four syncs, a publisher and two readers at once: no error, no job twice, and every query sees whole jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish
from meter_pipeline_tests.behaviour import crowd
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, insert_drifting
from meter_pipeline_tests.forking import PROCESSES

pytestmark = pytest.mark.slow

STRATEGIES = 20
JOBS = 100


def test_four_syncs_two_readers_and_a_publisher_do_not_disturb_each_other(
    make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> None:
    insert_drifting(empty_sandbox, JOBS, [f"Strategy {number:02}" for number in range(STRATEGIES)])
    whole = make_station(empty_sandbox, "whole")
    whole.sync()
    station = make_station(empty_sandbox, "shared")
    publish(station.ledger, station.lake, station.folder / "warehouse.duckdb")
    folder = str(station.folder)
    stop = PROCESSES.Event()

    def start(target: Callable[..., None], *arguments: Any) -> tuple[Any, Any]:
        answers = PROCESSES.Queue()
        process = PROCESSES.Process(target=target, args=(folder, *arguments, answers))
        process.start()
        return process, answers

    others = [start(crowd.publishing, stop), start(crowd.querying, stop), start(crowd.querying, stop)]
    syncs = [start(crowd.syncing, empty_sandbox.url, empty_sandbox.api_key) for _ in range(4)]
    loaded = [answers.get(timeout=800) for _, answers in syncs]
    stop.set()
    publications, *queries = (answers.get(timeout=800) for _, answers in others)
    for process, _ in [*syncs, *others]:
        process.join()
        assert process.exitcode == 0
    assert [problems for _, problems in loaded] == [[]] * 4
    assert sum(jobs for jobs, _ in loaded) == JOBS
    assert publications > 1
    assert all(count > 1 and not torn for count, torn in queries)
    assert_whole(station)
    assert_equal(station, whole)
    assert station.sync().jobs == 0
