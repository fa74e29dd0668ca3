"""A large job that is read by several processes shows what it shows to a single one."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from meter_pipeline.api import Job, JobBody
from meter_pipeline.sync.audit.profiler import PieceProfiler
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading import pieces
from meter_pipeline.sync.loading.pieces import Pieces
from meter_pipeline_tests.behaviour.thorough import slow

TIME = datetime(2026, 3, 2, tzinfo=timezone.utc)
# Small pieces, and still more items than a profile takes apart.
PIECE_ITEMS = 300
ITEMS = 12 * PIECE_ITEMS
JOB = Job(job_id="job", strategy_id="s", url="https://x.example", completed_at=TIME, item_count=ITEMS)


def item(number: int) -> bytes:
    """An item; some cannot be loaded, and fields come and widen in the middle of the job."""
    if number % 361 == 7:
        return b'{"price": NaN}'
    made: dict[str, Any] = {
        "sku": f"S{number}",
        "price": f"£{number % 997}.50",
        "stock": number if number < ITEMS // 2 else number / 4,
        "seller": {"name": f"Harbour {number % 3}", "since": f"2024-01-{number % 28 + 1:02d}"},
    }
    if number > ITEMS * 3 // 4:
        made["note"] = "signed"
    return json.dumps(made).encode()


RECEIVED = [item(number) for number in range(ITEMS)]
WRAPPED = [
    b'{"products": [' + b",".join(RECEIVED[start : start + 5]) + b"]}"
    for start in range(0, ITEMS, 5)
    if b"NaN" not in b"".join(RECEIVED[start : start + 5])
]


class Watched(pieces._Reader):
    """Reads in the parent only once another process has read, and dies there if it is to."""

    folder: Path
    parent = 0
    is_killed = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _watch, (super().__reduce__()[1], self.folder, os.getpid(), self.is_killed)

    def __call__(self, received: Any) -> Any:
        called = self.folder / "called"
        if self.parent not in (0, os.getpid()):
            called.touch()
            if self.is_killed:
                os.kill(os.getpid(), signal.SIGKILL)
        elif received.start >= 2 * PIECE_ITEMS:
            until = time.monotonic() + 60
            while not called.exists():
                assert time.monotonic() < until, "no other process reads"
                time.sleep(0.01)
        return super().__call__(received)


def _watch(arguments: tuple[Any, ...], folder: Path, parent: int, is_killed: bool) -> Watched:
    watched = Watched(*arguments)
    watched.folder, watched.parent, watched.is_killed = folder, parent, is_killed
    return watched


@pytest.fixture(autouse=True, scope="module")
def _small_pieces() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pieces, "PIECE_ITEMS", PIECE_ITEMS)
        yield


def read(path: str | None, helpers: int) -> tuple[Any, ...]:
    """All that a job shows, and its raw rows."""
    profiler = PieceProfiler(TIME.isoformat())
    found = Pieces(JOB, profiler, path)
    text = b"[" + b",".join(RECEIVED if path is None else WRAPPED) + b"]"
    rows = pa.concat_tables(found.raw_rows(JobBody(JOB, "array", len(text), text=text), limits(helpers)))
    shown = (found.received, found.item_count, found.fields, found.facts, found.sample, found.rejected, found.rejection)
    return (rows, profiler.finish().dump(), *shown)


def limits(helpers: int) -> Limits:
    """Limits that allow other processes for any work."""
    return Limits(helpers=helpers, process_seconds=1e-9)


@pytest.fixture(scope="module", params=[None, slow("products")])
def alone(request: pytest.FixtureRequest) -> tuple[str | None, tuple[Any, ...]]:
    """The path of the items, and what a single process reads."""
    shown = read(request.param, 0)
    rows, _, received, count, fields, facts, sample, rejected, rejection = shown
    assert rows.num_rows == count > 11 * PIECE_ITEMS
    assert [field.name for field in fields] == ["sku", "price", "stock", "seller", "note"]
    assert [field.type.kind for field in fields] == ["text", "text", "double", "struct", "text"]
    assert {"price", "seller.since"} <= set(facts)
    assert sample[0]["sku"] == "S0"
    if request.param is None:
        assert (received, rejected) == (ITEMS, 10)
        assert rejection.startswith("item_index 7: ")
    return request.param, shown


@pytest.mark.parametrize(("helpers", "is_killed"), [(1, True), slow(2, False)], ids=["one that dies", "two"])
def test_several_processes_read_what_a_single_one_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alone: tuple[str | None, tuple[Any, ...]],
    caplog: pytest.LogCaptureFixture,
    helpers: int,
    is_killed: bool,
) -> None:
    path, shown = alone
    monkeypatch.setattr(Watched, "folder", tmp_path, raising=False)
    monkeypatch.setattr(Watched, "is_killed", is_killed)
    monkeypatch.setattr(pieces, "_Reader", Watched)
    assert read(path, helpers) == shown
    assert bool(caplog.messages) == is_killed


def test_a_first_piece_without_items_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = [b"NaN"] * (PIECE_ITEMS + 10)
    monkeypatch.setattr(Watched, "folder", tmp_path, raising=False)
    text = b"[" + b",".join([*bad, *RECEIVED]) + b"]"
    found = []
    for reader, helpers in ((pieces._Reader, 0), (Watched, 1)):
        monkeypatch.setattr(pieces, "_Reader", reader)
        profiler = PieceProfiler(TIME.isoformat())
        some = Pieces(JOB, profiler)
        rows = pa.concat_tables(some.raw_rows(JobBody(JOB, "array", len(text), text=text), limits(helpers)))
        found.append((rows, profiler.finish().dump(), some.fields, some.rejected))
    assert found[0] == found[1]
    assert found[0][3] == len(bad) + 10
