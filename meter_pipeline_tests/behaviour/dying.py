"""A sync in another process that kills itself (`kill -9`) at a named point.

The processes are forked from a server that has imported everything, so that a kill costs milliseconds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from meter_pipeline.api import MeterClient
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.change_sets import Unseen
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync import sync
from meter_pipeline_tests.forking import PROCESSES, import_before_forks

import_before_forks(__name__)

#: What a sync of two unseen changes and a late one calls, in this order: owner, method, number of the call.
CALLS: dict[str, tuple[Any, str, int]] = {
    "peek": (MeterClient, "changes", 1),
    "note of the changes": (Unseen, "record", 1),
    "state to build on": (Ledger, "state_of", 1),
    "raw rows": (Draft, "append", 1),
    "profiles": (Draft, "append", 2),
    "typed rows": (Draft, "append", 3),
    "changes": (Draft, "append", 4),
    "files": (Draft, "merge", 1),
    "commit": (Ledger, "commit", 1),
    "note of the marking read": (Unseen, "begin_marking", 1),
    "marking read": (MeterClient, "changes", 2),
    "note of late jobs": (Ledger, "record_jobs", -1),
    "note of late changes": (Unseen, "record", 2),
    "note of the acknowledgement": (Unseen, "_acknowledge", 1),
    "end of the note": (Unseen, "end_marking", 1),
    "raw rows of late jobs": (Draft, "append", 5),
    "files of late jobs": (Draft, "merge", 2),
    "commit of late jobs": (Ledger, "commit", 2),
    "note of the end": (Unseen, "done", 1),
}
POINTS = [f"{when} {name}" for name in CALLS for when in ("before", "after")]


def run(folder: str, url: str, key: str, point: str) -> int | None:
    """Syncs until the point; returns the exit code, which is -9 if the point was reached."""
    process = PROCESSES.Process(target=_sync, args=(folder, url, key, point))
    process.start()
    process.join()
    return process.exitcode


def _sync(folder: str, url: str, key: str, point: str) -> None:
    when, _, name = point.partition(" ")
    owner, method, which = CALLS[name]
    ledger = Ledger.open(f"{folder}/ledger.sqlite")
    lake = Lake.open(f"{folder}/lake")
    setattr(owner, method, _dying(getattr(owner, method), when, which))
    with MeterClient(key, base_url=url, wait_scale=0, intents=ledger.intents) as client:
        sync(client, ledger, lake, workers=1)


def _dying(method: Callable[..., Any], when: str, which: int) -> Callable[..., Any]:
    calls = [0]

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Of late jobs: the call with the job that came between the peek and the marking read.
        named = which < 0 and any("late" in job.job_id for job in args[0])
        calls[0] += 1
        here = named or calls[0] == which
        if here and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(self, *args, **kwargs)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call
