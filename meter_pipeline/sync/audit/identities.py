"""Which fields tell the items of a job apart, and a number of 32 bits for each item by these fields.

Comes in: parsed items. Goes out: paths of fields, and ids of items. The choice is the audit's own and follows from a
job's items (and the choice made for the job before): the key of the strategy may be found later, or change, and
verdicts must not change with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.cells import Codes, find_values
from meter_pipeline.sync.audit.values import (
    EMPTY,
    FIRST_SCRIPT,
    FORMS,
    MEASURE,
    NUMBER,
    SPELLED,
    TEXT,
    URL,
    is_value,
    mark,
)
from meter_pipeline.sync.items.field_names import rank_name

Path = tuple[str, ...]
Ids = npt.NDArray[np.uint32]

#: Items from which the fields are chosen.
EXAMINED = 512
_UNIQUE, _STILL_UNIQUE = 0.9, 0.6
_PAIRED = 6
_TITLES = ("name", "title", "headline", "heading")
_TIMES, _MIX, _LOW, _SHIFT = map(np.uint64, (31, 0x9E3779B1, 0xFFFFFFFF, 15))
_IS_FITTING = np.isin(np.arange(len(FORMS)), (TEXT, SPELLED, URL, NUMBER, MEASURE))


def choose_identity(codes: Codes, paths: Sequence[Path], table: Sequence[npt.NDArray[Any]]) -> tuple[Path, ...]:
    """The fields that tell items apart: one, or two together, or none if no two do.

    Args:
        codes: Rows of distinct items.
        paths: Names of the columns.
        table: Columns about the values, by their numbers: see `ValueTable.columns`.
    """
    cells, lettered = table[0][codes], ((table[4] >> FIRST_SCRIPT) > 0)[codes]
    filled = cells > EMPTY
    # All columns in one sort each: to look at them one by one takes several times as long for few items.
    columns = np.sort(np.where(filled, codes, -1), axis=0)
    distinct = (columns[0] >= 0) + (columns[1:] != columns[:-1]).sum(axis=0)
    is_fitting = (filled.sum(axis=0) >= _UNIQUE * len(codes)) & (_IS_FITTING[cells] | ~filled).all(axis=0)
    are_numbers = (cells == NUMBER).any(axis=0) | ((cells == MEASURE).mean(axis=0) > 0.5)
    are_words = lettered.mean(axis=0) > 0.8
    candidates = []
    for column in np.flatnonzero(is_fitting).tolist():
        path = paths[column]
        if "[]" in path:
            continue
        rank, is_number, unique = rank_name(path[-1]), bool(are_numbers[column]), int(distinct[column]) / len(codes)
        # A title rather than other words, and words rather than a score such as 12:8.
        title = 2 * (path[-1].lower().rsplit("_", 1)[-1] in _TITLES) + bool(are_words[column])
        candidates.append((bool(rank) and unique >= _UNIQUE, not is_number, title, rank, unique, path, column))
    alone = [entry for entry in candidates if entry[4] >= _UNIQUE and (entry[0] or entry[1])]
    if alone:
        alone.sort(key=lambda entry: (not entry[0], -entry[2], -entry[3], entry[4] < 1, len(entry[5]), entry[5]))
        return (alone[0][5],)
    # A name with a category rather than a name with a price.
    ordered = sorted(candidates, key=lambda entry: (not entry[1], -round(entry[4], 1), entry[5]))
    for one, other in combinations(ordered[:_PAIRED], 2):
        pairs = codes[:, one[6]].astype(np.int64) << 32 | codes[:, other[6]]
        if (one[1] or other[1]) and len(np.unique(pairs)) >= _UNIQUE * len(codes):
            return one[5], other[5]
    return ()


def is_still_unique(ids: Ids, has_value: npt.NDArray[np.bool_]) -> bool:
    """Whether fields that identified the items of an earlier job still identify most of these.

    Args:
        ids: The ids of distinct items by these fields.
        has_value: Whether each item has a value in each of the fields; one column a field.
    """
    return bool(are_still_unique(ids, has_value, np.array([len(ids)]))[0])


def are_still_unique(
    ids: Ids, has_value: npt.NDArray[np.bool_], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Whether fields that identified the items of an earlier job still identify most items of each of several jobs.

    Args:
        ids: The ids of the jobs' distinct items by these fields, job after job.
        has_value: Whether each item has a value in each of the fields; one column a field.
        lengths: Number of distinct items of each job.
    """
    count = len(lengths)
    job = np.repeat(np.arange(count), lengths)
    is_filled = [np.bincount(job[column], minlength=count) >= _UNIQUE * lengths for column in has_value.T]
    is_whole = has_value.all(axis=1)
    whole = job[is_whole]
    unique = np.bincount(sort_once(whole << 32 | ids[is_whole]) >> 32, minlength=count)
    has_other = np.bincount(whole, minlength=count) < lengths
    is_unique: npt.NDArray[np.bool_] = (lengths > 0) & (unique + has_other >= _STILL_UNIQUE * lengths)
    return is_unique & np.all(is_filled, axis=0)


def sort_once(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The keys in order, each once; sorts them in place. `np.unique` takes several times as long for few keys."""
    keys.sort()
    is_new = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
    return keys[is_new]


def have_values(items: Sequence[Any], identity: Sequence[Path]) -> npt.NDArray[np.bool_]:
    """Whether items have a value in each of some fields; one line an item."""
    found = [list(map(is_value, find_values(items, path))) for path in identity]
    return np.array(found, np.bool_).reshape(len(found), len(items)).T


def identify(items: Sequence[Any], identity: Sequence[Path]) -> Ids:
    """The ids of items; without the fields, or in a job without identity, an item is identified by all it holds."""
    if not identity:
        return np.fromiter(map(mark, items), np.uint32)
    # In 64 bits, of which the lower 32 are right whatever the others become.
    ids = np.zeros(len(items), np.uint64)
    is_whole = np.ones(len(items), np.bool_)
    for path in identity:
        values = find_values(items, path)
        ids = (ids * _TIMES + np.fromiter(map(mark, values), np.uint64, len(values))) * _MIX & _LOW
        ids ^= ids >> _SHIFT
        is_whole &= np.fromiter((value is not None and value != "" for value in values), np.bool_, len(values))
    for place in np.flatnonzero(~is_whole).tolist():
        ids[place] = mark(items[place])
    return ids.astype(np.uint32)
