"""Items of many jobs, each distinct text once: what depends on a text alone is found out once.

Consecutive jobs of a page repeat most of their items to the byte. A job is therefore kept as numbers of texts; parsing,
typing, hashing and keying go over the texts, and comparing two jobs over the numbers by which they differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count, islice
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from meter_pipeline.store import columns
from meter_pipeline.store.columns import ColumnError
from meter_pipeline.sync.items.identity import PLAIN, Identity, number_occurrences
from meter_pipeline.sync.items.raw import item_texts

Numbers: TypeAlias = npt.NDArray[np.int64]


class Texts:
    """Distinct item texts in the order in which they first came, with what was found out of each.

    Attributes:
        texts: The texts as received.
        values: The same, parsed; `None` of one that cannot be.
        objects: The same as objects, as columns take them.
        hashes: Their hashes, as far as `identify` has been called since they came.
        keys: Their keys, without occurrence numbers, likewise.
        problems: Why a text cannot be parsed, by number.
        names: Every field's name.
        bytes: Bytes of all of them.
    """

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.values: list[Any] = []
        self.objects: list[dict[str, Any]] = []
        self.hashes: list[str] = []
        self.keys: list[str] = []
        self.problems: dict[int, str] = {}
        self.names: set[str] = set()
        self.bytes = 0
        # A text that is looked up and not there gets the next number.
        self._numbers: defaultdict[bytes, int] = defaultdict(count().__next__)
        self._identity: Identity = PLAIN
        self._key_numbers: dict[str, int] = {}
        self._keyed: list[int] = []
        self.key_numbers: Numbers = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, items: Sequence[bytes]) -> Numbers:
        """The numbers of items; texts that are new are parsed."""
        before = len(self._numbers)
        numbers = np.fromiter(map(self._numbers.__getitem__, items), np.int64, len(items))
        if len(self._numbers) > before:
            self._learn(list(islice(self._numbers, before, None)))
        return numbers

    def _learn(self, fresh: list[bytes]) -> None:
        try:
            values = columns.parse(fresh)
        except ColumnError:
            values = [self._parse(text, len(self.texts) + place) for place, text in enumerate(fresh)]
        self.texts += fresh
        self.values += values
        self.objects += (objects := columns.as_objects(values))
        self.names.update(chain.from_iterable(objects))
        self.bytes += sum(map(len, fresh))

    def _parse(self, text: bytes, number: int) -> Any:
        try:
            return columns.parse([text])[0]
        except ColumnError as error:
            self.problems[number] = str(error)
            return None

    def identify(self, identity: Identity) -> bool:
        """Finds out hashes and keys of texts that have none, or of all where others were found by other rules.

        Returns:
            Whether keys have become others: what was made of them no longer holds.
        """
        other = identity != self._identity and bool(self.keys)
        self._identity = identity
        if other:
            self.hashes, self.keys = [], []
            self._key_numbers, self._keyed = {}, []
        start = len(self.hashes)
        if start == len(self.texts):
            return other
        values = self.values[start:]
        hashes = identity.hashes(values, self.texts[start:])
        keys = identity.keys(values, hashes)
        numbers = self._key_numbers
        self.hashes += hashes
        self.keys += keys
        self._keyed += [numbers.setdefault(key, len(numbers)) for key in keys]
        self.key_numbers = np.array(self._keyed, np.int64)
        return other

    def chosen(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        """The objects of some texts."""
        objects = self.objects
        return [objects[number] for number in numbers]


@dataclass
class Items:
    """A job's items: numbers of texts, in order."""

    texts: Texts
    numbers: Numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def problem(self) -> str | None:
        """Why the first item that cannot be parsed cannot be, `None` when all can."""
        if not self.texts.problems:
            return None
        return next((self.texts.problems[n] for n in self.numbers.tolist() if n in self.texts.problems), None)

    def width(self, enough: int) -> int:
        """How many fields they have together; where that is no more than `enough`, perhaps those of other jobs too."""
        if len(self.texts.names) <= enough:
            return len(self.texts.names)
        return len(set().union(*self.texts.chosen(self.once)))

    @cached_property
    def once(self) -> list[int]:
        """The numbers of its texts in the order in which they first appear, each once."""
        return list(dict.fromkeys(self.numbers.tolist()))

    @property
    def values(self) -> list[Any]:
        """The items, parsed."""
        values = self.texts.values
        return [values[number] for number in self.numbers.tolist()]

    def objects(self, most: int | None = None) -> list[dict[str, Any]]:
        """The items as objects, all or the first so many."""
        return self.texts.chosen(self.numbers[:most].tolist())

    # -- once the texts are identified

    @cached_property
    def repeats(self) -> int:
        """How many items have the key of an earlier one."""
        return len(self) - len(np.unique(self.texts.key_numbers[self.numbers]))

    @cached_property
    def keys(self) -> list[str]:
        """The items' keys; one that occurs again has its occurrence number behind it."""
        keys = self.texts.keys
        plain = [keys[number] for number in self.numbers.tolist()]
        return number_occurrences(plain) if self.repeats else plain

    def by_key(self, mask: npt.NDArray[np.bool_] | None = None) -> dict[str, int]:
        """The numbers of the texts by the items' keys: of all items, or of those whose text is chosen by `mask`."""
        if mask is None:
            return dict(zip(self.keys, self.numbers.tolist(), strict=True))
        keys = self.texts.keys
        return {keys[number]: number for number in self.numbers[mask[self.numbers]].tolist()}


@dataclass(frozen=True)
class Gathered:
    """Rows of several jobs, or of a piece of one: which texts they have, and at which of these each row's is."""

    texts: Texts
    used: list[int]
    places: pa.Array

    @classmethod
    def of(cls, texts: Texts, numbers: Sequence[Numbers]) -> Gathered:
        """Of numbers of texts, row by row."""
        together = np.concatenate(numbers) if numbers else np.empty(0, np.int64)
        used, places = np.unique(together, return_inverse=True)
        return cls(texts, used.tolist(), pa.array(places.reshape(-1), pa.int64()))

    def spread(self, values: pa.Array) -> pa.Array:
        """A column of the rows from a column of the texts."""
        return values.take(self.places)

    def items(self) -> pa.Array:
        """The texts of the rows.

        Raises:
            ArrowInvalid: One is not UTF-8.
        """
        texts = self.texts.texts
        return self.spread(item_texts([texts[number] for number in self.used]))

    def hashes(self) -> pa.Array:
        """The hashes of the rows."""
        return self.spread(pa.array([self.texts.hashes[number] for number in self.used], pa.string()))

    def keys(self) -> pa.Array:
        """The keys of the rows, without occurrence numbers."""
        return self.spread(pa.array([self.texts.keys[number] for number in self.used], pa.string()))

    def columns(self, fields: Sequence[columns.Field]) -> Iterator[pa.Array]:
        """The typed columns of the rows, one for each field; they must hold every value."""
        objects = self.texts.chosen(self.used)
        for one in fields:
            name = one.name
            yield self.spread(columns.build([item.get(name) for item in objects], one.type))
