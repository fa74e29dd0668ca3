"""Samples of jobs for the search for a key: bounded in size, the same for the same job, and kept by column.

A small job is its own sample. Of a large one, blocks of neighbouring items are taken, chosen by a hash of the block's
number: jobs that keep their order share nearly all blocks, and of jobs that do not, enough items still meet (the
number of meetings grows with the square of the sample, the sample therefore with the root of the job).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias
from unicodedata import category

import numpy as np
import numpy.typing as npt

from meter_pipeline.config.field_paths import Path
from meter_pipeline.sync.items.identity import canonical
from meter_pipeline.sync.values.currencies import SIGNS
from meter_pipeline.sync.values.dates import find_moment
from meter_pipeline.sync.values.relative import find_age

# Jobs up to this number of items are examined as a whole.
WHOLE_ITEMS = 2_000
BLOCK_ITEMS = 32
# Sampled items for each unit of the root of a job's size: two jobs of a million items share 256 if they are shuffled.
_ROOT_SHARE = 16
MAX_FIELDS = 200
# The path of the column that holds each item's target; no field of an item has an empty path.
TARGET_PATH: Path = ()
MAX_DEPTH = 5

Marks: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_TEXT_NUMBER = re.compile(r"\d[\d.,\s]*")
# A number with a few words around it, and one with a fraction of one or two digits.
_NUMBER_ALONE = re.compile(r"\D{0,8}\d[\d.,'\s]*\D{0,8}")
_SIGN = re.compile(r"[^\w\s.,]")
_PLACE = re.compile(r"\W{0,3}\d{1,9}[^\W\d_]{0,2}\W{0,3}")
# Letters at the front of a number without a space: `R12.50`, `A1.01`.
_LETTERS_AT = re.compile(r"\W*([^\W\d_]+)\d")
_FRACTION = re.compile(r"\D*(?:\d+|\d{1,3}(?:[.,'\s]\d{3})+)[.,]\d{1,2}\D*")

# The address or the name of a picture, which is exchanged as a text is rewritten: the item stays the same.
_PICTURE = re.compile(r"\.(?:jpe?g|png|gif|webp|avif|svg)(?:[?#]|$)", re.IGNORECASE)


def sample_size(count: int) -> int:
    """About how many items make up the sample of a job with `count` items."""
    return min(count, max(WHOLE_ITEMS, int(_ROOT_SHARE * count**0.5)))


def sample_positions(count: int) -> Marks:
    """The positions of the items that make up the sample of a job with `count` items, ascending."""
    if count <= WHOLE_ITEMS:
        return np.arange(count, dtype=np.int64)
    wanted = sample_size(count)
    blocks = np.arange(-(-count // BLOCK_ITEMS), dtype=np.uint64)
    mixed = mix(blocks.view(np.int64)).view(np.uint64)
    chosen = np.sort(np.argsort(mixed, kind="stable")[: -(-wanted // BLOCK_ITEMS)])
    positions = (chosen[:, None] * BLOCK_ITEMS + np.arange(BLOCK_ITEMS)).reshape(-1)
    return positions[positions < count].astype(np.int64)


def mix(marks: Marks) -> Marks:
    """Spreads the bits of marks, so that sums of them tell combinations of values apart."""
    mixed = marks.view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).view(np.int64)


@dataclass(frozen=True)
class Column:
    """The values of one field, or of several together, in a sample.

    Attributes:
        marks: A hash of each value, 0 where it is absent.
        present: Where there is a value other than null and empty text.
        values: The values as received.
        fit: Whether they could identify items: text or whole numbers, and no amounts of money.
    """

    marks: Marks
    present: Mask
    values: Sequence[Any]
    fit: bool

    @cached_property
    def mixed(self) -> Marks:
        """The marks with their bits spread."""
        return mix(self.marks)


def number_of(value: Any) -> float:
    """The first number in a value, NaN where there is none; the scale of texts is only alike within a field."""
    if type(value) in (int, float):
        return float(value)
    found = _TEXT_NUMBER.search(value) if type(value) is str and len(value) < 60 else None
    digits = "".join(filter(str.isdecimal, found[0])) if found else ""
    return float(digits[:15]) if digits else float("nan")


def place_of(value: Any) -> float:
    """The number of a value that is little else than a number, like `7`, `#7` and `7th`; NaN for others."""
    is_bare = type(value) is int or (type(value) is str and bool(_PLACE.fullmatch(value)))
    return number_of(value) if is_bare else float("nan")


@dataclass(frozen=True)
class JobSample:
    """The sampled items of one job.

    Attributes:
        job_id: The job.
        target_id: What it scraped.
        time: When, ISO 8601; with the id it orders jobs.
        items: Number of all items of the job.
        values: The sampled items, parsed, in order.
        run: The run of several targets that the job belongs to, if known.
        owners: The target of each item, for a sample that stands for jobs of several targets; None for one job.
    """

    job_id: str
    target_id: str
    time: str
    items: int
    values: Sequence[Any]
    run: str | None = None
    owners: Sequence[str] | None = None

    @classmethod
    def of(cls, values: Sequence[Any], *, job_id: str, target_id: str, time: str, run: str | None = None) -> JobSample:
        """The sample of a job all of whose items are in memory."""
        if len(values) > WHOLE_ITEMS:
            chosen: Sequence[Any] = [values[position] for position in sample_positions(len(values)).tolist()]
        else:
            chosen = values
        return cls(job_id, target_id, time, len(values), chosen, run)

    @property
    def place(self) -> tuple[str, str]:
        """The job's place in time."""
        return self.time, self.job_id

    @property
    def share(self) -> float:
        """The share of the job's items that is in the sample."""
        return len(self.values) / self.items if self.items else 1.0


def columns_of(values: Sequence[Any]) -> dict[Path, Column]:
    """The fields of parsed objects by path, in the order of their first occurrence; arrays count as values."""
    found: dict[Path, Column] = {}
    _add_columns(found, (), [value if type(value) is dict else None for value in values])
    return found


def _add_columns(found: dict[Path, Column], path: Path, values: Sequence[Any]) -> None:
    names = dict.fromkeys(name for value in values if value is not None for name in value)
    for name in names:
        if len(found) >= MAX_FIELDS:
            return
        column = [None if value is None else value.get(name) for value in values]
        kinds = set(map(type, column))
        if dict in kinds:
            if len(path) + 1 < MAX_DEPTH:
                _add_columns(found, (*path, name), [value if type(value) is dict else None for value in column])
            column = [None if type(value) is dict else value for value in column]
            kinds = set(map(type, column))
        if kinds != {type(None)}:
            found[(*path, name)] = column_of(column, kinds)


def column_of(values: Sequence[Any], kinds: set[type] | None = None) -> Column:
    """A column of values; numbers count as equal to their spelling as text, as in keys."""
    kinds = set(map(type, values)) if kinds is None else kinds
    count = len(values)
    if kinds == {str}:
        spelled: Sequence[Any] = values
    else:
        spelled = [value if type(value) is str else _spelled(value) for value in values]
    present = np.fromiter((value is not None and value != "" for value in spelled), np.bool_, count)
    marks = np.fromiter(map(hash, spelled), np.int64, count)
    marks[~present] = 0
    return Column(marks, present, values, _is_fit(values, kinds - {type(None)}))


def _spelled(value: Any) -> Any:
    kind = type(value)
    if kind is int:
        return str(value)
    return value if value is None or kind in (bool, float) else canonical(value)


def _is_fit(values: Sequence[Any], kinds: set[type]) -> bool:
    if not kinds <= {str, int, float}:
        return False
    if float in kinds and any(type(value) is float and not value.is_integer() for value in values):
        return False
    texts = [value for value in values if type(value) is str and value][:200]
    return not texts or sum(map(is_amount, texts)) * 2 < len(texts)


def is_amount(text: str) -> bool:
    """Whether a text is an amount of money or a share, which identifies no item."""
    text = text.strip()
    if len(text) > 40 or not _NUMBER_ALONE.fullmatch(text):
        return False
    has_sign = "%" in text or any(category(sign) == "Sc" for sign in _SIGN.findall(text))
    if has_sign or not _FRACTION.fullmatch(text):
        return has_sign
    letters = _LETTERS_AT.match(text)
    return letters is None or letters[1] in SIGNS


def is_time(text: str) -> bool:
    """Whether a text is a date, a time, or an age such as `2 days ago`."""
    text = text.strip()
    return find_moment(text) is not None or find_age(text) is not None


def is_picture(text: str) -> bool:
    """Whether a text is the address or the name of a picture."""
    return bool(_PICTURE.search(text))


def join_columns(columns: Sequence[Column]) -> Column:
    """The values of several fields together; present where all of them are."""
    present = np.logical_and.reduce([column.present for column in columns])
    marks = np.zeros(len(present), np.int64)
    for number, column in enumerate(columns):
        marks = mix(marks + column.mixed + np.int64(number))
    marks[~present] = 0
    return Column(marks, present, (), all(column.fit for column in columns))
