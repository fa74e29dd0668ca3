"""What changed between two jobs of one target: a pure function of their items' keys, hashes and texts.

An item of one job only is one row, `added` or `removed`, with the whole item. An item of both jobs with different
hashes is `changed`: one row for each field that differs, also of an element of an array, with the old and the new value
as JSON text, and as numbers with currencies where they are numbers or amounts of money.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import nsmallest
from itertools import repeat
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from meter_pipeline.store import columns
from meter_pipeline.store.columns import TEXT
from meter_pipeline.store.item_json import spell_json_all
from meter_pipeline.store.lake.lake import CHANGES
from meter_pipeline.store.times import moment
from meter_pipeline.sync.changes.fields import SAMPLE_ITEMS, ElementKeys, changed_fields
from meter_pipeline.sync.changes.numbers import NO_NUMBERS, NumberReader, Numbers
from meter_pipeline.sync.items.identity import Identity
from meter_pipeline.sync.items.steps import spell_steps

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
# Fields whose old and new values both read as numbers: see `meter_pipeline.sync.changes.numbers`.
MOVED = "moved"


@dataclass(frozen=True)
class Seen:
    """A job in the change feed; `time` (ISO 8601) and the id order the jobs of a target.

    `changes` is the number of rows that it has in the lake's `changes` already, `items` that of its items, `rejected`
    that of its items that could not be loaded, and `batch_id` Meter's id of the batch that it belongs to, if known.
    """

    job_id: str
    schedule_id: str | None
    url: str | None
    parameters: str | None
    target_id: str
    time: str
    bytes: int = 0
    changes: int = 0
    items: int = 0
    batch_id: str | None = None
    rejected: int = 0

    @property
    def place(self) -> tuple[str, str]:
        """The job's place among the jobs of its target."""
        return self.time, self.job_id


@dataclass(frozen=True)
class Pair:
    """A job and its predecessor on the same target; `previous` is None for a first job, which has no changes."""

    previous: Seen | None
    job: Seen

    @property
    def bytes(self) -> int:
        """Size of the larger of the two bodies."""
        return max(self.job.bytes, self.previous.bytes if self.previous else 0)


class Side(Protocol):
    """The items of one job."""

    @property
    def hash_by_key(self) -> Mapping[str, str]:
        """Every item's hash by its key, in the order of the items."""

    def text(self, key: str) -> str:
        """An item as received."""

    def values(self, keys: Sequence[str]) -> list[Any]:
        """Some items, parsed."""


@dataclass(frozen=True)
class Delta:
    """Keys of the items that differ between two jobs."""

    added: list[str]
    removed: list[str]
    changed: list[str]


def compare(old: Mapping[str, str], new: Mapping[str, str]) -> Delta:
    """The keys of items that differ, from two jobs' hashes by key."""
    added: list[str] = []
    changed: list[str] = []
    get = old.get
    for key in [key for key, hash_ in new.items() if get(key) != hash_]:
        (changed if key in old else added).append(key)
    return Delta(added, list(old.keys() - new.keys()), changed)


@dataclass
class Counts:
    """What comparisons found.

    Attributes:
        kinds: Items that were added, removed and changed, and fields that moved, by kind.
        rows: Rows of `changes`, by job id; 0 for a job that was compared and has none.
    """

    kinds: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


# Few paths, repeated for every item.
_spelled = lru_cache(maxsize=4_096)(spell_steps)
Row = tuple[str, str, "str | None", "str | None", "str | None"]
"""Key, kind, field, old value, new value."""


class Rows:
    """Rows of the lake's `changes`, collected job by job.

    Args:
        counts: What `add` and `append` count.
        reader: Reads values as numbers; each by itself when None.
    """

    def __init__(self, counts: Counts, reader: NumberReader | None = None) -> None:
        self._found = counts
        self._jobs: list[tuple[Seen, Seen]] = []
        self._counts: list[int] = []
        self._rows: list[Row] = []
        self._numbers: list[Numbers] = []
        self._read = (reader or NumberReader()).read

    def add(self, previous: Seen, job: Seen, old: Side, new: Side, delta: Delta, identity: Identity) -> None:
        """Adds the rows of one job's delta."""
        rows: list[Row] = [(key, ADDED, None, None, new.text(key)) for key in delta.added]
        rows += [(key, REMOVED, None, old.text(key), None) for key in delta.removed]
        keys = ElementKeys(identity, lambda: sample_items(old, new, delta.changed))
        rows += changed_rows(delta.changed, old.values(delta.changed), new.values(delta.changed), identity, keys)
        self.append(previous, job, rows)

    def append(self, previous: Seen, job: Seen, rows: Iterable[Row]) -> None:
        """Adds rows of one job; the rows of an item must be adjacent."""
        start = len(self._rows)
        self._rows += rows
        self._jobs.append((previous, job))
        added = len(self._rows) - start
        self._counts.append(added)
        self._found.rows[job.job_id] = self._found.rows.get(job.job_id, 0) + added
        kinds = self._found.kinds
        last = None
        for key, kind, path, old, new in self._rows[start:]:
            if key != last:
                kinds[kind] = kinds.get(kind, 0) + 1
            last = key
            numbers = self._read(path, old, new) if kind == CHANGED else NO_NUMBERS
            self._numbers.append(numbers)
            if numbers.moved:
                kinds[MOVED] = kinds.get(MOVED, 0) + 1

    def table(self) -> pa.Table:
        """All rows, in the order in which they were added."""
        owner = pa.array(np.repeat(np.arange(len(self._jobs)), self._counts))
        jobs = [job for _, job in self._jobs]
        meta = [
            pa.array([job.job_id for job in jobs], pa.string()),
            pa.array([previous.job_id for previous, _ in self._jobs], pa.string()),
            pa.array([job.schedule_id for job in jobs], pa.string()),
            pa.array([job.url for job in jobs], pa.string()),
            pa.array([job.parameters for job in jobs], pa.string()),
        ]
        data = list(zip(*self._rows, strict=True)) if self._rows else [()] * 5
        old, new, *currencies = zip(*self._numbers, strict=True) if self._numbers else [()] * 4
        times = pa.array([moment(job.time) for job in jobs], CHANGES.field("observed_at").type)
        return pa.table(
            [
                *(column.take(owner) for column in meta),
                *(columns.build(values, TEXT) for values in data),
                *(pa.array(values, pa.float64()) for values in (old, new)),
                *(pa.array(values, pa.string()) for values in currencies),
                times.take(owner),
            ],
            schema=CHANGES,
        )


def changed_rows(
    items: Sequence[str], old: Sequence[Any], new: Sequence[Any], identity: Identity, keys: ElementKeys
) -> list[Row]:
    """The rows of items that both jobs have, item by item, those of an item in the order of its fields' paths.

    Args:
        items: The keys of the items.
        old: The items before.
        new: The items after.
        identity: Says what makes a difference.
        keys: What elements of arrays are matched by.
    """
    rows, places = list[Row](), list[int]()
    found = [(_spelled(steps), values) for steps, values in changed_fields(old, new, identity, keys)]
    for path, values in sorted(found, key=lambda difference: difference[0]):
        own = map(items.__getitem__, values.places)
        rows += zip(own, repeat(CHANGED), repeat(path), spell_json_all(values.old), spell_json_all(values.new))
        places += values.places
    if len(found) < 2:
        return rows
    return [rows[number] for number in np.argsort(places, kind="stable").tolist()]


def sample_items(old: Side, new: Side, changed: Iterable[str]) -> Iterator[tuple[Any, Any]]:
    """Both states of some items, the same ones whether they are in memory or on disk."""
    keys = nsmallest(SAMPLE_ITEMS, changed)
    return zip(old.values(keys), new.values(keys), strict=True)
