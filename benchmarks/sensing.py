"""What it costs to notice: one tick of the sensor over many schedules, and an answer of the webhook inbox."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import urllib3

SENSING = "sensing"
_SECRET = "whsec_bench"
_LATENCY_MS = 100.0
_TICKS = 5


def measure(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Measures both, prints a line for each, and returns the numbers: seconds, requests, milliseconds."""
    tick = _ticks(folder / "tick", 50 if quick else 1000)
    print(f"{SENSING}: one tick over {tick['schedules']:,} schedules, {_LATENCY_MS:.0f} ms latency and 5 % errors")
    rest = f"{tick['median']:.2f} s median ({tick['requests']} requests)"
    print(f"  everything new {tick['first']:.2f} s, nothing new {rest}")
    inbox = _deliveries(folder / "inbox", 50 if quick else 500)
    print(f"{SENSING}: {inbox['deliveries']:,} webhooks, 8 at a time, each on disk before its answer")
    print(f"  answer {inbox['p50']:.1f} ms median, {inbox['p99']:.1f} ms p99\n", flush=True)
    return {"tick": tick, "inbox": inbox}


def _ticks(folder: Path, schedules: int) -> dict[str, Any]:
    import dagster as dg

    from meter_pipeline.config.settings import Settings
    from meter_pipeline.connect import open_ledger
    from meter_pipeline.defs import build_defs
    from meter_pipeline.sandbox import Sandbox
    from meter_pipeline.store.ledger.change_sets import Unseen

    # What a tick tells is for its page in Dagster.
    logging.disable(logging.INFO)
    with Sandbox(worlds=()) as sandbox, dg.DagsterInstance.ephemeral() as instance:
        _furnish(sandbox, schedules)
        settings = replace(Settings.from_env({}, None), api_key=sandbox.api_key, base_url=sandbox.url, data_dir=folder)
        os.environ |= {"METER_API_KEY": sandbox.api_key, "METER_DATA_DIR": str(folder)}
        defs = build_defs(settings)
        (sensor,) = defs.sensors or ()
        cursor: str | None = None

        def tick() -> tuple[float, int]:
            nonlocal cursor
            requests, start = len(sandbox.log), time.perf_counter()
            with dg.build_sensor_context(
                instance=instance, cursor=cursor, resources=defs.resources, definitions=defs
            ) as context:
                result: Any = sensor(context)
            cursor = result.cursor
            return time.perf_counter() - start, len(sandbox.log) - requests

        first, _ = tick()
        with open_ledger(settings) as ledger:
            Unseen(ledger).done({row.schedule_id: row.last_run_at for row in ledger.schedules()})
        rest = [tick() for _ in range(_TICKS)]
    return {
        "schedules": schedules,
        "first": first,
        "median": median(seconds for seconds, _ in rest),
        "slowest": max(first, *(seconds for seconds, _ in rest)),
        "requests": max(requests for _, requests in rest),
    }


def _furnish(sandbox: Any, schedules: int) -> None:
    sandbox.add_strategy("Shop", "https://shop.example/", items=[{"title": "Lamp"}])
    for number in range(schedules):
        sandbox.world.add_schedule("Shop", schedule_id=f"s{number:05}", url=f"https://shop.example/{number}")
        sandbox.insert_job("Shop", items=[{"n": number}], schedule=f"s{number:05}")
    sandbox.set_faults(latency_ms=_LATENCY_MS, rate_500=0.03, rate_503=0.02)


def _deliveries(folder: Path, count: int) -> dict[str, Any]:
    results = [{"title": f"Item {n}", "price": n} for n in range(50)]
    pool = urllib3.PoolManager(retries=False, maxsize=8)
    with _serving(folder) as url:

        def post(number: int) -> float:
            body = {"job_id": f"job-{number}", "schedule_id": "s1", "status": "completed", "results": results}
            start = time.perf_counter()
            answer = pool.request("POST", url, json=body, headers={"X-Webhook-Secret": _SECRET})
            if answer.status != 200:
                raise RuntimeError(f"the inbox answered {answer.status}")
            return time.perf_counter() - start

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(post, range(-20, 0)))
            times = list(threads.map(post, range(count)))
    cuts = quantiles(times, n=100)
    return {"deliveries": count, "p50": cuts[49] * 1000, "p99": cuts[98] * 1000, "slowest": max(times) * 1000}


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """The inbox as its users run it; yields its address."""
    folder.mkdir(parents=True)
    env = {**os.environ, "METER_DATA_DIR": str(folder), "METER_WEBHOOK_SECRET": _SECRET}
    command = [sys.executable, "-m", "meter_pipeline", "inbox", "--port", "0"]
    with subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield next(word.rstrip(",") for word in line.split() if word.startswith("http"))
        finally:
            process.terminate()
