"""Finds the key of a strategy's items from a few jobs, where `meter.yaml` does not state it.

A key must be in every item, unique in every job, and stable: most keys of a job are also in the next job on the same
target. That alone is not enough, since in a small job prices are unique too. So the name counts: a field called id,
sku, url or the like needs little else; any other text must be nearly constant over many items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from meter_pipeline.config.field_paths import spell_path
from meter_pipeline.store.columns import snake

MAX_JOBS = 8
MAX_ATTEMPTS = 8
# Names of identifying fields, best first; the last word of a field's name counts.
_NAMES = (
    "id", "uuid", "guid", "sku", "isbn", "isbn13", "ean", "gtin", "upc", "asin", "mpn", "doi", "key", "code", "slug",
    "handle", "url", "link", "permalink", "href", "uri", "number", "no",
)  # fmt: skip
# Words of fields that identify a part of an item, or the scrape, and not the item.
_PARTS = frozenset({"image", "img", "thumbnail", "photo", "picture", "icon", "session", "request", "scrape", "seller"})
_TITLES = ("name", "title", "headline")
_STABLE, _VERY_STABLE = 0.5, 0.9
_MANY_ITEMS = 20
_PAIRED = 6

Marks: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Suggestion:
    """A key, and the evidence for it.

    Attributes:
        key: Paths of its fields.
        uniqueness: Share of items whose key no other item of the job has; the smallest over all jobs.
        coverage: Share of items that have the key's fields.
        stability: Share of a job's keys that the next job on the target also has; the median.
        jobs: Number of jobs that were examined.
        items: Number of their items.
    """

    key: tuple[str, ...]
    uniqueness: float
    coverage: float
    stability: float
    jobs: int
    items: int

    def evidence(self) -> dict[str, Any]:
        """The evidence as the ledger keeps it."""
        return {name: value for name, value in asdict(self).items() if name != "key"}


@dataclass(frozen=True)
class Cells:
    """One field's values in some items: for each a hash (`marks`), and whether it fits a key or is a number."""

    marks: Marks
    fit: npt.NDArray[np.bool_]
    number: npt.NDArray[np.bool_]

    def at(self, places: Marks) -> Cells:
        """The values at some places, in the order of `places`."""
        return Cells(self.marks[places], self.fit[places], self.number[places])


def cells(values: Sequence[Any], name: str) -> Cells:
    """The values of a field in parsed items; only text and integers can be in a key."""
    column = [value.get(name) if type(value) is dict else None for value in values]
    count, kinds = len(column), set(map(type, column))
    if kinds in ({str}, {int}) and "" not in column:
        marks = np.fromiter(map(hash, column), np.int64, count)
        return Cells(marks, np.ones(count, np.bool_), np.full(count, kinds == {int}))
    number = np.fromiter((type(value) is int for value in column), np.bool_, count)
    fit = number | np.fromiter((type(value) is str and value != "" for value in column), np.bool_, count)
    usable = (hash(value) if fits else 0 for value, fits in zip(column, fit.tolist(), strict=True))
    return Cells(np.fromiter(usable, np.int64, count), fit, number)


class Profile:
    """The fields of a job's items that could be a key, read in pieces; takes eight bytes of memory per value."""

    def __init__(self, target_id: str) -> None:
        self.target_id = target_id
        self.items = 0
        self._pieces: dict[str, list[Marks]] | None = None
        self._numbers: set[str] = set()

    def feed(self, values: Sequence[Any]) -> None:
        """Adds parsed items."""
        if values:
            self.take(values[0], len(values), lambda name: cells(values, name))

    def take(self, first: Any, count: int, cells_of: Callable[[str], Cells]) -> None:
        """Adds items whose values are given field by field.

        Args:
            first: The first item, parsed.
            count: Number of items.
            cells_of: Returns the items' values of a field.
        """
        self.items += count
        if self._pieces is None:
            self._pieces = {name: [] for name in first} if type(first) is dict else {}
        for name in list(self._pieces):
            column = cells_of(name)
            if not column.fit.all():
                del self._pieces[name]
                continue
            self._pieces[name].append(column.marks)
            if column.number.any():
                self._numbers.add(name)

    def marks(self) -> dict[str, Marks]:
        """A hash of each value, by field, of the fields that every item has."""
        return {name: np.concatenate(pieces) for name, pieces in (self._pieces or {}).items()}

    @property
    def numbers(self) -> set[str]:
        """Names of fields with numbers among their values."""
        return self._numbers


def suggest(jobs: Sequence[Profile]) -> Suggestion | None:
    """The key that these jobs support, or None if no candidate qualifies.

    Args:
        jobs: Profiles of jobs, those of a target in order of time; only jobs with two items or more count, and at least
            two of them must be of one target.
    """
    jobs = [job for job in jobs if job.items > 1]
    if not comparable(job.target_id for job in jobs):
        return None
    marks = [job.marks() for job in jobs]
    common = [name for name in marks[0] if all(name in fields for fields in marks)]
    numbers = set().union(*(job.numbers for job in jobs))
    items = sum(job.items for job in jobs)
    single = [(name,) for name in common]
    pairs = list(combinations([name for name in common if name not in numbers or _rank(name)][:_PAIRED], 2))
    for candidates in (single, pairs):
        found = []
        for key in candidates:
            stability = _stability(jobs, [_combined(fields, key) for fields in marks])
            if stability is not None and _convincing(key, stability, items, numbers):
                found.append((*_preference(key, stability), common.index(key[0]), key, stability))
        if found:
            *_, key, stability = min(found)
            paths = tuple(spell_path([name]) for name in key)
            return Suggestion(paths, 1.0, 1.0, round(stability, 4), len(jobs), items)
    return None


def comparable(targets: Iterable[str]) -> bool:
    """Whether two jobs are of one target."""
    seen: set[str] = set()
    for target in targets:
        if target in seen:
            return True
        seen.add(target)
    return False


def _combined(marks: Mapping[str, Marks], key: Sequence[str]) -> Marks:
    combined = marks[key[0]]
    for name in key[1:]:
        combined = combined * np.int64(1_000_003) ^ marks[name]
    return combined


def _stability(jobs: Sequence[Profile], marks: Sequence[Marks]) -> float | None:
    """The median share of keys that the next job also has; None if a key is not unique in its job."""
    unique = []
    for job_marks in marks:
        distinct = np.unique(job_marks)
        if len(distinct) != len(job_marks):
            return None
        unique.append(distinct)
    shares: list[float] = []
    last: dict[str, Marks] = {}
    for job, keys in zip(jobs, unique, strict=True):
        before = last.get(job.target_id)
        if before is not None:
            stay = len(np.intersect1d(before, keys, assume_unique=True))
            shares.append(stay / min(len(before), len(keys)))
        last[job.target_id] = keys
    return float(np.median(shares))


def _rank(name: str) -> int:
    """Higher for better names of a key; 0 for a name that suggests none."""
    words = snake(name).split("_")
    if _PARTS & set(words):
        return 0
    word = words[-1]
    return len(_NAMES) - _NAMES.index(word) if word in _NAMES else 0


def _convincing(key: Sequence[str], stability: float, items: int, numbers: set[str]) -> bool:
    if len(key) == 1 and _rank(key[0]):
        return stability >= _STABLE
    titled = any(snake(name).split("_")[-1] in _TITLES or _rank(name) for name in key)
    text = not numbers & {name for name in key if not _rank(name)}
    return text and titled and stability >= _VERY_STABLE and items >= _MANY_ITEMS


def _preference(key: Sequence[str], stability: float) -> tuple[bool, float, int]:
    """Sort key, best first: a name that suggests a key, then higher stability, then the better name."""
    rank = max(map(_rank, key))
    return not rank, -round(stability, 1), -rank
