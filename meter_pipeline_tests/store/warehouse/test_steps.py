"""Every step of publishing made to fail: readers stay on the last good publication, and the next one succeeds."""

from __future__ import annotations

import errno
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle
from typing import Any

import duckdb
import pytest

from meter_pipeline.store import cleaning
from meter_pipeline.store.errors import StoreError
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import candidate, pins, publications, published_file
from meter_pipeline_tests.behaviour.thorough import TIMES, every, slow
from meter_pipeline_tests.store.warehouse.desk import MARCH, Desk, FilledDesk, Marts

# What publishing calls, in turn: owner and name.
STEPS: list[tuple[Any, str]] = [
    (publications, "record"),
    (publications, "sweep"),
    (publications, "begin"),
    (publications, "find_current"),
    (pins, "open_pin"),
    (candidate, "read_snapshot"),
    (candidate, "_create_ledger_tables"),
    (pins, "close_pin"),
    (candidate, "_carry_tables"),
    (candidate, "audit_files"),
    (candidate, "create_lake_views"),
    (candidate, "audit_rows"),
    (Marts, "build"),
    (publications, "history"),
    (publications, "finish"),
    (publications, "seal"),
    (publications, "show"),
    (published_file, "copy_content"),
    (published_file, "_block_log"),
    (publications, "expire"),
    (pins, "tidy_pins"),
    (cleaning, "clean"),
]
# Calls of the system and of libraries that several steps make: of every fourth one each fourth call fails, in
# `make slow` each call of all of them.
CALLS: list[tuple[Any, str]] = [
    (pathlib.Path, "replace"),
    (pathlib.Path, "mkdir"),
    (pathlib.Path, "chmod"),
    (pathlib.Path, "open"),
    (pathlib.Path, "write_text"),
    (pathlib.Path, "symlink_to"),
    (pathlib.Path, "unlink"),
    (os, "fsync"),
    (os, "utime"),
    (shutil, "rmtree"),
    (Ledger, "writing"),
    (Ledger, "reading"),
    (Ledger, "reading_state"),
    (duckdb, "connect"),
]
FAILURES: dict[str, Callable[[], BaseException]] = {
    "no space": lambda: OSError(errno.ENOSPC, "No space left on device", "somewhere"),
    "no permission": lambda: PermissionError(errno.EACCES, "Permission denied", "somewhere"),
    "interrupt": KeyboardInterrupt,
}
# Every second step fails in one way, the ways in turn; in `make slow`, each step fails in every way.
STEPS_THAT_FAIL = [
    (pytest.param if step % 2 == 0 and step % len(FAILURES) == way else slow)(
        owner, name, failure, id=f"{name}-{failure}"
    )
    for step, (owner, name) in enumerate(STEPS)
    for way, failure in enumerate(FAILURES)
]


@pytest.fixture(scope="module")
def filled_desk(tmp_path_factory: pytest.TempPathFactory) -> FilledDesk:
    def fill(desk: Desk) -> None:
        desk.load("books", "j1", MARCH, "a")
        desk.publish(Marts())
        desk.load("books", "j2", MARCH, "b")

    return FilledDesk(tmp_path_factory.mktemp("filled"), fill)


@pytest.fixture
def desk(filled_desk: FilledDesk) -> Iterator[Desk]:
    """A published warehouse; the ledger has moved on since."""
    with filled_desk.open() as desk:
        yield desk


def readers_see(desk: Desk) -> int:
    """Number of jobs in the published warehouse, which is whole."""
    ((jobs, items, results, changes, marts),) = desk.ask(
        "SELECT (SELECT count(*) FROM meter.jobs), (SELECT count(*) FROM meter.items), "
        "(SELECT count(*) FROM results.books), (SELECT count(*) FROM meter.item_changes), "
        "(SELECT count(*) FROM marts.changes)"
    )
    assert jobs == items == results == changes == marts
    current = publications.find_current(desk.path)
    assert current is not None
    assert current.is_intact
    return int(jobs)


def fail(patch: pytest.MonkeyPatch, owner: Any, name: str, failure: BaseException, which: int) -> list[int]:
    """Makes one call of a function fail, before and not instead of its work; returns a list with the calls so far."""
    function, calls = getattr(owner, name), [0]

    def failing(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == which:
            raise failure
        return function(*arguments, **options)

    patch.setattr(owner, name, failing)
    return calls


def publish_and_fail(desk: Desk, owner: Any, name: str, failure: BaseException, which: int) -> bool:
    """Publishes with a call that fails; returns whether it was reached."""
    with pytest.MonkeyPatch.context() as patch:
        calls = fail(patch, owner, name, failure, which)
        with suppress(StoreError, KeyboardInterrupt, OSError):
            desk.publish(Marts(), keep_hours=0)
    return calls[0] >= which


@pytest.mark.parametrize(("owner", "name", "failure"), STEPS_THAT_FAIL)
def test_a_step_that_fails_leaves_readers_on_a_whole_publication(
    desk: Desk, owner: Any, name: str, failure: str
) -> None:
    assert publish_and_fail(desk, owner, name, FAILURES[failure](), 1)
    seen = readers_see(desk)
    assert seen in (1, 2)
    desk.load("books", "j3", MARCH, "c")
    desk.publish(Marts(), keep_hours=0)
    assert readers_see(desk) == 3
    ids = [publication_id for (publication_id,) in desk.ask("SELECT publication_id FROM meter.publications")]
    assert len(ids) == len(set(ids)) == seen + 1


@pytest.mark.parametrize(("owner", "name"), every(4, CALLS), ids=[f"{owner.__name__}.{name}" for owner, name in CALLS])
def test_each_call_of_the_system_may_fail(desk: Desk, owner: Any, name: str) -> None:
    seen, jobs, failures = 1, 2, cycle(FAILURES.values())
    for which in range(1, 100, 4 if TIMES == 1 else 1):
        is_reached = publish_and_fail(desk, owner, name, next(failures)(), which)
        now = readers_see(desk)
        assert now in (seen, jobs)
        if not is_reached:
            break
        if now == jobs:
            jobs += 1
            desk.load("books", f"j{jobs}", MARCH, str(jobs))
        seen = now
    else:
        pytest.fail("the calls never end")
    desk.publish(Marts())
    assert readers_see(desk) == jobs
    assert {listed.state for listed in publications.listing(desk.path)} <= {"kept", "current"}
