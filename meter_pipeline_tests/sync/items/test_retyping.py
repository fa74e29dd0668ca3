"""Rows that are typed by several processes are, byte for byte, those of a single one."""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from meter_pipeline.api import Job
from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.store import columns
from meter_pipeline.store.item_json import ItemError
from meter_pipeline.store.lake import part_files
from meter_pipeline.store.lake.files import LocalFiles
from meter_pipeline.sync.items import repeats, results
from meter_pipeline.sync.items.identity import Identity
from meter_pipeline.sync.items.raw import item_texts, raw_rows
from meter_pipeline.sync.items.readings import PLAIN, SeenTexts, observe_objects
from meter_pipeline.sync.items.results import Retyping, TypedRows, Typist, results_schema
from meter_pipeline.sync.items.rules import ChosenRules
from meter_pipeline.sync.limits import Limits
from meter_pipeline_tests.behaviour.thorough import slow

START = datetime(2026, 3, 2, tzinfo=timezone.utc)
# Larger than what is numbered by content, so that keys are numbered over all pieces.
MOST_BYTES, PIECE_ROWS = 100_000, 300
LARGE, SMALL = 4_000, 200
COUNTS = [SMALL, LARGE, SMALL, SMALL]


def item(number: int) -> dict[str, Any]:
    """An item with a key that repeats, and with values of all kinds, some absent."""
    made: dict[str, Any] = {
        "sku": number % 3_900,
        "title": f"Tide Tables {number} " + "x" * 180,
        "price": f"£{number % 97}.50",
        "seen": f"{number % 5 + 1} days ago",
        "seller": {"name": f"Harbour {number % 3}", "since": "2024-01-05"},
        "tags": ["b", "a"][: number % 3],
    }
    if number % 7 == 0:
        made["note"] = None if number % 2 else "signed"
    return made


@pytest.fixture(autouse=True, scope="module")
def _small_pieces() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(repeats, "MOST_BYTES", MOST_BYTES)
        patched.setattr(results, "_PIECE_ROWS", PIECE_ROWS)
        yield


@pytest.fixture(scope="module")
def batches() -> list[pa.RecordBatch]:
    """Rows of `raw`: a large job between small ones."""
    found = []
    for number, count in enumerate(COUNTS):
        job = Job(job_id=f"job-{number}", strategy_id="s", url="https://x.example", completed_at=START)
        texts = [json.dumps(item(place), ensure_ascii=False).encode() for place in range(count)]
        rows = raw_rows([(job, np.arange(count))], item_texts(texts))
        found += rows.to_batches(max_chunksize=1_600)
    return found


@pytest.fixture(scope="module")
def arguments() -> tuple[Any, ...]:
    """Fields, identity and readings of the items."""
    objects = [item(place) for place in range(1_000)]
    fields = columns.infer_fields(objects, ("2026-03-02", "job-0", 0))
    seen = observe_objects(objects, fields, {}, SeenTexts())
    readings = PLAIN.with_facts(seen).settle(fields, ChosenRules(key=("sku",)))
    assert {"price", "seen"} <= set(readings.chosen)
    return fields, Identity(ItemRules(key=("sku",), ignore=("seen",))), readings


class Watched(Typist):
    """Types in the parent only once another process has typed, and dies there if it is to."""

    folder: Path
    parent: int
    is_killed = False

    def __reduce__(self) -> tuple[Any, ...]:
        _, rest = super().__reduce__()  # type: ignore[misc]
        return _watch, (rest, self.folder, os.getpid(), self.is_killed)

    def __call__(self, rows: Any) -> TypedRows:
        called = self.folder / "called"
        if os.getpid() == getattr(self, "parent", os.getpid()):
            until = time.monotonic() + 60
            while not called.exists():
                assert time.monotonic() < until, "no other process types"
                time.sleep(0.01)
        else:
            called.touch()
            if self.is_killed:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(rows)


def _watch(rest: tuple[Any, ...], folder: Path, parent: int, is_killed: bool) -> Watched:
    watched = Watched(*rest)
    watched.folder, watched.parent, watched.is_killed = folder, parent, is_killed
    return watched


def write(folder: Path, batches: list[pa.RecordBatch], arguments: tuple[Any, ...], helpers: int) -> tuple[bytes, Any]:
    """The bytes of the typed part, and the repeats by job."""
    retyping = Retyping(*arguments, Limits(helpers=helpers, process_seconds=1e-9))
    schema = results_schema(arguments[0], arguments[2])
    tables = retyping.tables(batches, sum(COUNTS))
    (part,) = part_files.write_parts(LocalFiles(folder), "results", "s", "ledger", tables, schema)
    return (folder / part.name).read_bytes(), retyping.duplicates


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory, batches: list[pa.RecordBatch], arguments: tuple[Any, ...]
) -> tuple[bytes, Any]:
    """What a single process writes."""
    written = write(tmp_path_factory.mktemp("alone"), batches, arguments, 0)
    assert written[1] == {"job-0": 0, "job-1": 100, "job-2": 0, "job-3": 0}
    return written


@pytest.mark.parametrize(("helpers", "is_killed"), [slow(1, True), (2, False)], ids=["one that dies", "two"])
def test_several_processes_write_the_bytes_of_a_single_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batches: list[pa.RecordBatch],
    arguments: tuple[Any, ...],
    alone: tuple[bytes, Any],
    helpers: int,
    is_killed: bool,
) -> None:
    monkeypatch.setattr(Watched, "folder", tmp_path, raising=False)
    monkeypatch.setattr(Watched, "is_killed", is_killed)
    monkeypatch.setattr(results, "Typist", Watched)
    assert write(tmp_path, batches, arguments, helpers) == alone


def test_an_item_that_another_process_cannot_parse_is_one_line(
    tmp_path: Path, batches: list[pa.RecordBatch], arguments: tuple[Any, ...]
) -> None:
    rows = batches[2].to_pylist()
    rows[5]["item"] = "{"
    broken = [*batches[:2], pa.RecordBatch.from_pylist(rows, batches[2].schema), *batches[3:]]
    with pytest.raises(ItemError, match="an item is not valid JSON"):
        write(tmp_path, broken, arguments, 1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_rows_reach_another_process_without_those_around_them(batches: list[pa.RecordBatch]) -> None:
    piece = results.RawRows(batches[1].slice(100, 10), is_whole=False)
    packed = pickle.dumps(piece, pickle.HIGHEST_PROTOCOL)
    assert len(packed) < 20_000
    assert pickle.loads(packed).batch.equals(piece.batch)
