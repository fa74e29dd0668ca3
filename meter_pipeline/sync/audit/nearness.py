"""Whether a job is so near to the last accepted one that no test can speak, which spares running the tests.

Comes in: two profiles and their comparison. Goes out: a yes that is never wrong, or a no that means nothing. The last
accepted job is in the range of every test, so what is near to it is near to the range, however wide that is. Each bound
here is a little less than the least at which a test in `families` speaks: whoever lowers one there lowers it here. What
is compared are matrices with a line for each pair of jobs and an entry for each field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from weakref import ref

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.comparison import Comparison, Pair, compare_all, numbers_in_both
from meter_pipeline.sync.audit.families.belonging import PAIRED_FIELDS
from meter_pipeline.sync.audit.families.levels import EARLIEST, FAR_DAYS
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.audit.values import (
    DATE,
    EMPTY,
    FIRST_SCRIPT,
    FLAGS,
    MEASURE,
    MOST_DECIMALS,
    NEGATIVE,
    NUMBER,
    PADDED,
    SPELLED,
    TIME,
    URL,
    ZERO,
)

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Of the job as a whole: items as a share of those before, and by how much shares may grow.
_FEWEST, _MOST = 0.86, 2.9
_REPEATS, _SPARSE, _KNOWN = 0.04, 0.09, 0.5
# Of fields: the share of its values that is left; by how much shares of its values may grow or shrink.
_FILLED, _FORMS, _EQUAL, _STUCK, _DISTINCT = 0.76, 0.19, 0.24, 0.09, 0.29
# By how much the items without a value or with one of another form may grow in more than one field.
_FOREIGN = 0.079
_SEEN_EQUAL, _STILL_DISTINCT = 0.6, 0.7
# The same for damage, blanks, zeros and signs, scripts.
_FLAGS = np.array([0.04] * PADDED + [0.49, 0.14, 0.39] + [0.34] * (len(FLAGS) - FIRST_SCRIPT))
# Factors: the median length of texts and of the longest tenth, the median number.
_FACTORS = np.array([1.7, 2.1])
_LEVEL = 1.7
# The factor by which the median number has to move where few do.
_STEP = 1.09
# Share of new values, units and patterns.
_NEW = np.array([0.59, 0.09, 0.34])
# Items of an incomplete sketch that are compared with those of another: no sketch has fewer.
_HEAD = 24


class Near(NamedTuple):
    """In what a job is so near to the last accepted one that no test can speak.

    Attributes:
        whole: In the number of its items, and how many repeat, are sparse or known.
        items: In how items changed: tests of changes, steps, levels, and values of other fields and items.
        fields: In what kinds of values fields have: tests of emptiness, forms, equal and distinct values, marks,
            lengths and impossible dates.
        new: In values, units and patterns.
    """

    whole: bool
    items: bool
    fields: bool
    new: bool

    @property
    def is_silent(self) -> bool:
        """Whether no test can speak, but that for an old page."""
        return self.whole and self.items and self.fields and self.new


def find_near(now: JobProfile, last: JobProfile) -> Near | None:
    """In what a job is near to the last accepted one before it; None if they cannot be compared like this.

    No finding may be about the last accepted job, and the same version of the strategy must have made both.
    """
    return find_near_all([(now, last)])[0]


def find_near_all(pairs: Sequence[Pair]) -> list[Near | None]:
    """As `find_near`, for many pairs: those with the same fields all at once, and no pair twice."""
    keys = [("near", ref(last)) for _, last in pairs]
    alike: dict[tuple[tuple[str, ...], bytes, bytes], list[_Compared]] = {}
    for key, (now, last), comparison in zip(keys, pairs, compare_all(pairs), strict=True):
        if key in now.memory:
            continue
        now.memory[key] = None
        if (
            comparison is not None
            and comparison.matched
            and now.paths == last.paths
            and max(comparison.known, comparison.kept) >= _KNOWN
        ):
            fields = now.paths, now.sketch.numeric.tobytes(), last.sketch.numeric.tobytes()
            alike.setdefault(fields, []).append(_Compared(now, last, comparison))
    for group in alike.values():
        for (now, last, _), near in zip(group, _find_near_alike(group), strict=True):
            now.memory["near", ref(last)] = near
    return [now.memory[key] for key, (now, _) in zip(keys, pairs, strict=True)]


class _Compared(NamedTuple):
    """A job, the last accepted one before it, and both compared."""

    now: JobProfile
    last: JobProfile
    comparison: Comparison


def _find_near_alike(pairs: Sequence[_Compared]) -> list[Near]:
    """In what jobs are near; all of them have the same fields, and the same of these are numbers."""
    traits = _Traits.of([pair.now for pair in pairs] + [pair.last for pair in pairs])
    ours, theirs = traits.part(slice(len(pairs))), traits.part(slice(len(pairs), None))
    are_near = zip(
        _have_near_items(pairs, ours, theirs).tolist(),
        _have_near_fields(ours, theirs).tolist(),
        _have_few_new(pairs, ours).tolist(),
        strict=True,
    )
    return [
        Near(_is_near_whole(now, last), items, fields, new)
        for (now, last, _), (items, fields, new) in zip(pairs, are_near, strict=True)
    ]


def _is_near_whole(now: JobProfile, last: JobProfile) -> bool:
    return (
        _FEWEST * last.items <= now.items <= _MOST * last.items
        and now.repeats - last.repeats < _REPEATS
        and now.sparse - last.sparse < _SPARSE
    )


class _Traits(NamedTuple):
    """What is compared of jobs with the same fields: a line for each job, an entry for each field.

    Attributes:
        number: Number of rows with a value.
        filled: Share of the rows with a value.
        with_units: Number of rows with what may have a unit.
        forms: Share of the values by form, which comes last.
        equal: Share of the values that is the most frequent one.
        distinct: Share of the values that differ.
        flags: Share of the values by flag, which comes last.
        lengths: Median length of texts, and that of the longest tenth, last.
        level: Size of the median number.
        has_level: Whether the field has numbers enough, and a median of them.
        dates: Whether it has dates.
        middle: The median number.
        sketched: Number of items of the sketch that have a value.
        has_rare_sign: By job, whether one of the few values of a field is zero or negative.
    """

    number: Floats
    filled: Floats
    with_units: Floats
    forms: Floats
    equal: Floats
    distinct: Floats
    flags: Floats
    lengths: Floats
    level: Floats
    has_level: Mask
    dates: Mask
    middle: Floats
    sketched: Floats
    has_rare_sign: Mask

    @classmethod
    def of(cls, jobs: Sequence[JobProfile]) -> _Traits:
        """The traits of jobs with rows and the same fields."""
        forms = np.array([job.forms for job in jobs], np.float64)
        count = forms[..., EMPTY + 1 :].sum(axis=-1)
        some = np.maximum(count, 1)
        flags = np.array([job.flags for job in jobs]) / some[..., None]
        few = np.maximum(flags[..., ZERO], flags[..., NEGATIVE])
        middle = np.array([job.numbers[:, 2] for job in jobs], np.float64)
        top = np.array([job.top for job in jobs])
        numbers = forms[..., NUMBER] + forms[..., MEASURE]
        marks = np.concatenate([job.sketch.marks for job in jobs])
        starts = _starts([len(job.sketch.marks) for job in jobs])
        return cls(
            number=count,
            filled=count / np.array([[job.rows] for job in jobs]),
            with_units=forms[..., MEASURE] + forms[..., URL],
            forms=forms[..., EMPTY + 1 :] / some[..., None],
            equal=np.maximum(top, np.minimum(count, 1)) / some,
            distinct=np.array([job.distinct for job in jobs]) / some,
            flags=flags,
            lengths=np.array([job.lengths[:, 1:] for job in jobs], np.float64),
            level=np.abs(middle),
            has_level=(numbers >= 8) & (np.abs(middle) > 0),
            dates=(forms[..., DATE] + forms[..., TIME] + forms[..., SPELLED]) * 2 > count,
            middle=middle,
            sketched=np.add.reduceat(marks != 0, starts, axis=0, dtype=np.int64),
            has_rare_sign=((few >= 0.99) & (count <= 3)).any(axis=1),
        )

    def part(self, jobs: slice) -> _Traits:
        """The traits of some of the jobs."""
        return _Traits._make(trait[jobs] for trait in self)


def _starts(lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *lengths[:-1]])


def _have_near_items(pairs: Sequence[_Compared], ours: _Traits, theirs: _Traits) -> Mask:
    """Whether so few items changed that no test of changes, steps, levels and values of other fields can speak."""
    found = [pair.comparison for pair in pairs]
    changed, filled = np.array([one.changed for one in found]), np.array([one.filled for one in found])
    matched = np.array([[one.matched] for one in found])
    number = changed * filled
    is_near = (changed < 0.24) | (number < 2.5) & ((changed < 0.5) | (filled < 5))
    if 2 <= changed.shape[1] <= PAIRED_FIELDS:
        # Two fields can only be equal in more items than before where items came, changed or went.
        here, before = ours.sketched, theirs.sketched
        any_changed = np.array([[one.any_changed] for one in found])
        came = np.array([[len(pair.now.sketch.ids)] for pair in pairs]) - matched * (1 - any_changed)
        is_near &= (np.maximum(before - here, 0) + came < 0.24 * here) | (here < 3)
    numeric, are_small, compared = _have_small_steps(pairs, ours.dates)
    # How large the numbers are is judged where too few items have a step.
    alone = ours.has_level.copy()
    are_known = matched >= 0.5 * np.array([[max(one.now_items, 1)] for one in found])
    alone[:, numeric] &= ~(are_known & (compared >= 3))
    is_near &= (ours.level < _LEVEL * theirs.level) & (theirs.level < _LEVEL * ours.level) | ~alone
    return np.asarray(is_near.all(axis=1) & are_small.all(axis=1))


def _have_small_steps(
    pairs: Sequence[_Compared], dates: Mask
) -> tuple[npt.NDArray[np.int64], Mask, npt.NDArray[np.int64]]:
    """The fields with numbers, whether those of each job moved too little to be a step, and how many are compared."""
    numbers = [numbers_in_both(now, last, *comparison.places) for now, last, comparison in pairs]
    numeric = numbers[0][0]
    new, old = (np.concatenate([found[side] for found in numbers]) for side in (1, 2))
    starts = _starts([pair.comparison.matched for pair in pairs])

    def count(items: Mask) -> npt.NDArray[np.int64]:
        return np.add.reduceat(items, starts, axis=0, dtype=np.int64)

    both = ~(np.isnan(new) | np.isnan(old))
    differs = both & (new != old)
    compared, steps = count(both & ((new != 0) | (old != 0))), count(differs)
    up = count(differs & (new > old))
    small = count(differs & (new < _STEP * old) & (old < _STEP * new))
    # A few steps say something if all go one way and are large; of dates, a fifth that changed.
    is_mixed = (up > 0.05 * steps) & (up < 0.95 * steps)
    few = np.where(
        dates[:, numeric], (steps <= 3) | (steps < 0.19 * compared), (steps <= 5) | is_mixed | (2 * small > steps)
    )
    few |= (steps < 15) & (steps * 10 < compared)
    return numeric, (steps == 0) | few & (steps < 0.39 * compared), compared


def _have_near_fields(ours: _Traits, theirs: _Traits) -> Mask:
    forms = np.maximum(ours.forms - theirs.forms, 0).sum(axis=-1)
    is_foreign = np.where(theirs.filled >= 1, forms + 1 - ours.filled, forms) >= _FOREIGN
    is_longer = (ours.lengths > _FACTORS * theirs.lengths) | (theirs.lengths > _FACTORS * ours.lengths)
    is_far = (ours.filled < _FILLED * theirs.filled) | (forms >= _FORMS) | is_longer.any(axis=-1)
    is_far |= (ours.flags - theirs.flags >= _FLAGS).any(axis=-1)
    grown = ours.equal - theirs.equal
    equal = (grown < np.where(ours.equal < 1, _EQUAL, _STUCK)) & (theirs.number >= 2) | (ours.equal < _SEEN_EQUAL)
    distinct = (theirs.distinct - ours.distinct < _DISTINCT) & (theirs.number >= 3)
    distinct |= (ours.number < 6) | (ours.distinct > _STILL_DISTINCT)
    is_day = np.abs(ours.middle - theirs.middle) < FAR_DAYS
    is_day &= (ours.middle >= EARLIEST) | (theirs.middle <= EARLIEST)
    is_day |= ~ours.dates | np.isnan(ours.middle)
    is_near = ~is_far & equal & distinct & is_day
    return is_near.all(axis=1) & ~ours.has_rare_sign & (is_foreign.sum(axis=1) <= 1)


def _have_few_new(pairs: Sequence[_Compared], ours: _Traits) -> Mask:
    """Whether hardly any value, unit or pattern of the jobs is none of the last jobs."""
    totals = np.array([ours.number, ours.with_units, ours.number])
    now, last = _Marks.of([pair.now for pair in pairs]), _Marks.of([pair.last for pair in pairs])
    known = np.sort(last.keys)
    is_new = (
        known[np.minimum(known.searchsorted(now.keys), len(known) - 1)] != now.keys if len(known) else now.keys >= 0
    )
    slots, new = now.keys[is_new] >> 32, now.keys[is_new] & 0xFFFFFFFF
    sums = np.bincount(slots, now.counts[is_new], totals.size).reshape(totals.shape)
    has_decimals = np.bincount(slots[new <= MOST_DECIMALS], minlength=totals.size).reshape(totals.shape)[2].any(axis=1)
    shares = (sums / np.maximum(totals, 1)).max(axis=2, initial=0)
    return (shares < _NEW[:, None]).all(axis=0) & ~has_decimals


class _Marks(NamedTuple):
    """The most frequent values, units and patterns of jobs with the same fields.

    Attributes:
        keys: A number for each kind, job, field and mark; the mark takes the lower 32 bits.
        counts: How often it occurs.
    """

    keys: npt.NDArray[np.int64]
    counts: Floats

    @classmethod
    def of(cls, jobs: Sequence[JobProfile]) -> _Marks:
        """The marks of jobs."""
        shares = [*(job.values for job in jobs), *(job.units for job in jobs), *(job.patterns for job in jobs)]
        fields, marks, counts = map(np.concatenate, zip(*shares, strict=True))
        number = np.repeat(np.arange(len(shares)), [len(own.fields) for own in shares])
        return cls((number * len(jobs[0].paths) + fields) << 32 | marks, counts)


def may_be_again(now: JobProfile, earlier: JobProfile) -> bool:
    """Whether the items may be those of an earlier job; wrong only where it says yes."""
    if now.paths != earlier.paths:
        return True
    return _head(now, earlier.sketch.is_complete) == _head(earlier, now.sketch.is_complete)


def _head(profile: JobProfile, other_is_complete: bool) -> bytes:
    is_whole = profile.sketch.is_complete and other_is_complete
    key = "whole" if is_whole else "head"
    found: bytes | None = profile.memory.get(key)
    if found is None:
        ids, marks = profile.sketch.ids, profile.sketch.marks
        most = len(ids) if is_whole else _HEAD
        found = profile.memory[key] = ids[:most].tobytes() + marks[:most].tobytes()
    return found
