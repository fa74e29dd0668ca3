"""Tests of what kinds of values fields have: whether there are any, of which form, and how many different ones."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

import numpy as np

from meter_pipeline.sync.audit.baseline import Baseline, Floats, band, novelty
from meter_pipeline.sync.audit.families.moves import are_back_at_zero
from meter_pipeline.sync.audit.families.speaking import at_least, at_most, percent, ratio, spoken
from meter_pipeline.sync.audit.findings import NEEDED, Finding
from meter_pipeline.sync.audit.values import BOOLEAN, EMPTY, FORMS, MEASURE, NUMBER, TEXT
from meter_pipeline.text.counts import count_of

# The logarithm of what chance does not do.
_RARE = log(150)
# A field with no more different values, each in several items, is a state.
_STATES = 6
# How much more frequent than ever a state is that all items have.
_STUCK = 0.1
# Counts below this have just started.
_SMALL = 12
# The share of the whole numbers between a field's smallest and largest that occur where these are few.
_DENSE = 0.5
# Jobs that a field lasts for before it is missed, and values that it has in them.
_LASTED, _ENOUGH = 5, 30
# The share of items of another kind that is noticed in a list that never had one.
_FEWEST_FOREIGN = 0.08
# Values of a field that not all items have; of fewer, a few that are left are no clear breakage.
_FEW_VALUES = 12
# Shares of the usual number of values that may be missing.
_FLAG_LOST, _HOLD_LOST, _HOLD_LOST_ALWAYS_FULL = 0.25, 0.7, 0.4


def find_emptier(baseline: Baseline) -> Iterator[Finding]:
    """Fields that have fewer values than in any job before, or none at all."""
    rows = max(baseline.now.rows, 1)
    if not baseline.now.rows:
        return
    history = baseline.filled_past / baseline.rows_past
    # A job without items says nothing about its fields.
    mask = baseline.mask("filled") & np.array([[profile.rows > 0] for profile in baseline.profiles])
    # A field that came some jobs ago is judged by those that have it, once it has lasted.
    since = np.maximum.accumulate(history > 0, axis=0) & mask
    is_late = (since.sum(axis=0) >= _LASTED) & (since != mask).any(axis=0)
    is_late &= np.where(since, baseline.filled_past, 0).sum(axis=0) >= _ENOUGH
    usual = band(history, np.where(is_late, since, mask))
    share = baseline.filled_now / rows
    low = np.maximum(usual.low - usual.width, 0)
    lost = np.where(usual.known & (low > 0), 1 - share / np.maximum(low, 1e-9), 0)
    expected = low * rows
    # The chance that this number of values is missing though nothing is wrong.
    noise = 2.5 * np.sqrt(low * (1 - low) / rows) / np.maximum(low, 1e-9)
    always = (usual.low >= 0.97) & (usual.jobs >= 4) & (rows >= 8)
    steady = usual.low >= 0.97
    sure = (expected >= 4) | (steady & (expected >= 1.9)) | (steady & (usual.jobs >= 5))
    held = sure & ((lost >= _HOLD_LOST) | (always & (lost >= _HOLD_LOST_ALWAYS_FULL))) & (lost > noise)
    # Of a field that only some items of a short list have, most may go at once and come back.
    held &= steady | (share == 0) | (expected >= _FEW_VALUES)
    # What came for a sale goes with it.
    held &= ~is_late | (usual.jobs >= 2 * _LASTED)
    flagged = (lost >= _FLAG_LOST) & (lost > noise) & ((expected >= 3) | steady)
    present = baseline.seen(lambda profile: profile.forms[:, EMPTY - 1 :].sum(axis=1) + profile.forms[:, EMPTY]) > 0

    def say(place: int) -> str:
        field, before = baseline.paths[place], at_least(usual.low[place])
        if not present[place] and not share[place]:
            return f"{field} is gone; {before} of the items had it before"
        if not share[place]:
            return f"{field} is empty in all items, while {before} of them had a value before"
        return f"{field} has a value in {percent(share[place])} of the items, while {before} had one before"

    yield from spoken(baseline, "filled", held, flagged, share, say, low=low * (1 - _FLAG_LOST))


def find_other_forms(baseline: Baseline) -> Iterator[Finding]:
    """Fields whose values are of another form: text for a number, a word for a date."""
    shares = ratio(baseline.seen(lambda profile: profile.forms)[:, EMPTY + 1 :], baseline.filled_now[:, None])
    past = ratio(baseline.past(lambda profile: profile.forms)[:, :, EMPTY + 1 :], baseline.filled_past[:, :, None])
    use = baseline.mask("form") & (baseline.filled_past > 0)
    jobs = use.sum(axis=0)
    past = np.where(use[:, :, None], past, 0)
    ordered = np.sort(past, axis=0)
    highest = ordered[-1]
    second = ordered[-2] if len(ordered) > 1 else np.zeros_like(highest)
    new = np.maximum(shares - highest, 0).sum(axis=1)
    others = np.where(past >= highest, second, highest)
    usual = np.where(use, np.maximum(past - others, 0).sum(axis=2), 0).max(axis=0)
    excess = np.where(jobs >= 3, new - 1.5 * usual, 0)
    count = baseline.filled_now
    held = (excess >= 0.6) & ((count >= 3) | (jobs >= 5))
    flagged = (excess >= 0.2) & (excess * count >= 2.5) | (excess >= 0.6)

    def say(place: int) -> str:
        kind = FORMS[EMPTY + 1 + int(np.argmax(shares[place] - highest[place]))]
        before = FORMS[EMPTY + 1 + int(np.argmax(highest[place]))]
        share = percent(new[place])
        return f"{baseline.paths[place]} is {_kind(kind)} in {share} of its values; before it was {_kind(before)}"

    yield from spoken(baseline, "form", held, flagged, new, say, high=1.5 * usual + 0.2)


def find_foreign(baseline: Baseline) -> Iterator[Finding]:
    """Several fields in which as many items differ from all there ever were: advertisements in a list, perhaps.

    These items have no value where every item had one, or one of a form that none had. One field alone may well do
    that, as the price of what is sold on request does.
    """
    rows, count = max(baseline.now.rows, 1), baseline.filled_now
    use = baseline.mask("sparse")
    full = (~use | (baseline.filled_past >= baseline.rows_past)).all(axis=0)
    known = ~use[:, :, None] | (baseline.past(lambda profile: profile.forms)[:, :, EMPTY + 1 :] == 0)
    fresh = np.where(known.all(axis=0), baseline.seen(lambda profile: profile.forms)[:, EMPTY + 1 :], 0).sum(axis=1)
    number = np.where(
        (use & (baseline.filled_past > 0)).sum(axis=0) >= NEEDED, np.where(full, rows - count, 0) + fresh, 0
    )
    # Where most items differ, a field is broken, and not the list mixed.
    some = np.flatnonzero((number >= 2.5) & (number >= _FEWEST_FOREIGN * rows) & (number <= 0.5 * rows))
    alike = np.abs(np.log(number[some][:, None] / number[some][None, :])) < log(1.5)
    flagged = np.zeros(len(number), np.bool_)
    flagged[some] = alike.sum(axis=1) >= 2

    def say(place: int) -> str:
        others = [baseline.paths[other] for other in np.flatnonzero(flagged).tolist() if other != place][:3]
        are = "is" if len(others) == 1 else "are"
        return (
            f"{baseline.paths[place]} is empty or of another form than ever in {percent(number[place] / rows)} of the "
            f"items, and so {are} {', '.join(others)}: items of another kind"
        )

    nothing: Floats = np.zeros(len(number))
    yield from spoken(baseline, "sparse", nothing > 0, flagged, number / rows, say, high=nothing)


def _kind(form: str) -> str:
    return {"boolean": "a boolean", "number": "a number", "list": "a list", "object": "an object"}.get(
        form, f"a {form}"
    )


def find_equal(baseline: Baseline) -> Iterator[Finding]:
    """Fields that have one value in nearly all items, though their values used to differ."""
    count = baseline.filled_now
    if baseline.now.rows < 2:
        return
    # Values that occur once are not counted: each is one of them.
    seen = ratio(np.maximum(baseline.seen(lambda profile: profile.top), np.minimum(count, 1)), count)
    past = baseline.filled_past
    history = ratio(np.maximum(baseline.past(lambda profile: profile.top), np.minimum(past, 1)), past)
    usual = band(history, baseline.mask("equal") & (past >= 2))
    excess = usual.above(seen)
    distinct = band(baseline.past(lambda profile: profile.distinct), baseline.mask("equal") & (past >= 2))
    # The chance that independent values agree as much as this.
    common = np.clip(usual.high + usual.width, 1e-6, 0.999)
    surprise = count * -np.log(common)
    # Where no two items ever agreed, pairs of items bound the chance that two do; that all of two or three do is rare.
    use = baseline.mask("equal") & (past >= 2)
    unique = (~use | (baseline.past(lambda profile: profile.distinct) >= past)).all(axis=0)
    pairs = np.where(use, past * (past - 1) / 2, 0).sum(axis=0)
    sure = (surprise >= 12) | (unique & ((count - 1) * np.log(np.maximum(pairs, 1)) >= _RARE))
    # Of a state, as "in stock" is one, all items may have the same, though they did not before.
    is_state = (distinct.high <= _STATES) & (distinct.high * 4 <= count)
    held = (seen >= 0.9) & (excess >= 0.25) & sure & (distinct.low >= 2) & ~is_state
    if held.any():
        held &= ~are_back_at_zero(baseline)
    flagged = (excess >= 0.3) & (surprise >= 8) & (seen >= np.where(is_state, 0.95, 0.6))
    flagged |= (seen >= 0.95) & (excess >= 0.25) & sure & (distinct.low >= 2)
    # A state that every job had in several values, and now none of the items in another.
    flagged |= (seen >= 1) & (excess >= _STUCK) & (surprise >= 12) & (distinct.low >= 2) & (distinct.jobs >= 5)

    def say(place: int) -> str:
        return (
            f"{baseline.paths[place]} has the same value in {percent(seen[place])} of the items, "
            f"while {at_most(usual.high[place])} shared one before"
        )

    yield from spoken(baseline, "equal", held, flagged, seen, say, high=usual.high + usual.width)


def find_fewer_distinct(baseline: Baseline) -> Iterator[Finding]:
    """Fields whose values were all different and now repeat."""
    count, past = baseline.filled_now, baseline.filled_past
    share = ratio(baseline.seen(lambda profile: profile.distinct), count)
    history = ratio(baseline.past(lambda profile: profile.distinct), past)
    usual = band(history, baseline.mask("distinct") & (past >= 3))
    # Items that repeat make all fields repeat; that is another finding.
    lost = usual.below(share / np.maximum(1 - baseline.now.repeats, 1e-9))
    held = (usual.low >= 0.8) & (lost >= 0.5) & (count >= 8)
    if held.any():
        # Counts that started from zero and prices that were rounded repeat because there are few whole numbers.
        numbers, before = (
            baseline.spread(profile, profile.numbers, np.nan) for profile in (baseline.now, baseline.profiles[-1])
        )
        with np.errstate(invalid="ignore"):
            is_dense = (numbers % 1 == 0).all(axis=1) & (numbers[:, 0] >= 0)
            is_dense &= share * count > _DENSE * (numbers[:, -1] - numbers[:, 0] + 1)
            is_dense &= (numbers[:, -1] < _SMALL) | (np.abs(numbers - before)[:, [0, -1]] <= 1).all(axis=1)
        held &= ~is_dense | (numbers[:, 0] == numbers[:, -1])
        held &= ~are_back_at_zero(baseline)
    flagged = (usual.low >= 0.5) & (lost >= 0.3) & (count >= 6)

    def say(place: int) -> str:
        number = round(share[place] * count[place])
        distinct = "one value" if number == 1 else count_of(number, "different value")
        return (
            f"{baseline.paths[place]} has {distinct} in {count_of(round(count[place]), 'item')}, "
            f"while {at_least(usual.low[place])} of its values differed before"
        )

    yield from spoken(baseline, "distinct", held, flagged, share, say, low=usual.low - usual.width)


def find_new_values(baseline: Baseline) -> Iterator[Finding]:
    """Fields of few different values that have none of them any more: another category, another language."""
    mask = baseline.mask("values") & (baseline.filled_past > 0)
    new = novelty(baseline, lambda profile: profile.values, mask, lambda profile: profile.filled)
    forms = baseline.seen(lambda profile: profile.forms)
    count = baseline.filled_now
    # How numbers move is judged by their steps.
    words = ratio(forms[:, TEXT] + forms[:, BOOLEAN], count) > 0.5
    words &= ratio(forms[:, NUMBER] + forms[:, MEASURE], count) < 0.5
    excess = np.where(mask.sum(axis=0) >= 3, new.seen - 1.5 * new.usual, 0)
    flagged = words & (excess >= 0.6) & (count >= 5)
    nothing: Floats = np.zeros(len(count))

    def say(place: int) -> str:
        return f"{baseline.paths[place]} has values in {percent(new.seen[place])} of the items that no job before had"

    yield from spoken(baseline, "values", nothing > 0, flagged, new.seen, say, high=1.5 * new.usual)
