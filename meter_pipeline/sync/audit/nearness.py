"""Whether a job is so near to the last accepted one that no test can speak, which spares running the tests.

Comes in: two profiles and their comparison. Goes out: a yes that is never wrong, or a no that means nothing. The last
accepted job is in the range of every test, so what is near to it is near to the range, however wide that is. Each bound
here is a little less than the least at which a test in `families` speaks: whoever lowers one there lowers it here. What
is compared are vectors with one entry a field, made once for each profile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.comparison import Comparison, is_date, numbers_in_both
from meter_pipeline.sync.audit.families.belonging import PAIRED_FIELDS
from meter_pipeline.sync.audit.families.levels import EARLIEST, FAR_DAYS
from meter_pipeline.sync.audit.profile import JobProfile, Shares
from meter_pipeline.sync.audit.values import (
    EMPTY,
    FIRST_SCRIPT,
    FLAGS,
    MEASURE,
    MOST_DECIMALS,
    NEGATIVE,
    NUMBER,
    PADDED,
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
_FACTORS = np.array([[1.7], [2.1]])
_LEVEL = 1.7
# The factor by which the median number has to move where few do.
_STEP = 1.09
# Share of new values, units and patterns.
_VALUES, _UNITS, _PATTERNS = 0.59, 0.09, 0.34
# Items of an incomplete sketch that are compared with those of another: no sketch has fewer.
_HEAD = 24


@dataclass(frozen=True)
class Near:
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


def find_near(now: JobProfile, last: JobProfile, comparison: Comparison) -> Near | None:
    """In what a job is near to the last accepted one; None if they cannot be compared like this.

    Args:
        now: The job.
        last: The last accepted job before it: no finding is about it, and the same version of the strategy made it.
        comparison: Both, compared.
    """
    if now.paths != last.paths or not now.rows or not last.rows or not comparison.matched:
        return None
    if max(comparison.known, comparison.kept) < _KNOWN:
        return None
    is_near = (
        _FEWEST * last.items <= now.items <= _MOST * last.items
        and now.repeats - last.repeats < _REPEATS
        and now.sparse - last.sparse < _SPARSE
    )
    return Near(is_near, _has_near_items(now, last, comparison), _has_near_fields(now, last), _has_few_new(now, last))


@dataclass(frozen=True, eq=False)
class _Traits:
    """What is compared of a profile, one column a field.

    Attributes:
        filled: Share of the rows with a value.
        forms: Share of the values by form.
        equal: Share of the values that is the most frequent one.
        distinct: Share of the values that differ.
        flags: Share of the values by flag.
        lengths: Median length of texts, and that of the longest tenth.
        level: Median number; its size alone.
        has_level: Whether the field has numbers enough, and a median of them.
        dates: Whether it has dates, and their median.
        sketched: Number of items of the sketch that have a value.
        has_rare_sign: Whether one of the few values of a field is zero or negative.
    """

    filled: Floats
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
    has_rare_sign: bool


def _traits(profile: JobProfile) -> _Traits:
    found: _Traits | None = profile.memory.get("traits")
    if found is None:
        found = profile.memory["traits"] = _make_traits(profile)
    return found


def _make_traits(profile: JobProfile) -> _Traits:
    count = profile.filled.astype(np.float64)
    some = np.maximum(count, 1)
    flags = profile.flags.T / some
    few = flags[[ZERO, NEGATIVE]]
    middle = profile.numbers[:, 2].astype(np.float64)
    numbers = profile.forms[:, NUMBER] + profile.forms[:, MEASURE]
    return _Traits(
        filled=count / max(profile.rows, 1),
        forms=profile.forms.T[EMPTY + 1 :] / some,
        equal=np.maximum(profile.top, np.minimum(count, 1)) / some,
        distinct=profile.distinct / some,
        flags=flags,
        lengths=profile.lengths.T[1:].astype(np.float64),
        level=np.abs(middle),
        has_level=(numbers >= 8) & (np.abs(middle) > 0),
        dates=is_date(profile),
        middle=middle,
        sketched=(profile.sketch.marks != 0).sum(axis=0),
        has_rare_sign=bool(((few >= 0.99) & (count <= 3)).any()),
    )


def _has_near_items(now: JobProfile, last: JobProfile, comparison: Comparison) -> bool:
    """Whether so few items changed that no test of changes, steps, levels and values of other fields can speak."""
    changed, filled = comparison.changed, comparison.filled
    number = changed * filled
    if not ((changed < 0.24) | (number < 2.5) & ((changed < 0.5) | (filled < 5))).all():
        return False
    ours, theirs = _traits(now), _traits(last)
    if 2 <= len(now.paths) <= PAIRED_FIELDS:
        # Two fields can only be equal in more items than before where items came, changed or went.
        here, before = ours.sketched, theirs.sketched
        came = len(now.sketch.ids) - comparison.matched * (1 - comparison.any_changed)
        if not ((np.maximum(before - here, 0) + came < 0.24 * here) | (here < 3)).all():
            return False
    numeric, new, old = numbers_in_both(now, last, *comparison.places)
    both = ~(np.isnan(new) | np.isnan(old))
    compared = (both & ((new != 0) | (old != 0))).sum(axis=0)
    differs = both & (new != old)
    steps = differs.sum(axis=0)
    up = (differs & (new > old)).sum(axis=0)
    small = (differs & (new < _STEP * old) & (old < _STEP * new)).sum(axis=0)
    dates = ours.dates[numeric]
    # A few steps say something if all go one way and are large; of dates, a fifth that changed.
    is_mixed = (up > 0.05 * steps) & (up < 0.95 * steps)
    few = np.where(dates, (steps <= 3) | (steps < 0.19 * compared), (steps <= 5) | is_mixed | (2 * small > steps))
    few |= (steps < 15) & (steps * 10 < compared)
    if not ((steps == 0) | few & (steps < 0.39 * compared)).all():
        return False
    # How large the numbers are is judged where too few items have a step.
    alone = ours.has_level.copy()
    if comparison.matched >= 0.5 * max(comparison.now_items, 1):
        alone[numeric[compared >= 3]] = False
    if not alone.any():
        return True
    return bool(((ours.level < _LEVEL * theirs.level) & (theirs.level < _LEVEL * ours.level) | ~alone).all())


def _has_near_fields(now: JobProfile, last: JobProfile) -> bool:
    ours, theirs = _traits(now), _traits(last)
    count, before = now.filled, last.filled
    forms = np.maximum(ours.forms - theirs.forms, 0).sum(axis=0)
    if (
        ours.has_rare_sign
        or (ours.filled < _FILLED * theirs.filled).any()
        or (ours.flags - theirs.flags >= _FLAGS[:, None]).any()
        or (forms >= _FORMS).any()
        or (np.where(theirs.filled >= 1, forms + 1 - ours.filled, forms) >= _FOREIGN).sum() > 1
        or ((ours.lengths > _FACTORS * theirs.lengths) | (theirs.lengths > _FACTORS * ours.lengths)).any()
    ):
        return False
    grown = ours.equal - theirs.equal
    equal = (grown < np.where(ours.equal < 1, _EQUAL, _STUCK)) & (before >= 2) | (ours.equal < _SEEN_EQUAL)
    distinct = (theirs.distinct - ours.distinct < _DISTINCT) & (before >= 3)
    distinct |= (count < 6) | (ours.distinct > _STILL_DISTINCT)
    if not (equal & distinct).all():
        return False
    dates = ours.dates
    if not dates.any():
        return True
    is_near = np.abs(ours.middle - theirs.middle) < FAR_DAYS
    is_near &= (ours.middle >= EARLIEST) | (theirs.middle <= EARLIEST)
    return bool((is_near | ~dates | np.isnan(ours.middle)).all())


def _has_few_new(now: JobProfile, last: JobProfile) -> bool:
    """Whether hardly any value, unit or pattern of the job is none of the last job."""
    return (
        _share_new(now, last, "values") < _VALUES
        and _share_new(now, last, "units") < _UNITS
        and _share_new(now, last, "patterns") < _PATTERNS
        and not any(
            key & 0xFFFFFFFF <= MOST_DECIMALS for key in _keys(now, "patterns").keys() - _keys(last, "patterns")
        )
    )


def _share_new(now: JobProfile, last: JobProfile, name: str) -> float:
    """The largest share of a field's values that is new."""
    ours, theirs = _keys(now, name), _keys(last, name)
    new = ours.keys() - theirs.keys()
    if not new:
        return 0.0
    shares: Shares = getattr(now, name)
    totals = now.with_units if name == "units" else now.filled
    sums: dict[int, float] = {}
    for key in new:
        field = key >> 32
        sums[field] = sums.get(field, 0.0) + float(shares.counts[ours[key]])
    return max(total / max(float(totals[field]), 1) for field, total in sums.items())


def _keys(profile: JobProfile, name: str) -> dict[int, int]:
    found: dict[int, int] | None = profile.memory.get(name)
    if found is None:
        shares: Shares = getattr(profile, name)
        keys = shares.fields.astype(np.int64) << 32 | shares.marks
        found = profile.memory[name] = {key: place for place, key in enumerate(keys.tolist())}
    return found


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
