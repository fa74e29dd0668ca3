"""Reads a job too large for memory piece by piece, in several processes where there are any.

What a piece shows does not depend on the pieces before it: its fields, the facts of its texts, the items that may count
for the job's profile, and what cannot be loaded. The raw rows are made where the body is, which is read in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from meter_pipeline.api import Job, JobBody
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.field_values import FieldValues
from meter_pipeline.store.item_json import ItemError, as_objects, parse_items
from meter_pipeline.sync.audit.profiler import PickedItems, PieceProfiler
from meter_pipeline.sync.beside import run_beside
from meter_pipeline.sync.items.inside import take_out
from meter_pipeline.sync.items.raw import item_texts, raw_rows, time_of
from meter_pipeline.sync.items.readings import SeenTexts, merge_facts, observe_columns
from meter_pipeline.sync.items.results import paused_collection
from meter_pipeline.sync.items.texts import Numbers
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.rejects import Reject, number_after, sort_out
from meter_pipeline.sync.values.facts import FieldFacts

SAMPLE_ITEMS = 5
# Items of a large job that are in memory at a time.
PIECE_ITEMS = 2_500
# More fields than a piece of a job can have.
PIECE_FIELDS = 1_000_000


class _Received(NamedTuple):
    """A piece of a job: its items as received, and the position of the first one in the job."""

    items: list[bytes]
    start: int


class _Shown(NamedTuple):
    """What a piece of a job shows.

    Attributes:
        size: How many of its items can be loaded.
        fields: The fields of these.
        facts: What the texts of these fields show, unless an earlier piece of the same process has shown it.
        sample: The first of these items.
        picked: Those that may count for the job's profile; None where none is made.
    """

    size: int
    fields: tuple[Field, ...]
    facts: dict[str, FieldFacts]
    sample: list[dict[str, Any]]
    picked: PickedItems | None


_Read: TypeAlias = tuple[_Shown, Numbers, list[Reject]]
"""What a piece shows, the positions of its items that can be loaded, and its other items."""


class _Reader:
    """Parses pieces of one job, in any order: what they show together is the same in whatever process each is read.

    Args:
        time: When the job was scraped, ISO 8601.
        job_id: The job.
        profiler: Picks items for the job's profile; None if none is made.
    """

    def __init__(self, time: str, job_id: str, profiler: PieceProfiler | None) -> None:
        self._time, self._job_id, self._profiler = time, job_id, profiler
        self._facts: dict[str, FieldFacts] = {}
        self._seen = SeenTexts()

    def __reduce__(self) -> tuple[Any, ...]:
        profiler = None if self._profiler is None else self._profiler.without_items()
        return _Reader, (self._time, self._job_id, profiler)

    def __call__(self, received: _Received) -> _Read:
        """Reads a piece."""
        with paused_collection():
            piece = sort_out(*received)
            return self.show(piece.values, received.start), piece.positions, piece.rejects

    def show(self, values: list[Any], start: int) -> _Shown:
        """What parsed items show, the first of which is at position `start`."""
        objects = as_objects(values)
        by_field = FieldValues(objects)
        # Far apart, so that fields of a later piece come after those of an earlier one, as in one piece.
        fields = columns.infer_columns(by_field, (self._time, self._job_id, start * PIECE_FIELDS))
        facts = observe_columns(by_field, fields, self._facts, self._seen)
        self._facts = merge_facts(self._facts, facts)
        picked = None
        if self._profiler is not None and values:
            picked = self._profiler.pick(values)
            self._profiler.add(picked)
        return _Shown(len(values), fields, facts, objects[:SAMPLE_ITEMS], picked)


class Pieces:
    """Fields, sample and item count of a large job, gathered piece by piece.

    Args:
        job: The job.
        profiler: Makes its profile; None if none is made.
        path: Path of the array whose elements are the items; None if the received items are.
    """

    def __init__(self, job: Job, profiler: PieceProfiler | None = None, path: str | None = None) -> None:
        self._job = job
        self._profiler = profiler
        self._path = path
        self._reader = _Reader(time_of(job), job.job_id, None if profiler is None else profiler.without_items())
        self.received = 0
        self.item_count = 0
        self.fields: tuple[Field, ...] = ()
        self.facts: dict[str, FieldFacts] = {}
        self.problem: str | None = None
        self.sample: list[dict[str, Any]] = []
        self.rejected = 0
        self._first_reject: Reject | None = None

    @property
    def rejection(self) -> str | None:
        """Which is the first of the rejected items, and why; None without any."""
        first = self._first_reject
        if first is None or self._path is None:
            return None if first is None else str(first)
        return str(number_after(self.item_count, [first])[0])

    def raw_rows(self, body: JobBody, limits: Limits) -> Iterator[pa.Table]:
        """Raw rows of the job, piece by piece; each piece is added to what is gathered."""
        waiting: deque[_Received] = deque()

        def received() -> Iterator[_Received]:
            for piece in self._received(body):
                waiting.append(piece)
                yield piece

        with closing(self._read(received(), limits)) as found:
            for shown, positions, rejects in found:
                items, start = waiting.popleft()
                self._add(shown)
                self._reject(rejects)
                if rejects:
                    items = [items[position - start] for position in positions.tolist()]
                if items:
                    yield raw_rows([(self._job, positions)], item_texts(items))

    def add_stored(self, items: list[bytes], start: int) -> None:
        """Adds the next items of a job in the lake, where a job of an older version may have any.

        Args:
            items: The items.
            start: The position of the first one.
        """
        if self.problem is None:
            try:
                self._add(self._reader.show(parse_items(items), start))
            except ItemError as error:
                self.problem = str(error)

    def _received(self, body: JobBody) -> Iterator[_Received]:
        """The job's items in pieces; where items are elements of received ones, these can all be loaded."""
        elements = 0
        for items in body.batches(PIECE_ITEMS):
            start, self.received = self.received, self.received + len(items)
            if self._path is None:
                yield _Received(items, start)
                continue
            piece = sort_out(items, start)
            self._reject(piece.rejects)
            inner = take_out(piece.items, self._path)
            for place in range(0, len(inner), PIECE_ITEMS):
                yield _Received(inner[place : place + PIECE_ITEMS], elements + place)
            elements += len(inner)

    def _read(self, pieces: Iterator[_Received], limits: Limits) -> Generator[_Read, None, None]:
        for piece in pieces:
            read = self._reader(piece)
            yield read
            if read[0].size:
                # Its items have decided what identifies all of them: other processes must know.
                break
        helpers = limits.helpers_for(self._job.item_count or 0)
        yield from run_beside(self._reader, pieces, helpers, most=limits.helpers)

    def _reject(self, rejects: Iterable[Reject]) -> None:
        for reject in rejects:
            self.rejected += 1
            self._first_reject = self._first_reject or reject

    def _add(self, shown: _Shown) -> None:
        self.item_count += shown.size
        self.fields = columns.merge_fields(self.fields, shown.fields)
        self.facts = merge_facts(self.facts, shown.facts)
        self.sample = self.sample or shown.sample
        if self._profiler is not None and shown.picked is not None:
            self._profiler.add(shown.picked)
