"""A sync in another process that is killed: from outside at any moment, or by itself at a certain write.

The processes are forked from a server that has imported everything, so that a kill costs milliseconds.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

from meter_pipeline.api import MeterClient
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync import sync
from meter_pipeline.sync.limits import Limits
from meter_pipeline_tests.forking import PROCESSES, import_before_forks

import_before_forks(__name__)
#: Batches of a few jobs, so that a load has many writes.
LIMITS = Limits(batch_bytes=3_000, large_bytes=3_000)


def started(
    folder: pathlib.Path, url: str, key: str, die_at: int | None = None, ledger: str | None = None
) -> BaseProcess:
    """Starts a sync.

    Args:
        folder: Holds the lake, and the ledger if no other is given.
        url: The address of the API.
        key: Its key.
        die_at: The number of the step, before or after a write, at which the sync kills itself.
        ledger: The address of the ledger.
    """
    process = PROCESSES.Process(target=_sync, args=(str(folder), url, key, die_at, ledger))
    process.start()
    return process


def killed_after(process: BaseProcess, seconds: float) -> None:
    """Kills a sync after some seconds, unless it has ended by then."""
    time.sleep(seconds)
    process.kill()
    process.join()


def _sync(folder: str, url: str, key: str, die_at: int | None, address: str | None) -> None:
    if die_at is not None:
        _die_at(die_at)
    ledger = Ledger.open(address or f"{folder}/ledger.sqlite")
    lake = Lake.open(f"{folder}/lake")
    with MeterClient(key, base_url=url, wait_scale=0, intents=ledger.intents) as client:
        sync(client, ledger, lake, limits=LIMITS)
    ledger.close()


def _die_at(count: int) -> None:
    """Ends the process without any clean-up before or after a write, once `count` such steps are done."""
    left = [count]

    def step() -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(137)

    def stepping(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            step()
            result = function(*args, **kwargs)
            step()
            return result

        return call

    for owner, name in ((pathlib.Path, "replace"), (pathlib.Path, "rename"), (shutil, "rmtree"), (os, "fsync")):
        setattr(owner, name, stepping(getattr(owner, name)))
    writing = Ledger.writing

    @contextmanager
    def stepping_writing(self: Ledger, **options: Any) -> Iterator[Any]:
        with writing(self, **options) as connection:
            yield connection
            step()
        step()

    Ledger.writing = stepping_writing  # type: ignore[method-assign]
