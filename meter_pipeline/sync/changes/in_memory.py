"""Compares jobs that fit into memory, whether their items are in memory already or are read from the lake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from meter_pipeline.store.item_json import parse_items
from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.sync.changes.diff import Counts, Delta, Pair, Rows, Seen, Side, compare
from meter_pipeline.sync.changes.numbers import NumberReader
from meter_pipeline.sync.items.identity import Identity
from meter_pipeline.sync.items.texts import Items

KEYS = ("_meter_job_id", "_meter_item_key", "_meter_item_hash", "_meter_item_index")
ITEMS = ("job_id", "item_index", "item")


class AtHand:
    """The items of a job in memory, with keys and hashes."""

    def __init__(self, items: Items) -> None:
        self.items = items
        self._near: dict[str, int] = {}

    @cached_property
    def _all(self) -> dict[str, int]:
        return self.items.by_key()

    @property
    def hash_by_key(self) -> Mapping[str, str]:
        """Every item's hash by its key, in the order of the items."""
        return self._hashed(self._all)

    def apart(self, other: AtHand) -> Mapping[str, str]:
        """Hashes by key of the items whose text the other job lacks; in neither job may a key occur twice."""
        mask = np.ones(len(self.items.texts), np.bool_)
        mask[other.items.numbers] = False
        near = self.items.by_key(mask)
        self._near |= near
        return self._hashed(near)

    def _hashed(self, numbers: Mapping[str, int]) -> dict[str, str]:
        hashes = self.items.texts.hashes
        return {key: hashes[number] for key, number in numbers.items()}

    def _number(self, key: str) -> int:
        number = self._near.get(key)
        return self._all[key] if number is None else number

    def text(self, key: str) -> str:
        """An item as received."""
        return self.items.texts.texts[self._number(key)].decode()

    def values(self, keys: Sequence[str]) -> list[Any]:
        """Some items, parsed."""
        values = self.items.texts.values
        return [values[self._number(key)] for key in keys]


def difference(old: Side, new: Side) -> Delta:
    """The keys of items that differ. Jobs with a common store of texts skip items whose text both have."""
    if (
        isinstance(old, AtHand)
        and isinstance(new, AtHand)
        and old.items.texts is new.items.texts
        and not (old.items.repeats or new.items.repeats)
    ):
        return compare(old.apart(new), new.apart(old))
    return compare(old.hash_by_key, new.hash_by_key)


class Stored:
    """The items of a job in the lake: keys and hashes of all, texts of those that differ."""

    def __init__(self, job: Seen) -> None:
        self.job = job
        self.hash_by_key: dict[str, str] = {}
        self.wanted: set[int] = set()
        self.texts: dict[int, str] = {}
        self._indexes: dict[str, int] = {}

    def add(self, key: str, hash_: str, index: int) -> None:
        """Adds an item without its text."""
        self.hash_by_key[key] = hash_
        self._indexes[key] = index

    def want(self, keys: Iterable[str]) -> None:
        """Marks items whose texts are needed."""
        self.wanted.update(self._indexes[key] for key in keys)

    def text(self, key: str) -> str:
        """An item as received."""
        return self.texts[self._indexes[key]]

    def values(self, keys: Sequence[str]) -> list[Any]:
        """Some items, parsed."""
        return parse_items([self.text(key).encode() for key in keys])


class Comparison:
    """Compares pairs of jobs, each read at most once.

    Args:
        stored: The strategy's rows.
        identity: The identity by which its rows were keyed and hashed.
        sides: Jobs whose items are in memory, by id.
        reader: Reads values as numbers.
    """

    def __init__(self, stored: PartSet, identity: Identity, sides: Mapping[str, Side], reader: NumberReader) -> None:
        self._stored, self._identity, self._reader = stored, identity, reader
        self._sides: dict[str, Side] = dict(sides)

    def rows(self, wanted: Iterable[Pair], counts: Counts) -> Rows:
        """Compares all pairs and returns their rows, which are added to `counts`."""
        known = [(pair.previous, pair.job) for pair in wanted if pair.previous is not None]
        stored = self._read({job.job_id: job for pair in known for job in pair if job.job_id not in self._sides})
        deltas: list[Delta] = []
        for previous, job in known:
            delta = difference(self._sides[previous.job_id], self._sides[job.job_id])
            deltas.append(delta)
            if previous.job_id in stored:
                stored[previous.job_id].want([*delta.removed, *delta.changed])
            if job.job_id in stored:
                stored[job.job_id].want([*delta.added, *delta.changed])
        self._read_items(stored)
        rows = Rows(counts, self._reader)
        for (previous, job), delta in zip(known, deltas, strict=True):
            rows.add(previous, job, self._sides[previous.job_id], self._sides[job.job_id], delta, self._identity)
        return rows

    def _read(self, jobs: Mapping[str, Seen]) -> dict[str, Stored]:
        """Reads keys and hashes of jobs from the lake."""
        stored = {id_: Stored(job) for id_, job in jobs.items()}
        times = {id_: job.time for id_, job in jobs.items()}
        for batch in self._stored.job_batches("results", KEYS, times):
            for id_, key, hash_, index in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                stored[id_].add(key, hash_, index)
        self._sides |= stored
        return stored

    def _read_items(self, stored: Mapping[str, Stored]) -> None:
        """Reads the texts of the items that differ."""
        times = {id_: side.job.time for id_, side in stored.items() if side.wanted}
        for batch in self._stored.job_batches("raw", ITEMS, times):
            indexes = batch["item_index"].to_pylist()
            for place, (id_, index) in enumerate(zip(batch["job_id"].to_pylist(), indexes, strict=True)):
                if index in stored[id_].wanted:
                    stored[id_].texts[index] = batch["item"][place].as_py()
