"""From raw items to typed rows: infer, widen, hash, key, and write `results`.

A batch that was just fetched and a batch read back from the lake are handled alike: as numbers of distinct texts.
"""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field, Type
from meter_pipeline.store.item_json import ItemError
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import RAW, RESULTS
from meter_pipeline.store.lake.tables import find_runs
from meter_pipeline.sync.beside import run_beside
from meter_pipeline.sync.items.identity import Identity, Occurrences
from meter_pipeline.sync.items.readings import PLAIN, Readings, columns_of
from meter_pipeline.sync.items.repeats import number_by_content, whole_jobs
from meter_pipeline.sync.items.texts import Gathered, Items, Texts
from meter_pipeline.sync.limits import Limits

Place = tuple[str, str]
"""Time and id of a job, which order all jobs."""
_JSON = b"meter.json"
# How often all remaining jobs are checked at once, before each is checked by itself.
_TRIES = 3
# Bytes of distinct texts that are kept while rows are read back from the lake.
_TEXT_BYTES = 2**20
# Rows of a large job that are typed at a time.
_PIECE_ROWS = 4_096


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


class RawRows:
    """Rows of `raw`, which go to another process without the rows around them.

    Attributes:
        batch: The rows.
        is_whole: Whether each job of theirs is whole.
    """

    def __init__(self, batch: pa.RecordBatch, *, is_whole: bool) -> None:
        self.batch = batch
        self.is_whole = is_whole

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpack_raw, (self.batch.serialize(), self.batch.schema, self.is_whole)


def _unpack_raw(packed: pa.Buffer, schema: pa.Schema, is_whole: bool) -> RawRows:
    return RawRows(pa.ipc.read_record_batch(packed, schema), is_whole=is_whole)


class TypedRows(NamedTuple):
    """Rows of `results` in the form in which they come from another process.

    Attributes:
        packed: The rows.
        duplicates: Number of items whose key an earlier item has, by job; None where jobs are not whole, whose keys are
            still to be numbered.
    """

    packed: pa.Buffer
    duplicates: dict[str, int] | None


class Typist:
    """`typed` for rows read back from the lake: what it returns depends on the rows alone.

    Args:
        fields: The strategy's fields.
        identity: The identity that keys and hashes its items.
        readings: How the texts of the fields are read.
    """

    def __init__(self, fields: Sequence[Field], identity: Identity, readings: Readings) -> None:
        # Without what rows do not depend on, which can be much.
        self._readings = Readings({}, dict(readings.chosen), dict(readings.columns), {})
        self._fields, self._identity = fields, identity
        self._texts = Texts()

    def __reduce__(self) -> tuple[Any, ...]:
        return Typist, (self._fields, self._identity, self._readings)

    def __call__(self, rows: RawRows) -> TypedRows:
        """Rows of `results` for rows of `raw`.

        Raises:
            ItemError: An item cannot be parsed.
        """
        with paused_collection():
            table, duplicates = self._type(rows.batch, is_whole=rows.is_whole)
        # One batch in this form, wherever it is made: rows end up in the same row groups then.
        batches = table.combine_chunks().to_batches()
        return TypedRows(batches[0].serialize(), duplicates)

    def _type(self, raw: pa.RecordBatch, *, is_whole: bool) -> tuple[pa.Table, dict[str, int] | None]:
        if self._texts.bytes > _TEXT_BYTES:
            self._texts = Texts()
        texts = self._texts
        numbers = texts.take(raw["item"].cast(pa.binary()).to_pylist())
        if texts.problems:
            raise ItemError(next(iter(texts.problems.values())))
        texts.identify(self._identity)
        rows = Gathered.of(texts, [numbers])
        duplicates: dict[str, int] | None = None
        keys = rows.keys()
        if is_whole:
            duplicates, plain = self._number(raw, numbers)
            keys = pa.array(plain, pa.string())
        about = [raw[name] for name in ("job_id", "schedule_id", "url", "item_index", "completed_at")]
        return typed(about, rows, keys, self._fields, self._readings), duplicates

    def _number(self, raw: pa.RecordBatch, numbers: npt.NDArray[np.int64]) -> tuple[dict[str, int], list[str]]:
        """Repeats of whole jobs, by job, and the keys of all rows."""
        texts, duplicates, keys = self._texts, dict[str, int](), list[str]()
        for job_id, start, end in find_runs(raw["job_id"]):
            own = numbers[start:end].tolist()
            plain = [texts.keys[number] for number in own]
            duplicates[job_id] = len(plain) - len(set(plain))
            if duplicates[job_id]:
                plain = number_by_content(plain, [texts.values[number] for number in own], self._identity)
            keys += plain
        return duplicates, keys


class Retyping:
    """Rows of `results` for rows read back from the lake, where a job may span several batches.

    Args:
        fields: The strategy's fields.
        identity: The identity that keys and hashes its items.
        readings: How the texts of the fields are read.
        limits: How many processes may type.

    Attributes:
        duplicates: Number of items whose key an earlier item has, by job.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        identity: Identity,
        readings: Readings = PLAIN,
        limits: Limits = Limits(),
    ) -> None:
        self._typist = Typist(fields, identity, readings)
        self._schema = results_schema(fields, readings)
        self._limits = limits
        self._occurrences = ("", Occurrences())
        self.duplicates: dict[str, int] = {}

    def tables(self, batches: Iterable[pa.RecordBatch], items: int = 0) -> Iterator[pa.Table]:
        """Rows of `results` for rows of `raw`, batch by batch; the rows of a job must be adjacent.

        Args:
            batches: The rows of `raw`.
            items: How many there are, as far as known: other processes type many of them.

        Raises:
            ItemError: An item cannot be parsed.
        """
        limits = self._limits
        rows = run_beside(self._typist, _small_pieces(batches), limits.helpers_for(items), most=limits.helpers)
        with closing(rows):
            for packed, duplicates in rows:
                table = pa.Table.from_batches([pa.ipc.read_record_batch(packed, self._schema)])
                if duplicates is None:
                    yield self._number(table)
                else:
                    self.duplicates |= duplicates
                    yield table

    def _number(self, table: pa.Table) -> pa.Table:
        """Numbers equal keys of jobs that may go on in the next rows."""
        keys: list[str] = []
        plain = table["_meter_item_key"].to_pylist()
        for job_id, start, end in find_runs(table["_meter_job_id"].combine_chunks()):
            if self._occurrences[0] != job_id:
                self._occurrences = (job_id, Occurrences())
            keys += self._occurrences[1].number(plain[start:end])
            self.duplicates[job_id] = self._occurrences[1].duplicates
        if keys == plain:
            return table
        place = table.column_names.index("_meter_item_key")
        return table.set_column(place, table.schema.field(place), pa.array(keys, pa.string()))


def _small_pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[RawRows]:
    """Whole jobs as they come, and others in pieces: what is parsed of a piece stays in the processor's cache."""
    for batch, is_whole in whole_jobs(batches):
        if is_whole:
            yield RawRows(batch, is_whole=True)
            continue
        for start in range(0, batch.num_rows, _PIECE_ROWS):
            yield RawRows(batch.slice(start, _PIECE_ROWS), is_whole=False)


def rewrite(
    draft: Draft,
    fields: Sequence[Field],
    identity: Identity,
    accepted: Mapping[str, str],
    readings: Readings = PLAIN,
    limits: Limits = Limits(),
) -> dict[str, int]:
    """Makes all of a strategy's `results` again from `raw`.

    Args:
        draft: The strategy's rows.
        fields: Its fields, which must hold every value of every accepted job.
        identity: The identity that keys and hashes its items.
        accepted: Times of the jobs that have rows in `results`, ISO 8601, by id.
        readings: How the texts of the fields are read.
        limits: How many processes may type.

    Returns:
        Number of items whose key an earlier item has, by job.
    """
    retyping = Retyping(fields, identity, readings, limits)
    items = sum(part.rows for part in draft.of("raw"))
    rows = retyping.tables(draft.scan("raw", accepted, RAW.names), items)
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
