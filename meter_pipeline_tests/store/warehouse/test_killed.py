"""Publishing killed (`kill -9`) at each step: readers stay on a whole publication, and the next one succeeds."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.store import cleaning
from meter_pipeline.store.ledger import manifest
from meter_pipeline.store.warehouse import candidate, pins, publications, published_file
from meter_pipeline_tests.behaviour.thorough import every
from meter_pipeline_tests.forking import PROCESSES, import_before_forks
from meter_pipeline_tests.store.warehouse.desk import MARCH, Desk, FilledDesk, Marts, open_desk

import_before_forks(__name__)

# What publishing calls, in this order: owner, name, and which call it is.
CALLS: dict[str, tuple[Any, str, int]] = {
    "folder": (publications, "begin", 1),
    "pin": (pins, "open_pin", 1),
    "copy of the last one": (published_file, "copy_content", 1),
    "snapshot": (candidate, "read_snapshot", 1),
    "end of the snapshot": (pins, "close_pin", 1),
    "views": (candidate, "create_lake_views", 1),
    "models": (Marts, "build", 1),
    "seal": (publications, "finish", 1),
    "copy": (published_file, "copy_content", 2),
    "log": (published_file, "_block_log", 1),
    "swap": (publications, "show", 1),
    "history": (publications, "record", 2),
    "expiry": (publications, "expire", 1),
    "pins of others": (pins, "tidy_pins", 1),
    "cleaning": (cleaning, "clean", 1),
}
POINTS = [f"{when} {name}" for name in CALLS for when in ("before", "after")]
# The end of a step is the start of the next, almost: the quick suite kills before every second one.
_KILLS = every(4, POINTS)


def _publish(folder: str, point: str) -> None:
    when, _, name = point.partition(" ")
    owner, method, which = CALLS[name]
    setattr(owner, method, _dying(getattr(owner, method), when, which))
    with open_desk(Path(folder)) as desk:
        desk.publish(Marts(), keep_hours=0)


def _dying(function: Callable[..., Any], when: str, which: int) -> Callable[..., Any]:
    calls = [0]

    def call(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == which and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if calls[0] == which:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


@pytest.fixture(scope="module")
def filled_desk(tmp_path_factory: pytest.TempPathFactory) -> FilledDesk:
    def fill(desk: Desk) -> None:
        desk.load("books", "j1", MARCH, "a")
        desk.publish(Marts())
        desk.publish(Marts(), force=True)
        desk.load("books", "j1", MARCH, "a", "b")

    return FilledDesk(tmp_path_factory.mktemp("filled"), fill)


@pytest.fixture
def desk(filled_desk: FilledDesk) -> Iterator[Desk]:
    """A published warehouse; the ledger has moved on since, and rewrote what is published."""
    with filled_desk.open() as desk:
        yield desk


@pytest.mark.parametrize("point", _KILLS)
def test_readers_and_the_next_publication_survive_a_kill(desk: Desk, point: str) -> None:
    process = PROCESSES.Process(target=_publish, args=(str(desk.path.parent), point))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    counts = (
        "SELECT (SELECT count(*) FROM meter.items), (SELECT count(*) FROM results.books), "
        "(SELECT count(*) FROM marts.changes), (SELECT sum(items)::BIGINT FROM meter.jobs)"
    )
    ((seen, *others),) = desk.ask(counts)
    assert others == [seen] * 3
    is_published = POINTS.index(point) >= POINTS.index("after swap")
    assert seen == (2 if is_published else 1)
    # Nothing that readers see is deleted, however long ago it left.
    cleaning.clean(desk.ledger, desk.lake, grace=cleaning.timedelta(0))
    assert desk.ask(counts) == [(seen,) * 4]
    assert desk.publish(Marts(), keep_hours=0).unchanged == is_published
    desk.load("books", "j2", MARCH, "c")
    desk.publish(Marts(), keep_hours=0)
    assert desk.ask(counts) == [(3,) * 4]
    listed = publications.listing(desk.path)
    assert [entry.state for entry in listed] == ["kept", "current"]
    assert {entry.publication_id for entry in listed} == publications.existing(desk.path)
    with desk.ledger.reading() as connection:
        assert set(manifest.read_renewals(connection, pins.place_of(desk.path))) == publications.existing(desk.path)
    assert not list(desk.path.parent.glob(".warehouse*"))
