"""What changed between two jobs of one target: a pure function of their items' keys, hashes and texts.

An item that is on one side only is one row, `added` or `removed`, with the whole item. One that is on both sides with
another hash is `changed`: a row for each field by which the two differ, with the old and the new value as JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from meter_pipeline.paths import spell_path
from meter_pipeline.store import columns
from meter_pipeline.store.columns import TEXT, spell_json
from meter_pipeline.store.lake import CHANGES
from meter_pipeline.store.tables import moment
from meter_pipeline.sync.identity import Identity

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


@dataclass(frozen=True)
class Seen:
    """A job as the feed names it; `time` is ISO, and orders the jobs of a target together with the id."""

    job_id: str
    schedule_id: str | None
    url: str | None
    parameters: str | None
    target_id: str
    time: str
    bytes: int = 0

    @property
    def place(self) -> tuple[str, str]:
        """Its place among the jobs of its target."""
        return self.time, self.job_id


class Side(Protocol):
    """The items of one job."""

    @property
    def hash_by_key(self) -> Mapping[str, str]:
        """Every item's hash by its key, in the order of the items."""

    def text(self, key: str) -> str:
        """An item as received."""

    def value(self, key: str) -> Any:
        """An item, parsed."""


class AtHand:
    """The items of a job that are in memory."""

    def __init__(self, keys: Sequence[str], hashes: Sequence[str], items: Sequence[bytes], values: Sequence[Any]):
        self._keys, self._hashes, self._items, self._values = keys, hashes, items, values

    @cached_property
    def hash_by_key(self) -> Mapping[str, str]:
        """Every item's hash by its key, in the order of the items."""
        return dict(zip(self._keys, self._hashes, strict=True))

    @cached_property
    def _places(self) -> dict[str, int]:
        return dict(zip(self._keys, range(len(self._keys)), strict=True))

    def text(self, key: str) -> str:
        """An item as received."""
        return self._items[self._places[key]].decode()

    def value(self, key: str) -> Any:
        """An item, parsed."""
        return self._values[self._places[key]]


@dataclass(frozen=True)
class Delta:
    """Keys of the items that differ between two jobs."""

    added: list[str]
    removed: list[str]
    changed: list[str]


def compare(old: Mapping[str, str], new: Mapping[str, str]) -> Delta:
    """Which items differ, from their hashes by key."""
    added, changed = [], []
    get = old.get
    for key in [key for key, hash_ in new.items() if get(key) != hash_]:
        (changed if key in old else added).append(key)
    return Delta(added, list(old.keys() - new.keys()), changed)


class Rows:
    """Rows of the lake's `changes`, gathered job by job."""

    def __init__(self) -> None:
        self._jobs: list[tuple[Seen, Seen]] = []
        self._counts: list[int] = []
        self._items: list[tuple[str, str, str | None, str | None, str | None]] = []
        self.kinds = {ADDED: 0, REMOVED: 0, CHANGED: 0}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, previous: Seen, job: Seen, old: Side, new: Side, delta: Delta, identity: Identity) -> None:
        """Takes in what one job changed."""
        start = len(self._items)
        self._items += [(key, ADDED, None, None, new.text(key)) for key in delta.added]
        self._items += [(key, REMOVED, None, old.text(key), None) for key in delta.removed]
        for key in delta.changed:
            self._items += changed_rows(key, old.value(key), new.value(key), identity)
        self.end_job(previous, job, start)
        for kind, keys in ((ADDED, delta.added), (REMOVED, delta.removed), (CHANGED, delta.changed)):
            self.kinds[kind] += len(keys)

    def end_job(self, previous: Seen, job: Seen, start: int) -> None:
        """Says whose the items from `start` on are."""
        self._jobs.append((previous, job))
        self._counts.append(len(self._items) - start)

    def table(self) -> pa.Table:
        """All of them, in the order they came."""
        owner = pa.array(np.repeat(np.arange(len(self._jobs)), self._counts))
        jobs = [job for _, job in self._jobs]
        meta = [
            pa.array([job.job_id for job in jobs], pa.string()),
            pa.array([previous.job_id for previous, _ in self._jobs], pa.string()),
            pa.array([job.schedule_id for job in jobs], pa.string()),
            pa.array([job.url for job in jobs], pa.string()),
            pa.array([job.parameters for job in jobs], pa.string()),
        ]
        data = list(zip(*self._items, strict=True)) if self._items else [()] * 5
        times = pa.array([moment(job.time) for job in jobs], CHANGES.field("observed_at").type)
        return pa.table(
            [
                *(column.take(owner) for column in meta),
                *(columns.build(values, TEXT) for values in data),
                times.take(owner),
            ],
            schema=CHANGES,
        )


def changed_rows(
    key: str, old: Any, new: Any, identity: Identity
) -> list[tuple[str, str, str | None, str | None, str | None]]:
    """The rows of an item that is on both sides: key, kind, field, old and new value."""
    return [
        (key, CHANGED, spell_path(path), _json(before), _json(after))
        for path, before, after in identity.changed_fields(old, new)
    ]


def _json(value: Any) -> str | None:
    return None if value is None else spell_json(value)
