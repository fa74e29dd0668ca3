"""From raw items to typed rows: infer, widen, hash, key, and write `results`.

A batch that was just fetched and a batch read back from the lake are handled alike: as numbers of distinct texts.
"""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from meter_pipeline.store import columns
from meter_pipeline.store.columns import ColumnError, Field, Type
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import RAW, RESULTS
from meter_pipeline.store.lake.tables import find_runs
from meter_pipeline.sync.items.identity import Identity, Occurrences
from meter_pipeline.sync.items.readings import PLAIN, Readings, columns_of
from meter_pipeline.sync.items.repeats import number_by_content, whole_jobs
from meter_pipeline.sync.items.texts import Gathered, Items, Texts

Place = tuple[str, str]
"""Time and id of a job, which order all jobs."""
_JSON = b"meter.json"
# How often all remaining jobs are checked at once, before each is checked by itself.
_TRIES = 3
# Bytes of distinct texts that are kept while rows are read back from the lake.
_TEXT_BYTES = 2**20


def widen(
    fields: tuple[Field, ...], jobs: Sequence[tuple[Place, Items]], typed: npt.NDArray[np.bool_]
) -> tuple[Field, ...]:
    """The fields, widened so that they also hold the values of jobs.

    A field's stamp is that of the first item that has it. So a job that precedes a known stamp, or has something new,
    is read item by item; of any other job only texts with unknown types are read.

    Args:
        fields: The known fields.
        jobs: Jobs in order of their places, with one store of texts.
        typed: By number of a text, whether its types are in `fields`; updated in place.
    """
    tries = _TRIES
    for number, (place, items) in enumerate(jobs):
        if fields and _latest(fields) < place:
            if tries and _hold(fields, jobs[number:], typed):
                break
            tries = max(tries - 1, 0)
            if _hold(fields, jobs[number : number + 1], typed):
                continue
        own = columns.infer_fields(items.texts.chosen(items.once), (*place, 0))
        fields = columns.merge_fields(fields, own)
        typed[items.numbers] = True
    return fields


def _hold(fields: tuple[Field, ...], jobs: Sequence[tuple[Place, Items]], typed: npt.NDArray[np.bool_]) -> bool:
    """Whether the fields hold every value of jobs that are later than all stamps."""
    numbers = np.unique(np.concatenate([items.numbers for _, items in jobs]))
    fresh = numbers[~typed[numbers]]
    place, items = jobs[0]
    own = columns.infer_fields(items.texts.chosen(fresh.tolist()), (*place, 0))
    if columns.merge_fields(fields, own) != fields:
        return False
    typed[fresh] = True
    return True


def _latest(fields: Iterable[Field]) -> Place:
    """The latest place among the stamps of fields, at any depth."""
    return max((max(column.first[:2], _latest_within(column.type)) for column in fields), default=("", ""))


def _latest_within(kind: Type) -> Place:
    return max(_latest(kind.fields), _latest_within(kind.element) if kind.element is not None else ("", ""))


def results_schema(fields: Sequence[Field], readings: Readings = PLAIN) -> pa.Schema:
    """The schema of a strategy's `results`; its metadata list the columns that hold JSON text."""
    spelled = json.dumps(columns.json_paths(fields)).encode("utf-8")
    own = (pa.field(column.name, column.type) for column in columns_of(fields, readings))
    return pa.schema([*RESULTS, *own], {_JSON: spelled})


def alike(schema: pa.Schema, other: pa.Schema) -> bool:
    """Whether two schemas have the same columns and spell values in them alike."""
    own, others = ((metadata or {}).get(_JSON) for metadata in (schema.metadata, other.metadata))
    return bool(schema.equals(other)) and own == others


def typed(
    about: Sequence[pa.Array], rows: Gathered, keys: pa.Array, fields: Sequence[Field], readings: Readings = PLAIN
) -> pa.Table:
    """Rows of `results`.

    Args:
        about: Columns about the rows' jobs: see `meter_pipeline.sync.items.raw.job_columns`.
        rows: The items of the rows.
        keys: The keys of the items.
        fields: The strategy's fields, which must hold every value.
        readings: How the texts of the fields are read.
    """
    own: list[pa.Array] = []
    for field, values, column in rows.distinct_columns(fields):
        own += [rows.spread(column), *readings.read(field, values, column, rows.places, about[-1])]
    return pa.table([*about, keys, rows.hashes(), *own], results_schema(fields, readings))


class Retyping:
    """`typed` for rows read back from the lake, where a job may span several batches.

    Attributes:
        duplicates: Number of items whose key an earlier item has, by job.
    """

    def __init__(self, fields: Sequence[Field], identity: Identity, readings: Readings = PLAIN) -> None:
        self._fields, self._identity, self._readings = fields, identity, readings
        self._texts = Texts()
        self._occurrences = ("", Occurrences())
        self.duplicates: dict[str, int] = {}

    def tables(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Rows of `results` for rows of `raw`, batch by batch; the rows of a job must be adjacent.

        Raises:
            ColumnError: An item cannot be parsed.
        """
        for batch, is_whole in whole_jobs(batches):
            with paused_collection():
                yield self._table(batch, is_whole=is_whole)

    def _table(self, raw: pa.RecordBatch, *, is_whole: bool) -> pa.Table:
        if self._texts.bytes > _TEXT_BYTES:
            self._texts = Texts()
        texts = self._texts
        numbers = texts.take(raw["item"].cast(pa.binary()).to_pylist())
        if texts.problems:
            raise ColumnError(next(iter(texts.problems.values())))
        texts.identify(self._identity)
        rows = Gathered.of(texts, [numbers])
        unnumbered = [texts.keys[number] for number in numbers.tolist()]
        keys: list[str] = []
        for job_id, start, end in find_runs(raw["job_id"]):
            if is_whole:
                plain = unnumbered[start:end]
                self.duplicates[job_id] = len(plain) - len(set(plain))
                if self.duplicates[job_id]:
                    values = [texts.values[number] for number in numbers[start:end].tolist()]
                    plain = number_by_content(plain, values, self._identity)
                keys += plain
                continue
            # Only the last job of a batch can continue in the next.
            if self._occurrences[0] != job_id:
                self._occurrences = (job_id, Occurrences())
            keys += self._occurrences[1].number(unnumbered[start:end])
            self.duplicates[job_id] = self._occurrences[1].duplicates
        about = [raw[name] for name in ("job_id", "schedule_id", "url", "item_index", "completed_at")]
        return typed(about, rows, pa.array(keys, pa.string()), self._fields, self._readings)


def rewrite(
    draft: Draft,
    fields: Sequence[Field],
    identity: Identity,
    accepted: Mapping[str, str],
    readings: Readings = PLAIN,
) -> dict[str, int]:
    """Makes all of a strategy's `results` again from `raw`.

    Args:
        draft: The strategy's rows.
        fields: Its fields, which must hold every value of every accepted job.
        identity: The identity that keys and hashes its items.
        accepted: Times of the jobs that have rows in `results`, ISO 8601, by id.
        readings: How the texts of the fields are read.

    Returns:
        Number of items whose key an earlier item has, by job.
    """
    retyping = Retyping(fields, identity, readings)
    rows = retyping.tables(draft.scan("raw", accepted, RAW.names))
    draft.replace("results", rows, results_schema(fields, readings))
    return retyping.duplicates


class _Pause:
    """Counts the threads that have paused the garbage collector, of which a process has one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._enabled = False

    def begin(self) -> None:
        """Pauses the collector for one more thread."""
        with self._lock:
            if self._count == 0:
                self._enabled = gc.isenabled()
                gc.disable()
            self._count += 1

    def end(self) -> None:
        """Ends a thread's pause; after the last one the collector runs again, if it ran before."""
        with self._lock:
            self._count -= 1
            if self._count == 0 and self._enabled:
                gc.enable()


_pause = _Pause()


@contextmanager
def paused_collection() -> Iterator[None]:
    """Pauses the garbage collector, which would walk parsed JSON repeatedly although that has no cycles."""
    _pause.begin()
    try:
        yield
    finally:
        _pause.end()
