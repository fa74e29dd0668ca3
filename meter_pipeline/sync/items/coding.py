"""Codes for the values of sampled items, so that they are counted and compared for all fields at once.

Consecutive jobs repeat most of their items. Each distinct item is taken apart once; a job is then a matrix of codes
with a row for each item and a column for each field. The same value of a field has the same code in every job, values
of different fields have different codes, and 0 stands for a value that is absent or empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.identity import canonical
from meter_pipeline.sync.items.samples import MAX_DEPTH, MAX_FIELDS, TARGET_PATH, JobSample, is_amount, is_time

Codes: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

# Values of a job whose shape says whether a field holds amounts.
_SHAPED = 200
_TEXT, _OTHER, _UNFIT = range(3)
# What a text is, found out when it is needed.
_PLAIN, _AMOUNT, _TIME, _UNKNOWN = 0, 1, 2, -1


class CodeBook:
    """Gives values codes. One book serves all samples of a search, whatever it was used for before."""

    def __init__(self) -> None:
        self._root, self._target = _Branch(()), _Branch(TARGET_PATH)
        self._kinds: list[int] = [_OTHER]
        # The spelled text of a code, and what it is once that was asked.
        self._texts: list[str | None] = [None]
        self._sorts: list[int] = [_PLAIN]
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

    def find_fit(self, matrix: Codes) -> Mask:
        """Which columns could identify items: all values are text or whole numbers, and few are amounts of money."""
        kinds = np.array(self._kinds, np.int8)[matrix]
        priced = (self._sort(matrix[:_SHAPED]) == _AMOUNT).sum(axis=0)
        texts = (kinds[:_SHAPED] == _TEXT).sum(axis=0)
        return np.asarray(~(kinds == _UNFIT).any(axis=0) & ((texts == 0) | (priced * 2 < texts)))

    def find_words(self, matrix: Codes) -> Mask:
        """Which columns hold mostly text."""
        shaped = matrix[:_SHAPED]
        texts = np.array(self._kinds, np.int8)[shaped] == _TEXT
        return np.asarray(texts.sum(axis=0) * 2 > np.count_nonzero(shaped, axis=0))

    def find_times(self, matrix: Codes) -> Mask:
        """Which columns hold mostly dates and times in texts."""
        shaped = matrix[:_SHAPED]
        return np.asarray((self._sort(shaped) == _TIME).sum(axis=0) * 2 > np.count_nonzero(shaped, axis=0))

    def _sort(self, matrix: Codes) -> Codes:
        """For each value whether it is an amount, a time, or neither."""
        sorts = np.array(self._sorts, np.int8)
        for code in dict.fromkeys(matrix[sorts[matrix] == _UNKNOWN].tolist()):
            text = self._texts[code] or ""
            sorts[code] = self._sorts[code] = _AMOUNT if is_amount(text) else _TIME if is_time(text) else _PLAIN
        return np.asarray(sorts[matrix], np.int64)

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
            if type(value) is not dict:
                branches.append(inner)
                codes.append(self._code(inner, value))
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
            self._sorts.append(_UNKNOWN if is_text else _PLAIN)
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
    """The values of one field, or of several together, in a sample.

    Attributes:
        codes: The code of each item's value.
        counts: By code, how many items have it; 0 for code 0. Codes of other fields may be among them.
        places: By code, the last item that has it.
    """

    codes: Codes
    counts: Codes
    places: Codes

    @classmethod
    def of(cls, codes: Codes, size: int) -> Coded:
        """The values with these codes, all smaller than `size`."""
        counts = np.bincount(codes, minlength=size)
        counts[0] = 0
        places = np.zeros(size, np.int64)
        places[codes] = np.arange(len(codes))
        return cls(codes, counts, places)

    @cached_property
    def is_once(self) -> Mask:
        """By code, whether one item has it."""
        return self.counts == 1

    @cached_property
    def present(self) -> int:
        """Number of items with a value."""
        return int(np.count_nonzero(self.codes))

    @cached_property
    def distinct(self) -> int:
        """Number of different values."""
        own = self.counts[self.codes[self.codes > 0]]
        return round(float((1 / own).sum()))

    @cached_property
    def collisions(self) -> float:
        """Share of the pairs of values that are equal."""
        total = self.present
        own = self.counts[self.codes[self.codes > 0]]
        return float((own - 1).sum() / (total * (total - 1))) if total > 1 else 0.0


class CodedJob:
    """A sample as a matrix of codes.

    Args:
        sample: The sample.
        matrix: A row for each item, a column for each field.
        fields: By code, the field's column.
    """

    def __init__(self, sample: JobSample, matrix: Codes, fields: Codes) -> None:
        self.sample, self.matrix, self._fields = sample, matrix, fields
        size, width = len(fields), matrix.shape[1]
        self.counts = np.bincount(matrix.reshape(-1), minlength=size)
        self.counts[0] = 0
        self.places = np.zeros(size, np.int64)
        self.places[matrix] = np.arange(len(matrix))[:, None]
        #: Number of items with a value, and of different values, in each field.
        self.present = np.count_nonzero(matrix, axis=0)
        self.distinct = np.bincount(fields, weights=self.counts > 0, minlength=width)

    def __len__(self) -> int:
        return len(self.matrix)

    def column(self, field: int) -> Coded:
        """The values of a field, in the codes of the book."""
        return Coded(self.matrix[:, field], self.counts, self.places)

    def by_field(self, weights: npt.NDArray[Any]) -> Numbers:
        """Sums of numbers by code, for each field."""
        return np.asarray(np.bincount(self._fields, weights=weights, minlength=self.matrix.shape[1]), np.float64)


@dataclass(frozen=True)
class CodedJobs:
    """Samples as matrices of codes.

    Attributes:
        paths: The fields, in the order of their first occurrence.
        jobs: The samples, in their order.
        is_fit: Which fields could identify items: text or whole numbers, and no amounts of money.
        are_words: Which of these are mostly text other than times.
        are_times: Which fields are mostly dates and times.
    """

    paths: tuple[Path, ...]
    jobs: list[CodedJob]
    is_fit: Mask
    are_words: Mask
    are_times: Mask


def code_jobs(samples: Sequence[JobSample], book: CodeBook) -> CodedJobs:
    """The values of samples as codes."""
    rows = [book.rows(sample) for sample in samples]
    local = list(dict.fromkeys(chain.from_iterable(rows)))
    place_of = np.empty(max(local, default=-1) + 1, np.int64)
    place_of[local] = np.arange(len(local))
    layouts = dict.fromkeys(map(book.paths, local))
    paths = tuple(dict.fromkeys(path for layout in layouts for path in layout))[:MAX_FIELDS]
    matrix = book.matrix(local, paths)
    fields = np.zeros(len(book), np.int64)
    fields[matrix] = np.arange(len(paths))
    jobs = [CodedJob(sample, matrix[place_of[found]], fields) for sample, found in zip(samples, rows, strict=True)]
    is_fit, are_times = book.find_fit(matrix), book.find_times(matrix)
    return CodedJobs(paths, jobs, is_fit, is_fit & ~are_times & book.find_words(matrix), are_times)


def find_doubles(jobs: Sequence[CodedJob], fields: Codes) -> Mask:
    """Which of some fields tell items apart exactly as an earlier one of them does: a price as text and as a number."""
    found = np.zeros(len(fields), np.bool_)
    known: set[bytes] = set()
    if not jobs:
        return found
    matrix = np.concatenate([job.matrix[:, fields] for job in jobs])
    rows = np.arange(len(matrix))[::-1]
    for number, codes in enumerate(matrix.T):
        first = np.zeros(int(codes.max(initial=0)) + 1, np.int64)
        first[codes[::-1]] = rows
        mark = first[codes].tobytes()
        found[number] = mark in known
        known.add(mark)
    return found


def join_fields(jobs: Sequence[CodedJob], fields: Sequence[int]) -> list[Coded]:
    """The values of several fields together in each job, in codes of their own; present where all of them are."""
    joined = np.concatenate([job.matrix[:, fields[0]] for job in jobs])
    for field in fields[1:]:
        other = np.concatenate([job.matrix[:, field] for job in jobs])
        both = np.where((joined > 0) & (other > 0), joined * (int(other.max(initial=0)) + 1) + other, 0)
        _, joined = np.unique(np.append(0, both), return_inverse=True)
        joined = joined.reshape(-1)[1:]
    size = int(joined.max(initial=0)) + 1
    ends = np.cumsum([len(job) for job in jobs])
    return [Coded.of(codes, size) for codes in np.split(joined, ends[:-1])]
