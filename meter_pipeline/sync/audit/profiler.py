"""Makes profiles of jobs, from items in memory or piece by piece.

Comes in: a job's items. Goes out: its `JobProfile`. A profile follows from the set of the job's items, its time and the
profile before it, whose identity is kept while it still tells items apart. The work is bounded: of a large job only
the items with the smallest ids are taken apart, which are the same items in job after job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from meter_pipeline.config.field_paths import parse_path, spell_path
from meter_pipeline.store.columns import spell_json
from meter_pipeline.sync.audit.cells import Cells, Codes
from meter_pipeline.sync.audit.identities import EXAMINED, Path, choose_identity, identify, is_still_unique
from meter_pipeline.sync.audit.profile import LENGTH_QUANTILES, NUMBER_QUANTILES, JobProfile, Shares, Sketch
from meter_pipeline.sync.audit.values import ABSENT, EMPTY, FLAGS, FORMS, MEASURE, NUMBER, TEXT
from meter_pipeline.sync.items.texts import Items, Texts

# Cells that are examined of a job, and the rows that this makes.
_CELLS = 5_000
MOST_ROWS, _FEWEST_ROWS = 512, 64
# Numbers in a sketch, and the items that this makes.
_SKETCHED, _MOST_SKETCHED, _FEWEST_SKETCHED = 4_500, 256, 24
MOST_FIELDS = 1_000
_TOP_VALUES, _TOP_PATTERNS = 8, 12
_SAMPLE, _SHORT_SAMPLE = 60, 24
_WIDE = 40

Ids = npt.NDArray[np.uint32]


class Profiler:
    """Makes profiles of the jobs of a strategy; what it knows of repeated items is kept from job to job.

    Args:
        texts: The texts of the items that `profile` gets; another profiler is needed for other texts.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._cells = Cells()
        self._identity: tuple[Path, ...] | None = None
        self._ids: Ids = np.empty(0, np.uint32)
        self._last: tuple[bytes, tuple[Path, ...], JobProfile] | None = None

    def profile(self, items: Items, time: str, before: JobProfile | None = None) -> JobProfile:
        """The profile of a job.

        Args:
            items: The job's items; those that cannot be parsed count as null.
            time: When the job was scraped, ISO 8601.
            before: The last accepted job of the target before this one, None for a first job.
        """
        numbers = items.numbers
        rows = self._cells.rows(self._texts.values, np.unique(numbers[:EXAMINED]))
        identity = _keep_or_choose(rows, self._cells, before)
        same = numbers.tobytes()
        if self._last is not None and self._last[:2] == (same, identity):
            return replace(self._last[2], time=time, memory={})
        ids = self._identify(identity)[numbers]
        profile = _describe(self._cells, self._texts.values, numbers, ids, identity, len(numbers), time)
        self._last = same, identity, profile
        return profile

    def _identify(self, identity: tuple[Path, ...]) -> Ids:
        """The ids of all texts."""
        if identity != self._identity:
            self._identity, self._ids = identity, np.empty(0, np.uint32)
        known, values = len(self._ids), self._texts.values
        if known < len(values):
            self._ids = np.concatenate([self._ids, identify(values[known:], identity)])
        return self._ids


class PieceProfiler:
    """Makes the profile of one large job piece by piece; takes the memory of some thousand items.

    Args:
        time: When the job was scraped, ISO 8601.
        before: The last accepted job of the target before this one, None for a first job.
    """

    def __init__(self, time: str, before: JobProfile | None = None) -> None:
        self._time, self._before = time, before
        self._identity: tuple[Path, ...] | None = None
        self._items = 0
        self._kept: list[Any] = []
        self._ids: Ids = np.empty(0, np.uint32)
        self._at: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._limit = 2**32

    def feed(self, values: Sequence[Any]) -> None:
        """Adds the next items, parsed."""
        if not values:
            return
        if self._identity is None:
            cells = Cells()
            head = list(values[:EXAMINED])
            self._identity = _keep_or_choose(cells.rows(head, np.arange(len(head))), cells, self._before)
        ids = identify(values, self._identity)
        chosen = np.flatnonzero(ids < self._limit)
        self._kept += [values[place] for place in chosen.tolist()]
        self._ids = np.concatenate([self._ids, ids[chosen]])
        self._at = np.concatenate([self._at, chosen + self._items])
        self._items += len(values)
        if len(self._kept) > 4 * MOST_ROWS:
            self._shrink()

    def finish(self) -> JobProfile:
        """The profile of the items so far."""
        cells = Cells()
        places = self._at if len(self._at) < self._items else None
        numbers = np.arange(len(self._kept))
        return _describe(
            cells, self._kept, numbers, self._ids, self._identity or (), self._items, self._time, places=places
        )

    def _shrink(self) -> None:
        distinct = np.unique(self._ids)
        if len(distinct) <= MOST_ROWS:
            return
        self._limit = int(distinct[MOST_ROWS])
        kept = np.flatnonzero(self._ids < self._limit)
        self._kept = [self._kept[place] for place in kept.tolist()]
        self._ids, self._at = self._ids[kept], self._at[kept]


def _keep_or_choose(rows: Codes, cells: Cells, before: JobProfile | None) -> tuple[Path, ...]:
    forms = cells.values.columns()[0]
    if before is not None and before.identity:
        earlier = tuple(map(parse_path, before.identity))
        if is_still_unique(rows, cells.paths, forms, earlier):
            return earlier
    return choose_identity(rows, cells.paths, cells.values.columns()) if len(rows) else ()


def _describe(
    cells: Cells,
    items: Sequence[Any],
    numbers: npt.NDArray[np.int64],
    ids: Ids,
    identity: tuple[Path, ...],
    count: int,
    time: str,
    *,
    places: npt.NDArray[np.int64] | None = None,
) -> JobProfile:
    """The profile of a job of `count` items, given all of them or those with the smallest ids."""
    distinct = np.unique(ids)
    at = np.arange(len(numbers)) if places is None else places
    rows = _most_rows(cells, items, numbers, ids, distinct)
    is_complete = places is None and len(distinct) <= rows
    if len(distinct) > rows:
        chosen = np.flatnonzero(ids < distinct[rows])
        numbers, at, distinct = numbers[chosen], at[chosen], distinct[:rows]
        ids = ids[chosen]
    codes = cells.rows(items, numbers)
    repeats = 1 - len(distinct) / len(ids) if len(ids) else 0.0
    table = cells.values.columns()
    codes, paths = _used_columns(codes, cells.paths, table[0])
    counted = _Counted(codes, table)
    _, firsts = np.unique(ids, return_index=True)
    filled = (table[0][codes] > EMPTY).sum(axis=1) if len(codes) else np.zeros(0, np.int64)
    usual = float(np.median(filled)) if len(filled) else 0.0
    sparse = float((filled * 2 < usual).mean()) if len(filled) else 0.0
    shown = firsts[:2].tolist()
    if sparse:
        shown.append(int(min(np.flatnonzero(filled == filled.min()), key=lambda row: ids[row])))
    samples = _samples([items[number] for number in numbers[shown].tolist()], paths)
    return JobProfile(
        time=time,
        items=count,
        rows=len(codes),
        repeats=repeats,
        sparse=sparse,
        identity=tuple(map(spell_path, identity)),
        paths=tuple(map(spell_path, paths)),
        forms=counted.forms(),
        flags=counted.flags(),
        distinct=counted.distinct(),
        numbers=_quantiles(counted.numbers(), NUMBER_QUANTILES),
        lengths=_quantiles(counted.lengths(), LENGTH_QUANTILES),
        values=counted.shares(1, _TOP_VALUES),
        patterns=counted.shares(5, _TOP_PATTERNS),
        units=(units := counted.shares(6, _TOP_VALUES)),
        unit_names={unit: cells.values.units[unit] for unit in np.unique(units.marks).tolist()},
        sketch=_sketch(counted, ids, firsts, at, max(count, 1), is_complete=is_complete),
        samples=samples,
    )


def _most_rows(cells: Cells, items: Sequence[Any], numbers: npt.NDArray[np.int64], ids: Ids, distinct: Ids) -> int:
    """How many items of a job are examined: the more fields, the fewer items."""
    if len(distinct) <= _FEWEST_ROWS:
        return len(distinct)
    few = numbers[ids < distinct[_FEWEST_ROWS]]
    width = int((cells.rows(items, few) != ABSENT).any(axis=0).sum())
    return min(max(_CELLS // max(width, 1), _FEWEST_ROWS), MOST_ROWS, len(distinct))


def _used_columns(codes: Codes, paths: Sequence[Path], forms: npt.NDArray[np.uint8]) -> tuple[Codes, list[Path]]:
    """The columns that occur in these rows, in the order of their names; of very many those that occur most."""
    present = (codes != ABSENT).sum(axis=0)
    used = np.flatnonzero(present).tolist()
    if len(used) > MOST_FIELDS:
        used = sorted(used, key=lambda column: (-int(present[column]), paths[column]))[:MOST_FIELDS]
    used.sort(key=lambda column: paths[column])
    return codes[:, used], [paths[column] for column in used]


class _Counted:
    """Rows of a job with each field's distinct values counted."""

    def __init__(self, codes: Codes, table: tuple[npt.NDArray[Any], ...]) -> None:
        self.codes, self.table = codes, table
        self._width = codes.shape[1]
        keys = codes.astype(np.int64)
        keys += np.arange(self._width, dtype=np.int64) << 32
        once, counts = np.unique(keys, return_counts=True)
        self._fields, self._values = once >> 32, once & 0xFFFFFFFF
        self._counts = counts.astype(np.float64)
        self._forms = table[0][self._values]
        self._filled = self._forms > EMPTY

    def forms(self) -> npt.NDArray[np.float32]:
        """In how many rows a field has each form."""
        return self._sum(self._fields * len(FORMS) + self._forms, len(FORMS))

    def flags(self) -> npt.NDArray[np.float32]:
        """In how many rows a field has each flag."""
        flags = self.table[4][self._values]
        result = np.zeros((self._width, len(FLAGS)), np.float32)
        occurring = int(np.bitwise_or.reduce(flags)) if len(flags) else 0
        for bit in range(len(FLAGS)):
            if occurring >> bit & 1:
                result[:, bit] = np.bincount(self._fields, self._counts * (flags >> bit & 1), self._width)
        return result

    def distinct(self) -> npt.NDArray[np.float32]:
        """Number of distinct values of each field."""
        return np.bincount(self._fields[self._filled], minlength=self._width).astype(np.float32)

    def shares(self, column: int, most: int) -> Shares:
        """The most frequent values (column 1), patterns (5) or units (6)."""
        if column == 1:
            chosen = self._filled
        elif column == 5:
            chosen = (self._forms >= TEXT) | (self._forms == NUMBER)
        else:
            chosen = self._forms == MEASURE
        if column == 1:
            # A value is counted already; one that occurs once or in few items is not among the most frequent.
            chosen &= self._counts > max(1, len(self.codes) / 50)
            fields, counts = self._fields[chosen], self._counts[chosen]
            marks = self.table[column][self._values[chosen]].astype(np.int64)
        else:
            keys = self._fields[chosen] << 32 | self.table[column][self._values[chosen]]
            order = np.argsort(keys, kind="stable")
            keys, weights = keys[order], self._counts[chosen][order]
            starts = np.flatnonzero(np.concatenate([keys[:1] == keys[:1], keys[1:] != keys[:-1]]))
            counts = np.add.reduceat(weights, starts) if len(starts) else weights
            fields, marks = keys[starts] >> 32, keys[starts] & 0xFFFFFFFF
        order = np.lexsort((marks, -counts, fields))
        fields, marks, counts = fields[order], marks[order], counts[order]
        rank = np.arange(len(fields)) - np.searchsorted(fields, fields)
        top = rank < most
        return Shares(fields[top].astype(np.uint16), marks[top].astype(np.uint32), counts[top].astype(np.float32))

    def numbers(self) -> npt.NDArray[np.float64]:
        """The number of each cell, NaN where there is none."""
        return self.table[2][self.codes]

    def lengths(self) -> npt.NDArray[np.float64]:
        """The length of each cell's text, NaN where there is none."""
        lengths = self.table[3][self.codes].astype(np.float64)
        lengths[lengths == 0] = np.nan
        return lengths

    def _sum(self, keys: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.float32]:
        sums = np.bincount(keys, self._counts, self._width * width)
        return sums.reshape(self._width, width).astype(np.float32)


def _quantiles(cells: npt.NDArray[np.float64], quantiles: Sequence[float]) -> npt.NDArray[np.float32]:
    """Quantiles of each column's values that are not NaN; NaN for a column without."""
    result = np.full((cells.shape[1], len(quantiles)), np.nan, np.float32)
    counts = (~np.isnan(cells)).sum(axis=0)
    columns = np.flatnonzero(counts)
    if len(columns):
        ordered = np.sort(cells[:, columns], axis=0)
        places = (np.outer(counts[columns] - 1, quantiles) + 0.5).astype(np.int64)
        result[columns] = ordered[places, np.arange(len(columns))[:, None]]
    return result


def _sketch(
    counted: _Counted,
    ids: Ids,
    firsts: npt.NDArray[np.int64],
    at: npt.NDArray[np.int64],
    count: int,
    *,
    is_complete: bool,
) -> Sketch:
    width = counted.codes.shape[1]
    most = min(max(_SKETCHED // max(width, 1), _FEWEST_SKETCHED), _MOST_SKETCHED)
    kept = firsts[:most]
    codes = counted.codes[kept]
    marks = counted.table[1]
    short = (marks ^ marks >> np.uint32(16)).astype(np.uint16)
    short[(short == 0) & (counted.table[0] > EMPTY)] = 1
    forms = counted.table[0]
    numbers = counted.table[2][codes]
    numeric = np.flatnonzero((~np.isnan(numbers)).any(axis=0)) if len(kept) else np.empty(0, np.int64)
    return Sketch(
        ids[kept],
        (at[kept] / count).astype(np.float16).astype(np.float32),
        np.where(forms[codes] > EMPTY, short[codes], 0).astype(np.uint16),
        numeric.astype(np.uint16),
        numbers[:, numeric].astype(np.float32),
        is_complete and len(firsts) <= most,
    )


def _samples(items: Sequence[Any], paths: Sequence[Path]) -> tuple[tuple[str, ...], ...]:
    length = _SAMPLE if len(paths) <= _WIDE else _SHORT_SAMPLE
    return tuple(tuple(_spell(_find(item, path), length) for item in items) for path in paths)


def _find(item: Any, path: Path) -> Any:
    value = item
    for place, name in enumerate(path):
        if type(value) is dict:
            value = value.get(name)
        elif name == "[]" and type(value) is list:
            value = value[0] if value else None
        elif not (place == 0 and name == "value"):
            return None
    return value


def _spell(value: Any, length: int) -> str:
    text = spell_json(value)
    return text if len(text) <= length else text[: length - 1] + "…"
