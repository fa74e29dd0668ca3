"""Tests of whose value a field has: that of another field, or that of another item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.baseline import Baseline, Floats
from meter_pipeline.sync.audit.comparison import (
    compare,
    follows_order,
    numbers_of,
    shared_fields,
    values_changed,
)
from meter_pipeline.sync.audit.families.speaking import at_most, percent, spoken
from meter_pipeline.sync.audit.findings import NEEDED, Finding
from meter_pipeline.sync.audit.profile import JobProfile

# Most fields of a job whose pairs of fields are compared.
PAIRED_FIELDS = 64
_FEW = 3
# The share of the whole numbers between the smallest and the largest that occur: those that other items have by chance,
# and those that they do not.
_DENSE, _SPARSE = 0.3, 0.01
# The fewest values and gaps whose order says something, and the least share of its values that a column gets or loses
# when it slides up over its gaps.
_FEWEST_GAPS, _SLID = 3, 0.25
# In how many items two fields may have been equal before, to call them related: a price and a list price.
_RELATED = 0.15


def find_other_fields(baseline: Baseline) -> Iterator[Finding]:
    """Fields that hold what another field of the same item holds, or held in the job before."""
    now, last = baseline.now, baseline.profiles[-1]
    if not 2 <= len(now.paths) <= PAIRED_FIELDS or now.rows < 2:
        return
    count = len(now.paths)
    share, usual, donor = np.zeros(count), np.zeros(count), np.full(count, -1)
    items = np.zeros(count)
    same, rows = _equal_pairs(now)
    mask = baseline.mask("other field")
    past = np.zeros((count, count))
    for line, profile in enumerate(baseline.profiles):
        before, _ = _equal_pairs(profile) if len(profile.paths) <= PAIRED_FIELDS else (None, None)
        mine, other = shared_fields(now, profile)
        if before is not None and len(mine):
            teaches = mask[line, mine]
            past[np.ix_(mine[teaches], mine)] = np.maximum(
                past[np.ix_(mine[teaches], mine)], before[np.ix_(other[teaches], other)]
            )
    # The field that took the value is the one whose own values went: of two equal ones the other is as it was.
    excess = np.where(_distinct(now)[None, :] >= _FEW, same - past, 0)
    comparison = compare(now, last)
    moved = comparison.changed if comparison is not None and comparison.matched else np.ones(count)
    taken = excess * (moved[:, None] >= moved[None, :])
    donor = taken.argmax(axis=1)
    every = np.arange(count)
    share, usual, items = same[every, donor], past[every, donor], rows[every]
    gain = taken[every, donor]
    crossed = crossed_fields(now, last)
    if crossed is not None:
        better = crossed[0] > gain
        share, gain = np.where(better, crossed[1], share), np.where(better, crossed[0], gain)
        donor, items = np.where(better, crossed[2], donor), np.where(better, crossed[3], items)
        share, usual = np.maximum(share, same[every, donor]), np.where(better, past[every, donor], usual)
    related = usual > _RELATED
    known = mask.sum(axis=0)[:count] >= 3
    held = known & ~related & (gain >= 0.6) & (items >= _FEW)
    flagged = (
        known
        & (items >= _FEW)
        & ((gain >= 0.4) & (share >= 0.5) & ~related | related & (gain >= 0.25) & (share >= 0.9))
    )
    wide = len(baseline.paths)

    def say(place: int) -> str:
        other = now.paths[int(donor[place])]
        return (
            f"{now.paths[place]} has the value of {other} in {percent(share[place])} of the items, "
            f"while {at_most(usual[place])} had before"
        )

    yield from spoken(
        baseline, "other field", _pad(held, wide), _pad(flagged, wide), _pad(share, wide), say, high=_pad(usual, wide)
    )


_Dtype = TypeVar("_Dtype", bound=np.generic)


def _pad(values: npt.NDArray[_Dtype], count: int) -> npt.NDArray[_Dtype]:
    result = np.zeros(count, values.dtype)
    result[: len(values)] = values
    return result


def _distinct(profile: JobProfile) -> Floats:
    return profile.distinct.astype(np.float64)


def _cells(profile: JobProfile) -> tuple[npt.NDArray[np.uint16], Floats]:
    """Marks and numbers of the sketched items."""
    rows = np.arange(len(profile.sketch.ids))
    return profile.sketch.marks, numbers_of(profile, rows, np.arange(len(profile.paths)))


def _equal_pairs(profile: JobProfile) -> tuple[Floats, Floats]:
    """In which share of items each field has the value of each other, and in how many items it has any."""
    cached: tuple[Floats, Floats] | None = profile.memory.get("pairs")
    if cached is None:
        marks, numbers = _cells(profile)
        filled = (marks != 0).sum(axis=0)
        equal = (marks[:, :, None] == marks[:, None, :]) & (marks[:, :, None] != 0)
        equal |= numbers[:, :, None] == numbers[:, None, :]
        share = equal.sum(axis=0) / np.maximum(filled, 1)[:, None]
        np.fill_diagonal(share, 0)
        cached = profile.memory["pairs"] = share, filled.astype(np.float64)
    return cached


def crossed_fields(now: JobProfile, last: JobProfile) -> tuple[Floats, Floats, npt.NDArray[np.int64], Floats] | None:
    """For each field the other one whose earlier values it has now: gain, share, the other field, items."""
    comparison = compare(now, last)
    if comparison is None:
        return None
    here, there = comparison.places
    mine, other = shared_fields(now, last)
    if len(here) < _FEW or len(mine) < 2:
        return None
    marks, numbers = _cells(now)
    old_marks, old_numbers = _cells(last)
    new, old = marks[here][:, mine], old_marks[there][:, other]
    new_numbers, earlier = numbers[here][:, mine], old_numbers[there][:, other]
    changed = (new != old) & (new != 0) & (old != 0)
    taken = changed[:, :, None] & (
        (new[:, :, None] == old[:, None, :]) | (new_numbers[:, :, None] == earlier[:, None, :])
    )
    number = changed.sum(axis=0)
    share = taken.sum(axis=0) / np.maximum((new != 0).sum(axis=0), 1)[:, None]
    np.fill_diagonal(share, 0)
    # Fields of few values agree by chance.
    share[:, _distinct(last)[other] < _FEW] = 0
    count = len(now.paths)
    gain, whole, donor, items = np.zeros(count), np.zeros(count), np.zeros(count, np.int64), np.zeros(count)
    best = share.argmax(axis=1)
    gain[mine] = share[np.arange(len(mine)), best]
    whole[mine], donor[mine], items[mine] = gain[mine], mine[best], number
    return gain, whole, donor, items


def _share_taken(profile: JobProfile, place: int) -> float:
    """How many of the whole numbers between the smallest and the largest of a field occur; NaN for other values."""
    numbers = profile.numbers[place].astype(np.float64)
    if not (numbers % 1 == 0).all():
        return float("nan")
    return float(profile.distinct[place] / (numbers[-1] - numbers[0] + 1))


def find_other_items(baseline: Baseline) -> Iterator[Finding]:
    """Fields whose values belong to other items of the job before: columns that slid by a row."""
    now, last = baseline.now, baseline.profiles[-1]
    comparison = compare(now, last)
    if comparison is None or comparison.matched < 5:
        return
    steps = comparison.steps
    # A rise by about the same factor brings rounded prices to those of other items.
    same = ((steps.up >= 0.95) | (steps.up <= 0.05)) & (steps.changed >= 5) & (steps.spread <= 0.5 * np.abs(steps.step))
    suspicious = np.flatnonzero((comparison.changed >= 0.5) & (comparison.filled >= 5) & ~follows_order(now) & ~same)
    here, there = comparison.places
    count = len(baseline.paths)
    seen, is_sparse = np.zeros(count), np.zeros(count, np.bool_)
    for place in suspicious.tolist():
        before = last.place.get(now.paths[place])
        if before is None:
            continue
        new, old = now.sketch.marks[here, place], last.sketch.marks[there, before]
        both = (new != 0) & (old != 0)
        # Only fields whose items nearly all have a value of their own, before and now: a column that slid has them all.
        if min(len(np.unique(old[both])), len(np.unique(new[both]))) < 0.7 * both.sum():
            continue
        pool = last.sketch.marks[:, before]
        share = _share_taken(last, before)
        if share > _DENSE:
            continue
        is_sparse[place] = share < _SPARSE
        seen[place] = (np.isin(new[both], pool[pool != 0]) & (new[both] != old[both])).mean()
    if not seen.any():
        return
    usual = baseline.past_steps(values_changed)
    calm = np.where(np.isnan(usual), 0, usual).max(axis=0, initial=0) <= 0.5
    known = baseline.mask("other item").sum(axis=0) >= 3
    held, flagged = known & calm & (seen >= 0.6), known & (calm | is_sparse) & (seen >= 0.4)

    def say(place: int) -> str:
        return (
            f"{baseline.paths[place]} has in {percent(seen[place])} of the items what other items had in the job before"
        )

    yield from spoken(baseline, "other item", held, flagged, seen, say, high=np.full(count, 0.4))


def find_closed_gaps(baseline: Baseline) -> Iterator[Finding]:
    """Fields whose gaps are all at the end of the list now, in items that had a value, while others got one.

    So it comes where each field is read alone and items without it are left out: its values slide up over the gaps.
    """
    now, last = baseline.now, baseline.profiles[-1]
    comparison = compare(now, last)
    if comparison is None or comparison.matched < 2 * _FEWEST_GAPS:
        return
    is_closed = _are_gaps_last(now)
    if not is_closed.any():
        return
    here, there = comparison.places
    mine, other = shared_fields(now, last)
    has, had = now.sketch.marks[here][:, mine] != 0, last.sketch.marks[there][:, other] != 0
    got, lost = np.zeros(len(now.paths)), np.zeros(len(now.paths))
    got[mine], lost[mine] = (has & ~had).sum(axis=0), (had & ~has).sum(axis=0)
    filled = (now.sketch.marks != 0).sum(axis=0)
    slid = is_closed & (np.minimum(got, lost) >= _FEWEST_GAPS) & (got + lost >= _SLID * filled)
    if not slid.any():
        return
    # A page may list the items without a value last, but then it does from job to job.
    were_closed = baseline.past(_are_gaps_last).any(axis=0)
    held = _pad(slid, len(baseline.paths)) & ~were_closed & (baseline.mask("other item").sum(axis=0) >= NEEDED)
    seen = _pad((got + lost) / comparison.matched, len(baseline.paths))

    def say(place: int) -> str:
        return (
            f"{baseline.paths[place]} has values in the first items and none in the last ones; {percent(seen[place])} "
            f"of the items that the job before had too got a value or lost theirs: those of other items"
        )

    yield from spoken(baseline, "other item", held, held, seen, say, high=np.zeros(len(baseline.paths)))


def _are_gaps_last(profile: JobProfile) -> npt.NDArray[np.bool_]:
    """By field, whether some items have no value, and all of these come after those that have one."""
    cached: npt.NDArray[np.bool_] | None = profile.memory.get("gaps")
    if cached is None:
        has = profile.sketch.marks[np.argsort(profile.sketch.places, kind="stable")] != 0
        number = has.sum(axis=0)
        some = (number >= _FEWEST_GAPS) & (len(has) - number >= _FEWEST_GAPS)
        cached = profile.memory["gaps"] = some & ~(has[1:] & ~has[:-1]).any(axis=0) & has[:1].any(axis=0)
    return cached
