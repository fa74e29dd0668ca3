"""Compares the items of two jobs of a target one by one, by the sketches of their profiles.

Comes in: two profiles. Goes out: which items both have, how many values of each field changed, how numbers moved, and
which values belong to another field or another item. Jobs in a row are compared all at once: for a small one most of
the time goes into calls.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.matching import Numbers, match, stack_rows
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.audit.values import DATE, SPELLED, TIME

Floats = npt.NDArray[np.float64]
#: A job and an earlier one.
Pair = tuple[JobProfile, JobProfile]

# Items whose values moved by the same factor, up to rounding, to call a step rigid.
_SAME_FACTOR = 0.004
_SOME_CHANGED = 3
# By how much a rank grows from item to item at most, gaps included.
_RANK_STEP = 1.5


@dataclass(frozen=True, eq=False)
class Steps:
    """How the numbers of fields moved, over items that both jobs have; one entry a field of the later job.

    Attributes:
        compared: Number of items with a number in both jobs, and not zero in both.
        changed: Number of those whose number changed.
        up: Share of the changed numbers that grew.
        step: Median logarithm of the factor by which changed numbers moved; days for dates.
        overall: The same over all numbers, unchanged ones included.
        rigid: Share of the changed numbers that moved by the median factor.
        spread: Difference of the upper and the lower quarter of the logarithms.
        round: Share of the changed numbers that fell by a multiple of five per cent, as in a sale.
    """

    compared: Floats
    changed: Floats
    up: Floats
    step: Floats
    overall: Floats
    rigid: Floats
    spread: Floats
    round: Floats


@dataclass(eq=False)
class Comparison:
    """A job beside an earlier one; arrays have one entry a field of the later job, zero for a field it alone has.

    Most jobs are so near to the last one that no test looks at their fields: what is said of these is computed when it
    is asked for, while both profiles are still in use.

    Attributes:
        known: Share of the job's items that the earlier job has.
        kept: Share of the earlier job's items that the job has.
        now_items: Number of the job's items that were looked up.
        matched: Number of items in both.
        any_changed: Share of matched items with any different value.
        places: Where the matched items are in the sketch of each job.
    """

    known: float
    kept: float
    now_items: int
    matched: int
    any_changed: float
    _pair: tuple[weakref.ref[JobProfile], weakref.ref[JobProfile]]
    places: tuple[Numbers, Numbers]

    @property
    def _profiles(self) -> tuple[JobProfile, JobProfile]:
        now, before = (profile() for profile in self._pair)
        assert now is not None
        assert before is not None
        return now, before

    @cached_property
    def _counts(self) -> tuple[Floats, Floats]:
        now, before = self._profiles
        filled, changed = np.zeros(len(now.paths)), np.zeros(len(now.paths))
        if self.matched:
            mine, new, old = _matched_marks([(now, before)], np.zeros(self.matched, np.int64), *self.places)
            both = (new != 0) & (old != 0)
            filled[mine] = both.sum(axis=0)
            if self.any_changed:
                changed[mine] = ((new != old) & both).sum(axis=0)
                changed /= np.maximum(filled, 1)
        return filled, changed

    @property
    def filled(self) -> Floats:
        """Number of matched items with a value in both jobs."""
        return self._counts[0]

    @property
    def changed(self) -> Floats:
        """Share of the matched items with a value in both jobs whose value differs."""
        return self._counts[1]

    @property
    def head(self) -> float:
        """Whether the kept items are the first ones of the earlier job.

        Returns:
            Share of items before the last kept one that were kept.
        """
        if not self.matched:
            return 0.0
        places = self._profiles[1].sketch.places
        return float(self.matched / (places <= places[self.places[1]].max()).sum())

    @cached_property
    def steps(self) -> Steps:
        """How numbers moved."""
        return _steps(*self._profiles, *self.places, self.changed)

    @property
    def moved(self) -> float:
        """Share of items that were added, removed or changed; of the larger of both jobs."""
        return 1 - min(self.known, self.kept) * (1 - self.any_changed)


def compare(now: JobProfile, before: JobProfile) -> Comparison | None:
    """Compares a job with an earlier one; None if other fields identify their items, or none do."""
    key = _key(before)
    if key not in now.memory:
        compare_all([(now, before)])
    return now.memory[key]  # type: ignore[no-any-return]


def compare_all(pairs: Sequence[Pair]) -> list[Comparison | None]:
    """Compares jobs, each with an earlier one: pairs with the same fields all at once, and no pair twice."""
    keys = [_key(before) for _, before in pairs]
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Pair]] = {}
    for key, (now, before) in zip(keys, pairs, strict=True):
        if key not in now.memory:
            now.memory[key] = None
            if now.identity and now.identity == before.identity:
                alike.setdefault((now.paths, before.paths), []).append((now, before))
    for group in alike.values():
        for (now, before), comparison in zip(group, _compare_alike(group), strict=True):
            now.memory[_key(before)] = comparison
    return [now.memory[key] for key, (now, _) in zip(keys, pairs, strict=True)]


def _key(before: JobProfile) -> tuple[str, weakref.ref[JobProfile]]:
    """What a comparison with an earlier job is remembered by; it does not keep that job in memory."""
    return "compared", weakref.ref(before)


def values_changed(found: Comparison) -> Floats:
    """By field, the share of the items with a value in both jobs whose value differs."""
    return found.changed


def shared_fields(now: JobProfile, before: JobProfile) -> tuple[Numbers, Numbers]:
    """Places of the fields that both profiles have, in each."""
    if now.paths == before.paths:
        every = np.arange(len(now.paths))
        return every, every
    pairs = [(place, before.place[path]) for place, path in enumerate(now.paths) if path in before.place]
    return tuple(np.array(pairs, np.int64).reshape(-1, 2).T)  # type: ignore[return-value]


def _compare_alike(pairs: Sequence[Pair]) -> list[Comparison]:
    """Compares jobs with earlier ones: all later jobs have the same fields, and so have all earlier ones."""
    found = match([(now.sketch, before.sketch) for now, before in pairs])
    _, new, old = _matched_marks(pairs, found.pairs, found.here, found.there)
    count = len(pairs)
    matched = np.bincount(found.pairs, minlength=count)
    changed = np.bincount(found.pairs[(new != old).any(axis=1)], minlength=count)
    bounds = pairwise([0, *np.cumsum(matched).tolist()])
    return [
        Comparison(
            known=same / ours if ours else float("nan"),
            kept=same / theirs if theirs else float("nan"),
            now_items=ours,
            matched=same,
            any_changed=other / same if same else 0.0,
            _pair=(weakref.ref(now), weakref.ref(before)),
            places=(found.here[begin:end], found.there[begin:end]),
        )
        for (now, before), same, other, ours, theirs, (begin, end) in zip(
            pairs, matched.tolist(), changed.tolist(), found.ours.tolist(), found.theirs.tolist(), bounds, strict=True
        )
    ]


def _matched_marks(
    pairs: Sequence[Pair], numbers: Numbers, here: Numbers, there: Numbers
) -> tuple[Numbers | slice, npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Places of the fields that both jobs have in the later one, and the marks of matched items in these fields."""
    new = stack_rows([now.sketch.marks for now, _ in pairs], numbers, here)
    old = stack_rows([before.sketch.marks for _, before in pairs], numbers, there)
    now, before = pairs[0]
    if now.paths == before.paths:
        return slice(None), new, old
    mine, other = shared_fields(now, before)
    return mine, new[:, mine], old[:, other]


def numbers_of(profile: JobProfile, rows: npt.NDArray[np.int64], fields: npt.NDArray[np.int64]) -> Floats:
    """The numbers of some items in some fields, NaN where there is none."""
    result = np.full((len(rows), len(fields)), np.nan)
    numeric = profile.sketch.numeric.astype(np.int64)
    if len(numeric):
        at = np.minimum(np.searchsorted(numeric, fields), len(numeric) - 1)
        has = numeric[at] == fields
        result[:, has] = profile.sketch.numbers[rows][:, at[has]]
    return result


def numbers_in_both(
    now: JobProfile, before: JobProfile, here: Numbers, there: Numbers
) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Places of the later job's fields with numbers that the earlier job has too, and the numbers of matched items."""
    numeric = now.sketch.numeric.astype(np.int64)
    if now.paths == before.paths and np.array_equal(now.sketch.numeric, before.sketch.numeric):
        return numeric, now.sketch.numbers[here].astype(np.float64), before.sketch.numbers[there].astype(np.float64)
    places = np.array([before.place.get(now.paths[place], -1) for place in numeric.tolist()], np.int64)
    numeric, places = numeric[places >= 0], places[places >= 0]
    return numeric, numbers_of(now, here, numeric), numbers_of(before, there, places)


def is_date(profile: JobProfile) -> npt.NDArray[np.bool_]:
    """Whether most values of each field are dates or times."""
    dates = profile.forms[:, [DATE, TIME, SPELLED]].sum(axis=1)
    return np.asarray(dates * 2 > profile.filled)


def _steps(
    now: JobProfile,
    before: JobProfile,
    here: Numbers,
    there: Numbers,
    changed: Floats,
) -> Steps:
    count = len(now.paths)
    zero = np.zeros((8, count))
    numeric, new, old = numbers_in_both(now, before, here, there)
    if not len(here) or not len(numeric):
        return Steps(*zero)
    # Zeros that stay zeros, as of versions that nobody uses, say nothing about steps.
    zero[0, numeric] = (~np.isnan(new) & ~np.isnan(old) & ((new != 0) | (old != 0))).sum(axis=0)
    moving = changed[numeric] > 0
    if not moving.any():
        return Steps(*zero)
    numeric, new, old = numeric[moving], new[:, moving], old[:, moving]
    dates = is_date(now)[numeric]
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.log(new / old)
        factors[~np.isfinite(factors)] = np.nan
        factors[:, dates] = (new - old)[:, dates]
        whole = np.nanmax(np.abs(np.concatenate([new, old]) % 1), axis=0, initial=0) == 0
        tolerance = np.where(dates, 0.003, _SAME_FACTOR + np.where(whole, 0.6, 0.006) / np.abs(new))
    differs = (new != old) & ~np.isnan(new) & ~np.isnan(old)
    moved = differs & ~np.isnan(factors)
    number = moved.sum(axis=0)
    some = number >= 1
    changed_factors = np.where(moved, factors, np.nan)
    low, step, high = _quartiles(changed_factors)
    with np.errstate(invalid="ignore"):
        same = (np.abs(changed_factors - step) <= tolerance) & (tolerance < 0.15)
        informative = moved & (tolerance < 0.15)
    sure = informative.sum(axis=0)
    zero[1, numeric] = differs.sum(axis=0)
    zero[2, numeric] = np.where(
        some, (np.where(differs, new - old, 0) > 0).sum(axis=0) / np.maximum(differs.sum(axis=0), 1), 0
    )
    zero[3, numeric] = np.where(some, step, 0)
    # A step of one or two is large for a small count, and means little.
    soft = np.where(whole & ~dates & (new >= 0) & (old >= 0), np.log((np.abs(new) + 3) / (np.abs(old) + 3)), factors)
    zero[4, numeric] = np.nan_to_num(_quartiles(np.where(np.isnan(factors), np.nan, soft))[1])
    zero[5, numeric] = np.where(sure >= _SOME_CHANGED, same.sum(axis=0) / np.maximum(sure, 1), 0)
    zero[6, numeric] = np.where(some, high - low, 0)
    with np.errstate(invalid="ignore", over="ignore"):
        twentieths = np.exp(changed_factors) * 20
        is_round = np.abs(twentieths - np.round(twentieths)) <= 20 * tolerance * np.exp(changed_factors)
        is_round &= (twentieths > 4.8) & (twentieths < 19.2) & (tolerance < 0.02)
    precise = (moved & (tolerance < 0.02)).sum(axis=0)
    zero[7, numeric] = np.where(precise >= _SOME_CHANGED, is_round.sum(axis=0) / np.maximum(precise, 1), 0)
    return Steps(*zero)


def _quartiles(cells: Floats) -> Floats:
    """The lower quarter, median and upper quarter of each column, NaN for a column without values."""
    result = np.full((3, cells.shape[1]), np.nan)
    counts = (~np.isnan(cells)).sum(axis=0)
    columns = np.flatnonzero(counts)
    if len(columns):
        ordered = np.sort(cells[:, columns], axis=0)
        for row, quantile in enumerate((0.25, 0.5, 0.75)):
            places = ((counts[columns] - 1) * quantile + 0.5).astype(np.int64)
            result[row, columns] = ordered[places, np.arange(len(columns))]
    return result


def follows_order(profile: JobProfile) -> npt.NDArray[np.bool_]:
    """Whether the numbers of each field number the items, as a rank does: prices of a list in their order do not."""
    cached: npt.NDArray[np.bool_] | None = profile.memory.get("order")
    if cached is None:
        cached = profile.memory["order"] = np.zeros(len(profile.paths), np.bool_)
        places = np.sort(profile.sketch.places)
        numbers = profile.sketch.numbers[np.argsort(profile.sketch.places, kind="stable")]
        if len(numbers) >= 4:
            with np.errstate(invalid="ignore"):
                grows = (np.diff(numbers, axis=0) > 0).mean(axis=0)
                steps = np.abs(numbers[-1] - numbers[0]) / max((places[-1] - places[0]) * profile.items, 1)
            in_order = (grows >= 0.97) | (grows <= 0.03) & ~np.isnan(numbers).any(axis=0)
            cached[profile.sketch.numeric] = in_order & (steps <= _RANK_STEP)
    return cached
