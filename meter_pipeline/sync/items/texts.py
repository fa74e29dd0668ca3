"""Items of many jobs with each distinct text kept once, so that it is parsed, typed and hashed once.

Consecutive jobs of a page repeat most of their items to the byte. A job is therefore kept as numbers of texts; parsing,
typing, hashing and keying work on the texts, and a comparison of two jobs on the numbers that differ.
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
from meter_pipeline.store.field_values import FieldValues
from meter_pipeline.store.item_json import ItemError, as_objects, parse_items
from meter_pipeline.sync.items.identity import PLAIN, Identity, number_occurrences
from meter_pipeline.sync.items.raw import item_texts
from meter_pipeline.sync.items.repeats import MOST_BYTES, number_by_content

Numbers: TypeAlias = npt.NDArray[np.int64]


class Texts:
    """Distinct item texts in the order of their first occurrence; a text's number is its place.

    Attributes:
        texts: The texts as received.
        values: The parsed texts; None for one that cannot be parsed.
        objects: The parsed texts as objects, the form that columns are made from.
        hashes: Hashes of the texts that were present at the last call of `identify`.
        keys: Keys of the same texts, without occurrence numbers.
        problems: Why a text cannot be parsed, by number.
        names: Names of all fields.
        identity: What the hashes and keys were computed with.
        bytes: Total size of the texts.
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
        # Looking up a new text gives it the next number.
        self._numbers: defaultdict[bytes, int] = defaultdict(count().__next__)
        self.identity: Identity = PLAIN
        self._key_numbers: dict[str, int] = {}
        self._keyed: list[int] = []
        self.key_numbers: Numbers = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, items: Sequence[bytes]) -> Numbers:
        """Adds the items' new texts, parsed, and returns the number of each item's text."""
        before = len(self._numbers)
        numbers = np.fromiter(map(self._numbers.__getitem__, items), np.int64, len(items))
        if len(self._numbers) > before:
            self._learn(list(islice(self._numbers, before, None)))
        return numbers

    def _learn(self, fresh: list[bytes]) -> None:
        try:
            values = parse_items(fresh)
        except ItemError:
            values = [self._parse(text, len(self.texts) + place) for place, text in enumerate(fresh)]
        self.texts += fresh
        self.values += values
        self.objects += (objects := as_objects(values))
        self.names.update(chain.from_iterable(objects))
        self.bytes += sum(map(len, fresh))

    def _parse(self, text: bytes, number: int) -> Any:
        try:
            return parse_items([text])[0]
        except ItemError as error:
            self.problems[number] = str(error)
            return None

    def identify(self, identity: Identity) -> bool:
        """Computes hashes and keys of texts without them, or of all texts if the identity is another than before.

        Returns:
            Whether existing keys were computed again: what was derived from them is no longer valid.
        """
        other = identity != self.identity and bool(self.keys)
        self.identity = identity
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
    """A job's items, in order, as numbers of texts."""

    texts: Texts
    numbers: Numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def problem(self) -> str | None:
        """Why the first unparsable item cannot be parsed; None if all items can."""
        if not self.texts.problems:
            return None
        return next((self.texts.problems[n] for n in self.numbers.tolist() if n in self.texts.problems), None)

    def width(self, enough: int) -> int:
        """Number of different fields; up to `enough` it may include fields of other jobs, which spares the counting."""
        if len(self.texts.names) <= enough:
            return len(self.texts.names)
        return len(set().union(*self.texts.chosen(self.once)))

    @cached_property
    def once(self) -> list[int]:
        """The numbers of the job's texts, each once, in the order of their first occurrence."""
        return list(dict.fromkeys(self.numbers.tolist()))

    @property
    def values(self) -> list[Any]:
        """The items, parsed."""
        values = self.texts.values
        return [values[number] for number in self.numbers.tolist()]

    def objects(self, most: int | None = None) -> list[dict[str, Any]]:
        """The items as objects: all, or the first `most`."""
        return self.texts.chosen(self.numbers[:most].tolist())

    # -- once the texts are identified

    @cached_property
    def repeats(self) -> int:
        """Number of items whose key an earlier item has."""
        return len(self) - len(np.unique(self.texts.key_numbers[self.numbers]))

    @cached_property
    def keys(self) -> list[str]:
        """The items' keys, with an occurrence number appended to repeated ones."""
        keys = self.texts.keys
        plain = [keys[number] for number in self.numbers.tolist()]
        if not self.repeats:
            return plain
        texts = self.texts.texts
        if sum(len(texts[number]) for number in self.numbers.tolist()) > MOST_BYTES:
            return number_occurrences(plain)
        return number_by_content(plain, self.values, self.texts.identity)

    def by_key(self, mask: npt.NDArray[np.bool_] | None = None) -> dict[str, int]:
        """The numbers of texts by key: of all items, or of those whose text is selected by `mask`."""
        if mask is None:
            return dict(zip(self.keys, self.numbers.tolist(), strict=True))
        keys = self.texts.keys
        return {keys[number]: number for number in self.numbers[mask[self.numbers]].tolist()}


@dataclass(frozen=True)
class Gathered:
    """Rows of one or several jobs: the numbers of their distinct texts (`used`), and each row's place among these."""

    texts: Texts
    used: list[int]
    places: pa.Array

    @classmethod
    def of(cls, texts: Texts, numbers: Sequence[Numbers]) -> Gathered:
        """Rows with these numbers of texts."""
        together = np.concatenate(numbers) if numbers else np.empty(0, np.int64)
        used, places = np.unique(together, return_inverse=True)
        return cls(texts, used.tolist(), pa.array(places.reshape(-1), pa.int64()))

    def spread(self, values: pa.Array) -> pa.Array:
        """Expands a column of the distinct texts to a column of the rows."""
        return values.take(self.places)

    def items(self) -> pa.Array:
        """The texts of the rows.

        Raises:
            ArrowInvalid: A text is not UTF-8.
        """
        texts = self.texts.texts
        return self.spread(item_texts([texts[number] for number in self.used]))

    def hashes(self) -> pa.Array:
        """The hashes of the rows."""
        return self.spread(pa.array([self.texts.hashes[number] for number in self.used], pa.string()))

    def keys(self) -> pa.Array:
        """The keys of the rows, without occurrence numbers."""
        return self.spread(pa.array([self.texts.keys[number] for number in self.used], pa.string()))

    def distinct_columns(
        self, fields: Sequence[columns.Field]
    ) -> Iterator[tuple[columns.Field, Sequence[Any], pa.Array]]:
        """Each field with its values in the distinct texts, as they are and as a column; the fields must hold all."""
        by_field = FieldValues(self.texts.chosen(self.used))
        for field in fields:
            values = by_field[field.name]
            yield field, values, columns.build(values, field.type)
