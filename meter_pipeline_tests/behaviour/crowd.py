"""Processes that sync, publish and query at the same time, each until it is stopped."""

from __future__ import annotations

from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from meter_pipeline.api import MeterClient
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline.sync import sync
from meter_pipeline_tests.forking import import_before_forks

import_before_forks(__name__)

# Jobs with missing or duplicate rows: there must never be any.
_TORN = """
    SELECT job_id FROM meter.jobs LEFT JOIN (
        SELECT job_id, count(*) AS n, count(DISTINCT item_index) AS d FROM meter.items GROUP BY job_id
    ) USING (job_id)
    WHERE state = 'accepted' AND (coalesce(n, 0) <> items OR coalesce(d, 0) <> items)
"""
_TORN_RESULTS = """
    SELECT _meter_job_id FROM results."{slug}" LEFT JOIN meter.jobs ON job_id = _meter_job_id
    GROUP BY ALL HAVING any_value(state) IS DISTINCT FROM 'accepted' OR count(*) <> any_value(items)
"""


def syncing(folder: str, url: str, key: str, answers: Any) -> None:
    """Syncs until nothing is left to load; puts the number of loaded jobs and the problems into `answers`."""
    ledger, lake = Ledger.open(f"{folder}/ledger.sqlite"), Lake.open(f"{folder}/lake")
    jobs, problems = 0, []
    with MeterClient(key, base_url=url, wait_scale=0, intents=ledger.intents) as client:
        while True:
            report = sync(client, ledger, lake)
            jobs += report.jobs
            problems += [problem.reason for problem in report.problems]
            if not report.jobs and not report.skipped:
                break
    ledger.close()
    answers.put((jobs, problems))


def publishing(folder: str, stop: Event, answers: Any) -> None:
    """Publishes again and again; puts the number of new publications into `answers`."""
    ledger, lake = Ledger.open(f"{folder}/ledger.sqlite"), Lake.open(f"{folder}/lake")
    count = 0
    while True:
        last = stop.is_set()
        count += not publish(ledger, lake, Path(folder) / "warehouse.duckdb").unchanged
        if last:
            break
    ledger.close()
    answers.put(count)


def querying(folder: str, stop: Event, answers: Any) -> None:
    """Queries again and again; puts the number of rounds, and all torn jobs, into `answers`."""
    path = Path(folder) / "warehouse.duckdb"
    count, torn = 0, []
    while True:
        last = stop.is_set()
        with reading(path) as connection:
            torn += connection.execute(_TORN).fetchall()
            slugs = connection.execute("SELECT slug FROM meter.strategies").fetchall()
            for (slug,) in slugs:
                torn += connection.execute(_TORN_RESULTS.format(slug=slug)).fetchall()
        count += 1
        if last:
            break
    answers.put((count, torn))
