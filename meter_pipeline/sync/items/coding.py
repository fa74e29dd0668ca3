"""Codes for the values of sampled items, so that they are counted and compared for all fields at once.

Consecutive jobs repeat most of their items. Each distinct item is taken apart once; a job is then a matrix of codes
with a row for each item and a column for each field. The same value of a field has the same code in every job, values
of different fields have different codes, and 0 stands for a value that is absent or empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.identity import canonical
from meter_pipeline.sync.items.samples import (
    MAX_DEPTH,
    MAX_FIELDS,
    TARGET_PATH,
    JobSample,
    is_amount,
    is_picture,
    is_time,
    mix,
)

Codes: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

# Values of a job whose shape says whether a field holds amounts.
_SHAPED = 200
# What a value is. Which of the last five a text is, is found out when it is needed.
_OTHER, _UNFIT, _TEXT, _PLAIN, _AMOUNT, _TIME, _PICTURE = range(7)


class CodeBook:
    """Gives values codes. One book serves all samples of a search, whatever it was used for before."""

    def __init__(self) -> None:
        self._root, self._target = _Branch(()), _Branch(TARGET_PATH)
        self._kinds = bytearray([_OTHER])
        # The spelled text of a code.
        self._texts: list[str | None] = [None]
        # By the id of an item, with its target where that is one of its values.
        self._rows: dict[int | tuple[int, str], int] = {}
        self._values: list[Any] = []
        self._paths: list[tuple[Path, ...]] = []
        self._coded: list[tuple[int, ...]] = []
        self._layouts: dict[tuple[_Branch, ...], tuple[Path, ...]] = {}

    def __len__(self) -> int:
        return len(self._kinds)

    def rows(self, sample: JobSample) -> list[int]:
        """The row of each item of a sample: the same for the same item."""
        known, values, owners = self._rows, sample.values, sample.owners
        keys: list[Any] = list(map(id, values))
        if owners is not None:
            keys = list(zip(keys, owners, strict=True))
        for place, key in enumerate(keys):
            if key not in known:
                known[key] = self._learn(values[place], None if owners is None else owners[place])
        return list(map(known.__getitem__, keys))

    def paths(self, row: int) -> tuple[Path, ...]:
        """The fields of a row."""
        return self._paths[row]

    def matrix(self, rows: Sequence[int], paths: Sequence[Path]) -> Codes:
        """The codes of some rows in some fields."""
        places = {path: place for place, path in enumerate(paths)}
        groups: dict[tuple[Path, ...], list[int]] = {}
        for at, row in enumerate(rows):
            groups.setdefault(self._paths[row], []).append(at)
        found = np.zeros((len(rows), len(paths)), np.int64)
        for layout, numbers in groups.items():
            known = [place for place, path in enumerate(layout) if path in places]
            if known:
                coded = np.array([self._coded[rows[number]] for number in numbers], np.int64)
                found[np.ix_(numbers, [places[layout[place]] for place in known])] = coded[:, known]
        return found

    def describe(self, matrix: Codes) -> tuple[Mask, Mask, Mask, Mask]:
        """Which columns could identify items, which of these are mostly words, and which are mostly times, or pictures.

        Values that identify items are text or whole numbers, and few of them amounts of money.
        """
        shaped = matrix[:_SHAPED]
        self._describe_texts(shaped)
        kinds = np.frombuffer(self._kinds, np.uint8)[matrix]
        is_fit, kinds = ~(kinds == _UNFIT).any(axis=0), kinds[:_SHAPED]
        are = (kinds >= _TEXT, kinds == _AMOUNT, kinds == _TIME, kinds == _PICTURE, shaped > 0)
        texts, amounts, times, pictures, present = (np.count_nonzero(found, axis=0) for found in are)
        is_fit &= (texts == 0) | (amounts * 2 < texts)
        are_times = times * 2 > present
        return is_fit, is_fit & ~are_times & (texts * 2 > present), are_times, pictures * 2 > present

    def _describe_texts(self, codes: Codes) -> None:
        """Finds out which texts among some values are amounts and which are times."""
        kinds = self._kinds
        for code in np.unique(codes[np.frombuffer(kinds, np.uint8)[codes] == _TEXT]).tolist():
            text = self._texts[code] or ""
            kinds[code] = (
                _AMOUNT if is_amount(text) else _TIME if is_time(text) else _PICTURE if is_picture(text) else _PLAIN
            )

    def _learn(self, value: Any, owner: str | None) -> int:
        branches: list[_Branch] = []
        codes: list[int] = []
        if owner is not None:
            branches.append(self._target)
            codes.append(self._code(self._target, owner))
        if type(value) is dict:
            self._flatten(value, self._root, branches, codes, MAX_FIELDS + len(codes))
        key = tuple(branches)
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layouts[key] = tuple(branch.path for branch in branches)
        # The value is kept, so that its id stays its own.
        self._values.append(value)
        self._paths.append(layout)
        self._coded.append(tuple(codes))
        return len(self._values) - 1

    def _flatten(
        self, item: dict[str, Any], branch: _Branch, branches: list[_Branch], codes: list[int], most: int
    ) -> None:
        """Adds the scalars and arrays in an object, up to `most` in all; arrays count as values."""
        below = branch.below
        for name, value in item.items():
            if value is None:
                continue
            if len(codes) >= most:
                return
            inner = below.get(name)
            if inner is None:
                inner = below[name] = _Branch((*branch.path, name))
            kind = type(value)
            if kind is not dict:
                branches.append(inner)
                # Most texts are known.
                codes.append((kind is str and inner.codes.get(value)) or self._code(inner, value))
            elif len(inner.path) < MAX_DEPTH:
                self._flatten(value, inner, branches, codes, most)

    def _code(self, branch: _Branch, value: Any) -> int:
        kind = type(value)
        if kind is str:
            if not value:
                return 0
            spelled: Any = value
        else:
            spelled = str(value) if kind is int else value if kind is float else (kind, canonical(value))
        code = branch.codes.get(spelled)
        if code is None:
            code = branch.codes[spelled] = len(self._kinds)
            # A number and its spelling as text have one code, as they are one key.
            is_text = kind is str and not value.isdigit()
            is_fit = kind in (str, int) or (kind is float and value.is_integer())
            self._kinds.append(_TEXT if is_text else _OTHER if is_fit else _UNFIT)
            self._texts.append(value if is_text else None)
        return code


class _Branch:
    """A field of items, with the codes of its values and the fields below it."""

    __slots__ = ("below", "codes", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.codes: dict[Any, int] = {}
        self.below: dict[str, _Branch] = {}


def walk(value: Any, path: Path) -> Any:
    """The value at a path of an item; None where there is none."""
    for name in path:
        value = value.get(name) if type(value) is dict else None
    return None if type(value) is dict else value


@dataclass(frozen=True)
class Coded:
    """The values of one field, or of several together, in all samples.

    Attributes:
        codes: The code of each item's value.
        jobs: The sample of each item, by its place.
        counts: By sample and code, how many items have it; 0 for code 0. Codes of other fields may be among them.
        places: By sample and code, the last item that has it.
    """

    codes: Codes
    jobs: Codes
    counts: Codes
    places: Codes

    @classmethod
    def of(cls, codes: Codes, jobs: Codes, count: int) -> Coded:
        """The values with these codes in `count` samples."""
        size = int(codes.max(initial=0)) + 1
        counts = np.bincount(jobs * size + codes, minlength=count * size).reshape(count, size)
        counts[:, 0] = 0
        places = np.zeros(counts.shape, np.int64)
        places[jobs, codes] = np.arange(len(codes))
        return cls(codes, jobs, counts, places)

    @cached_property
    def own(self) -> Codes:
        """For each item, how many of its sample have the same value; 0 where it is absent."""
        return self.counts[self.jobs, self.codes]

    @cached_property
    def last(self) -> Codes:
        """For each item, the last one of its sample with the same value."""
        return self.places[self.jobs, self.codes]

    @cached_property
    def present(self) -> Codes:
        """Number of items with a value in each sample."""
        return np.bincount(self.jobs[self.codes > 0], minlength=len(self.counts))

    @cached_property
    def distinct(self) -> Codes:
        """Number of different values in each sample."""
        is_last = (self.codes > 0) & (self.last == np.arange(len(self.last)))
        return np.bincount(self.jobs[is_last], minlength=len(self.counts))

    @cached_property
    def equals(self) -> Numbers:
        """Number of the pairs of values of each sample that are equal."""
        return np.bincount(self.jobs, weights=np.maximum(self.own - 1, 0), minlength=len(self.counts)) / 2

    @cached_property
    def collisions(self) -> Numbers:
        """Share of the pairs of values of each sample that are equal."""
        return np.asarray(self.equals * 2 / np.maximum(self.present * (self.present - 1), 1), np.float64)


@dataclass(frozen=True)
class CodedItems:
    """The items of samples as codes.

    Attributes:
        paths: The fields, in the order of their first occurrence.
        rows: The codes of each distinct item, a column for each field.
        row_of: The row of each item.
        jobs: The sample of each item, by its place.
        sizes: Number of items of each sample.
        fields: By code, the field's column.
        is_fit: Which fields could identify items: text or whole numbers, and no amounts of money.
        are_words: Which of these are mostly text other than times.
        are_times: Which fields are mostly dates and times.
        are_pictures: Which fields are mostly addresses of pictures.
    """

    paths: tuple[Path, ...]
    rows: Codes
    row_of: Codes
    jobs: Codes
    sizes: Codes
    fields: Codes
    is_fit: Mask
    are_words: Mask
    are_times: Mask
    are_pictures: Mask

    @cached_property
    def matrix(self) -> Codes:
        """The codes of all items, a column for each field."""
        return self.rows[self.row_of]

    @cached_property
    def starts(self) -> Codes:
        """The place of the first item of each sample."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def counts(self) -> Codes:
        """By sample and code, how many items have it; 0 for code 0."""
        size = len(self.fields)
        codes = (self.jobs * size)[:, None] + self.matrix
        counts = np.bincount(codes.reshape(-1), minlength=len(self.sizes) * size).reshape(-1, size)
        counts[:, 0] = 0
        return counts

    @cached_property
    def places(self) -> Codes:
        """By sample and code, the last item that has it."""
        places = np.zeros(self.counts.shape, np.int64)
        places[self.jobs[:, None], self.matrix] = np.arange(len(self.matrix))[:, None]
        return places

    @cached_property
    def present(self) -> Codes:
        """By sample and field, the number of items with a value."""
        return self.by_field(self.counts).astype(np.int64)

    @cached_property
    def distinct(self) -> Codes:
        """By sample and field, the number of different values."""
        return self.by_field(self.counts > 0).astype(np.int64)

    @cached_property
    def alike(self) -> Numbers:
        """By sample and field, the number of pairs of items with the same value, each counted in both orders."""
        return self.by_field(counts * (counts - 1.0) for counts in self.counts)

    def by_field(self, weights: Iterable[npt.NDArray[Any]]) -> Numbers:
        """Sums of numbers by code, for each of several samples or steps and each field."""
        width = len(self.paths)
        sums = [np.bincount(self.fields, weights=numbers, minlength=width)[:width] for numbers in weights]
        return np.array(sums, np.float64).reshape(len(sums), width)

    @cached_property
    def filled(self) -> Codes:
        """The rows, with another negative code for an absent value of each field."""
        return np.where(self.rows > 0, self.rows, -1 - np.arange(len(self.paths)))

    @cached_property
    def marks(self) -> Codes:
        """A hash of each value of the rows, absent ones included; a sum of them is a hash of several."""
        return mix(self.filled)

    def join(self, fields: Sequence[int]) -> Coded:
        """The values of several fields together; present where all of them are, and nowhere without a field."""
        if not fields:
            return self.code(np.zeros(len(self.rows), np.int64))
        if len(fields) == 1:
            return Coded(self.matrix[:, fields[0]], self.jobs, self.counts, self.places)
        joined = self.rows[:, fields[0]]
        for field in fields[1:]:
            other = self.rows[:, field]
            both = np.where((joined > 0) & (other > 0), joined * (int(other.max(initial=0)) + 1) + other, 0)
            _, joined = np.unique(np.append(0, both), return_inverse=True)
            joined = joined.reshape(-1)[1:]
        return self.code(joined)

    def join_all(self, fields: Codes) -> Coded:
        """The values of several fields together, absent ones included."""
        _, codes = np.unique(self.marks[:, fields].sum(axis=1), return_inverse=True)
        return self.code(codes.reshape(-1) + 1)

    def code(self, codes: Codes) -> Coded:
        """Values with these codes, by row."""
        return Coded.of(codes[self.row_of], self.jobs, len(self.sizes))

    def find_doubles(self, fields: Codes) -> Mask:
        """Which of some fields tell items apart exactly as an earlier one of them does: a price as text and as number.

        Two fields do so if in both the first row with the same value is the same for all rows.
        """
        codes = self.filled[:, fields]
        first = np.zeros(len(self.fields) + len(self.paths), np.int64)
        first[codes[::-1]] = np.arange(len(codes))[::-1, None]
        known: set[bytes] = set()
        found = np.zeros(len(fields), np.bool_)
        for number, rows in enumerate(first[codes].T):
            mark = rows.tobytes()
            found[number] = mark in known
            known.add(mark)
        return found


def code_items(samples: Sequence[JobSample], book: CodeBook) -> CodedItems:
    """The values of samples as codes."""
    numbers = [book.rows(sample) for sample in samples]
    row_of = np.array(list(chain.from_iterable(numbers)), np.int64)
    local = list(dict.fromkeys(row_of.tolist()))
    place_of = np.zeros(max(local, default=-1) + 1, np.int64)
    place_of[local] = np.arange(len(local))
    layouts = dict.fromkeys(map(book.paths, local))
    paths = tuple(dict.fromkeys(path for layout in layouts for path in layout))[:MAX_FIELDS]
    rows = book.matrix(local, paths)
    fields = np.zeros(len(book), np.int64)
    fields[rows] = np.arange(len(paths))
    sizes = np.array(list(map(len, numbers)), np.int64)
    jobs = np.repeat(np.arange(len(sizes)), sizes)
    return CodedItems(paths, rows, place_of[row_of], jobs, sizes, fields, *book.describe(rows))
