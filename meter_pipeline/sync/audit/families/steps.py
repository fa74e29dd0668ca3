"""Tests of what happened to the items that two jobs have: how many values changed, and how numbers moved.

Values that move back to where they were in an earlier accepted job are no news, as after a sale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import exp, log
from typing import TypeAlias

import numpy as np

from meter_pipeline.sync.audit.baseline import LOOKED_BACK, Band, Baseline, Floats, Mask
from meter_pipeline.sync.audit.comparison import Comparison, compare, is_date, values_changed
from meter_pipeline.sync.audit.families.belonging import crossed_fields
from meter_pipeline.sync.audit.families.clocks import count_on
from meter_pipeline.sync.audit.families.levels import have_both_signs
from meter_pipeline.sync.audit.families.moves import (
    SALE_LOW,
    are_back_at_zero,
    changed_share,
    find_moves,
    is_counter,
    is_sale,
    is_whole,
    one_way_share,
    only_grew,
    overall_size,
    past_band,
    rigid_share,
    start_again,
    step_size,
    step_spread,
    were_whole,
)
from meter_pipeline.sync.audit.families.speaking import at_most, percent, ratio, short, spoken
from meter_pipeline.sync.audit.findings import Finding
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.audit.values import MEASURE, NUMBER, TEXT, URL

# Fields with at most this share of the changes are as they were in an earlier job.
_CAME_BACK = 0.5
# The same for fields that would not have alarmed beside that job; also of how far numbers moved.
_NEARER = 0.8
_LARGE = log(1.4)
# Shops put up all prices at once, by a tenth at most; rounded prices rise by a little more.
_MOST_RISE = log(1.105)
# The factor between the upper and the lower quarter of steps, beyond the usual one, of numbers that are not the same.
_UNALIKE = log(1.6)
# The share of different values in a field that names items.
_ALL_DIFFER = 0.97
# The share of its numbers that moves from job to job in a field that measures something.
_RESTLESS = 0.8
# The share of dates that change from job to job in a field that says when something was.
_HARDLY = 0.02
# Days by which all dates may move because their page writes them in another time zone; their floats are not exact.
_MOST_ZONES = 14 / 24 + 0.01
# A factor below which most numbers stayed as they were.
_SAME = 1.0005
# The largest step whose factor is spelled.
_MOST_STEP = log(1e300)


@dataclass(frozen=True)
class _Judged:
    """What one comparison gives a test.

    Attributes:
        held: For which fields it is sure.
        flagged: For which fields it doubts.
        strict: Alarms that only end where the values are as they were in an earlier job; others also end where the
            step from an earlier job would not have alarmed.
        seen: What it saw.
        usual: What it compares that with.
        say: The sentence for a field.
    """

    held: Mask
    flagged: Mask
    strict: Mask
    seen: Floats
    usual: Band
    say: Callable[[int], str]


_Test: TypeAlias = Callable[[Baseline, JobProfile, Comparison, str], _Judged]


def find_steps(baseline: Baseline) -> Iterator[Finding]:
    """Numbers and texts of known items that changed as they never did before."""
    for test, judge in (
        ("changed", _judge_changed),
        ("step", _judge_steps),
        ("partial", _judge_partial),
        ("dates", _judge_dates),
    ):
        judged = _against_last(baseline, test, judge)
        if judged is not None:
            yield from spoken(
                baseline, test, judged.held, judged.flagged, judged.seen, judged.say,
                low=judged.usual.low - judged.usual.width, high=judged.usual.high + judged.usual.width,
            )  # fmt: skip


def _against_last(baseline: Baseline, test: str, judge: _Test) -> _Judged | None:
    """What a test finds against the job before, less the fields that are as they were in an earlier one."""
    if baseline.nearest is None:
        return None
    last, comparison = baseline.nearest
    judged = judge(baseline, last, comparison, test)
    alarmed = judged.held | judged.flagged
    if not alarmed.any():
        return None
    held, flagged, changed = judged.held.copy(), judged.flagged.copy(), _spread(baseline, comparison.changed)
    distance = np.abs(_spread(baseline, comparison.steps.overall))
    for profile in baseline.profiles[: -2 - LOOKED_BACK : -1]:
        if profile is last:
            continue
        earlier = compare(baseline.now, profile)
        if earlier is None or earlier.matched * 2 < comparison.matched:
            continue
        before = judge(baseline, profile, earlier, test)
        back = _spread(baseline, earlier.changed) <= _CAME_BACK * changed
        # Steps of several days blur each other, which is no reason to believe the last one.
        is_nearer = _spread(baseline, earlier.changed) <= _NEARER * changed
        is_nearer |= np.abs(_spread(baseline, earlier.steps.overall)) < _NEARER * distance
        back |= is_nearer & ~judged.strict & ~before.held & ~before.flagged
        held &= ~back
        flagged &= ~back
        if not (held | flagged).any():
            return None
    return _Judged(held, flagged & ~held, judged.strict, judged.seen, judged.usual, judged.say)


def _spread(baseline: Baseline, values: Floats) -> Floats:
    return baseline.spread(baseline.now, values)


def _judge_changed(baseline: Baseline, last: JobProfile, comparison: Comparison, test: str) -> _Judged:
    """Texts: the share of known items whose value changed."""
    usual = past_band(baseline, test, values_changed)
    seen, compared = _spread(baseline, comparison.changed), _spread(baseline, comparison.filled)
    excess = np.where(usual.jobs >= 2, seen - usual.high - usual.width, -np.inf)
    forms = baseline.seen(lambda profile: profile.forms)
    words = ratio(forms[:, TEXT], baseline.filled_now) > 0.5
    links = ratio(forms[:, URL], baseline.filled_now) > 0.5
    # Values that few items share; "in stock" turns to "sold out" everywhere at once.
    own = ratio(baseline.seen(lambda profile: profile.distinct), baseline.filled_now) >= 0.3
    past_own = ratio(baseline.past(lambda profile: profile.distinct), baseline.filled_past)[-1] >= 0.3
    # Numbers that name an item, such as an article's, never change.
    names = (ratio(forms[:, NUMBER] + forms[:, MEASURE], baseline.filled_now) > 0.5) & is_whole(baseline)
    names &= ratio(baseline.seen(lambda profile: profile.distinct), baseline.filled_now) >= _ALL_DIFFER
    names &= past_own & (usual.high <= 0) & (usual.jobs >= 3) & _are_of_one_length(baseline)
    moved = seen * compared
    held = words & own & past_own & (excess >= 0.6) & (usual.high <= 0.2) & (moved >= 6)
    flagged = (words | links) & (own | past_own) & (excess >= np.where(links, 0.6, 0.35)) & (moved >= 4)
    flagged |= names & (excess >= 0.9) & (moved >= 6)

    def say(place: int) -> str:
        return (
            f"{baseline.paths[place]} changed in {percent(seen[place])} of the items that the job before had too, "
            f"while it changed in {at_most(usual.high[place])} from job to job"
        )

    return _Judged(held, flagged, held & False, seen, usual, say)


def _judge_steps(baseline: Baseline, last: JobProfile, comparison: Comparison, test: str) -> _Judged:
    """Numbers: most of them by a large factor, or all by the same."""
    moves = find_moves(baseline, last, comparison)
    compared, changed = np.maximum(moves.compared, 1), ratio(moves.changed, moves.compared)
    usual = past_band(baseline, test, overall_size)
    usual_changed = past_band(baseline, test, changed_share)
    usual_rigid = past_band(baseline, test, rigid_share)
    size = np.abs(moves.overall)
    known = (usual.jobs >= 2) & (moves.compared >= 1)
    # The median of few or of very unlike steps moves by chance.
    noise = moves.spread / np.sqrt(np.maximum(moves.changed, 1))
    # Few days say little about what all of the numbers do that move every day, as temperatures and counts do.
    noise += np.where(usual_changed.low >= _RESTLESS, usual.high * 4 / np.maximum(usual.jobs, 1), 0)
    beyond = np.where(known, size - usual.high - usual.width - noise, -np.inf)
    sale = is_sale(moves.step) & (moves.rigid >= 0.6) | _few_factors(baseline, comparison)
    # What counts in whole numbers starts again with these.
    restart = is_counter(baseline) & (moves.overall < 0) & (is_whole(baseline) | ~were_whole(baseline))
    fine = sale | restart
    # More than one item has to move, however rare that is.
    many = moves.changed >= np.where(compared <= 4, 2, 3)
    # On the page of one product, only what no price does.
    single = (compared <= 2) & (usual.jobs >= 4) & (changed >= 1) & (beyond >= log(3))
    # Numbers on both sides of zero have no factors that say much.
    steady = ~_have_both_signs(baseline)
    large = steady & (beyond >= _LARGE - 0.02) & many & (changed >= 0.5)
    rigid = known & (moves.rigid >= 0.8) & (changed >= 0.6) & (moves.changed >= 4) & (usual_rigid.high <= 0.5)
    exact = (moves.rigid >= 0.95) & (moves.changed >= 12) & (np.abs(moves.step) >= 0.03)
    rigid &= (np.abs(moves.step) > np.maximum(usual.high * 2, 0.012)) | exact
    one_way = steady & known & ((moves.up >= 0.95) | (moves.up <= 0.05)) & (moves.changed >= 8)
    one_way &= (changed - usual_changed.high - usual_changed.width >= 0.4) & (beyond >= log(1.08))
    # Numbers that all move every day may move together, but hardly by so much more than ever.
    restless = steady & (usual_changed.low >= _RESTLESS) & (usual.jobs >= 5) & (moves.changed >= 12)
    one_way |= restless & ((moves.up >= 0.95) | (moves.up <= 0.05)) & (beyond >= log(1.1))
    # The way back from a sale that has been going on for as long as the page is known.
    end = (moves.step > 0) & (moves.rigid >= 0.6) & is_sale(-moves.step)
    fine |= end & _equals_other_field(baseline, last)
    # A sale where prices change every day: all fell alike, in so far as they ever moved alike.
    usual_spread = past_band(baseline, test, step_spread)
    swings = (usual_changed.high >= 0.5) & (moves.spread <= usual_spread.high + usual_spread.width)
    # And one with a discount for each item: all fell, none by much more than the others, but not all by the same.
    each = (moves.up <= 0.05) & (moves.rigid < 0.8) & (moves.spread <= _UNALIKE)
    may_be_sale = (swings | each) & (moves.overall < 0) & (moves.overall > SALE_LOW)
    held = (
        ~fine
        & ~end
        & (
            large & (compared >= 3) & ~may_be_sale
            | single & (beyond >= log(8))
            | rigid & ((moves.step > _MOST_RISE) | (moves.step <= -0.05)) & (moves.changed >= 8)
        )
    )
    flagged = ~fine & (large | rigid | one_way | single)
    # What has only grown so far does not fall, unless it starts again.
    number = moves.changed * (1 - moves.up)
    fallen = ratio(number, _spread(baseline, comparison.filled))
    falls = only_grew(baseline) & (fallen >= 0.25) & (number >= 6) & ~start_again(baseline, moves)
    flagged |= falls
    if flagged.any():
        counts = count_on(baseline, last, comparison)
        held, flagged = held & ~counts & ~are_back_at_zero(baseline), flagged & ~counts
    # Steps of dates are differences, which have no factor and are judged elsewhere.
    seen = np.exp(np.minimum(np.where(changed >= 0.5, moves.overall, moves.step), _MOST_STEP))
    factors = Band(np.exp(-usual.high), np.exp(usual.high), usual.width, usual.jobs)

    def say(place: int) -> str:
        if falls[place] and not (large | rigid | one_way | single)[place]:
            return (
                f"{baseline.paths[place]} fell in {percent(fallen[place])} of the items that the job before had too, "
                f"while it hardly ever fell from job to job"
            )
        how = "all" if rigid[place] else "most of them"
        factor = exp(usual.high[place])
        usually = "most did not move" if factor < _SAME else f"it was at most {short(factor)} times"
        return (
            f"{baseline.paths[place]} changed in {percent(changed[place])} of the items that the job before had too, "
            f"{how} to {short(float(seen[place]))} times the number before; from job to job {usually}"
        )

    return _Judged(held, flagged, rigid | falls, seen, factors, say)


def _are_of_one_length(baseline: Baseline) -> Mask:
    """Whether nearly all numbers of each field are of about the same size, as those that name things are."""
    numbers = baseline.seen(lambda profile: profile.numbers)
    return np.asarray((numbers[:, 0] > 0) & (numbers[:, -1] < 10 * numbers[:, 0]))


def _have_both_signs(baseline: Baseline) -> Mask:
    """Whether numbers of each field lie on both sides of zero, in this job or before."""
    now = baseline.seen(lambda profile: profile.numbers, np.nan)
    return have_both_signs(np.concatenate([baseline.past(lambda profile: profile.numbers, np.nan), now[None]]))


def _equals_other_field(baseline: Baseline, last: JobProfile) -> Mask:
    """Whether most items now have in a field the number that another field had in the job before: the list price."""
    crossed = crossed_fields(baseline.now, last)
    if crossed is None:
        return np.zeros(len(baseline.paths), np.bool_)
    return np.asarray(baseline.spread(baseline.now, crossed[1]) >= 0.5)


def _few_factors(baseline: Baseline, comparison: Comparison) -> Mask:
    """Fields whose changed numbers all went down by round factors of a sale, though not all by the same."""
    return _spread(baseline, comparison.steps.round) >= 0.85


def _judge_partial(baseline: Baseline, last: JobProfile, comparison: Comparison, test: str) -> _Judged:
    """Numbers: an unusual share of them, all in one direction."""
    moves = find_moves(baseline, last, comparison)
    changed = ratio(moves.changed, moves.compared)
    usual = past_band(baseline, test, changed_share)
    usual_step = past_band(baseline, test, step_size)
    chance = np.sqrt(usual.high * np.maximum(1 - usual.high, 0) / np.maximum(moves.compared, 1))
    excess = np.where(usual.jobs >= 2, changed - usual.high - usual.width - chance, -np.inf)
    one_way = (moves.up >= 0.95) | (moves.up <= 0.05)
    # The few that move on any day may go the other way.
    contrary = np.minimum(moves.up, 1 - moves.up) * moves.changed
    one_way |= (usual.high <= 0.2) & (changed >= 0.4) & (contrary <= usual.high * moves.compared)
    # Chance makes few steps go one way, and many do not.
    surprising = moves.changed >= 6
    size = np.abs(moves.step)
    sale = is_sale(moves.step) & (moves.rigid >= 0.6) | _few_factors(baseline, comparison)
    # What has only grown so far goes on growing: matches played, reviews.
    fine = sale | is_counter(baseline)
    fine |= is_counter(baseline, share_moving=0.1, of_moving=True) & is_whole(baseline) & (moves.up >= 0.95)
    end = (moves.step > 0) & (moves.rigid >= 0.6) & is_sale(-moves.step)
    fine |= end & _equals_other_field(baseline, last)
    usual_spread = past_band(baseline, test, step_spread)
    apart = moves.spread - usual_spread.high
    # What is counted, as things in stock, has steps of all sizes.
    counts = baseline.seen(lambda profile: profile.forms[:, NUMBER]) * 2 > baseline.filled_now
    counts &= is_whole(baseline)
    steady = ~_have_both_signs(baseline)
    shuffled = steady & (excess >= 0.5) & (moves.changed >= 6) & (apart >= _UNALIKE)
    # Where most numbers move every day, by how much they differ in that says the same.
    shuffled |= (
        (usual_spread.jobs >= 2)
        & (changed >= 0.5)
        & (moves.changed >= 12)
        & (apart >= np.maximum(2 * usual_spread.high, _UNALIKE) + usual_spread.width)
        & steady
        & ~counts
    )
    same = (moves.rigid >= 0.8) & (size >= log(1.15)) & (size > usual_step.high)
    flagged = (
        ~fine
        & one_way
        & surprising
        & (excess >= 0.1)
        & ((size >= log(1.1)) & ((size > usual_step.high * 0.8) | (excess >= 0.3)) | same)
    )
    # Many steps, all one way, where earlier ones went both ways.
    past_way = past_band(baseline, test, one_way_share)
    strict = (
        ~fine & (past_way.jobs >= 1) & (past_way.high <= 0.85) & one_way & (moves.changed >= 15) & (size >= log(1.1))
    )
    # On most days few numbers move.
    shares = baseline.past_steps(changed_share)
    strict &= (np.nan_to_num(shares) <= 0.3).mean(axis=0) >= 0.5
    # On others many do, some up and some down, always.
    always_mixed = (past_way.jobs >= 3) & (past_way.high + past_way.width <= 0.9)
    strict |= ~fine & always_mixed & one_way & (moves.changed >= 15) & (size >= log(1.1))
    flagged |= strict | shuffled
    held = ~fine & ~end & one_way & surprising & (excess >= 0.25) & same & (size >= log(1.25))
    held |= shuffled & (excess >= 0.6) & (apart >= log(3)) & (usual.high <= 0.3)
    if held.any():
        held &= ~are_back_at_zero(baseline)

    def say(place: int) -> str:
        if shuffled[place] and changed[place] <= usual.high[place]:
            return (
                f"{baseline.paths[place]} moved up and down without pattern in {percent(changed[place])} of the items "
                f"that the job before had too, by factors that differ more than from any job to the next before"
            )
        if shuffled[place]:
            how = "up and down without pattern"
        else:
            how = (
                f"{'up' if moves.up[place] > 0.5 else 'down'}, by a factor of {short(exp(moves.step[place]))} (median)"
            )
        return (
            f"{baseline.paths[place]} moved in {percent(changed[place])} of the items that the job before had too, "
            f"{how}; from job to job it moved in {at_most(usual.high[place])}"
        )

    return _Judged(held, flagged, strict, changed, usual, say)


def _judge_dates(baseline: Baseline, last: JobProfile, comparison: Comparison, test: str) -> _Judged:
    """Dates and times: all by the same span, or in more items than ever."""
    steps = comparison.steps
    dates = baseline.spread(baseline.now, is_date(baseline.now)) > 0
    compared, number = _spread(baseline, steps.compared), _spread(baseline, steps.changed)
    changed, rigid, step = ratio(number, compared), _spread(baseline, steps.rigid), _spread(baseline, steps.step)
    usual = past_band(baseline, test, changed_share)
    usual_rigid = past_band(baseline, test, rigid_share)
    excess = np.where(usual.jobs >= 2, changed - usual.high - usual.width, -np.inf)
    same = (rigid >= 0.8) & (usual_rigid.high <= 0.5)
    # The date that a whole table is of moves on when the table is made again.
    shared = (baseline.seen(lambda profile: profile.distinct) <= 1) & (step > 0)
    still = past_band(baseline, test, values_changed)
    # Dates that always moved on may have been such that no number was known of them.
    calm = dates & ~shared & (still.low < _RESTLESS)
    held = calm & same & (excess >= 0.6) & (number >= 5) & (np.abs(step) > _MOST_ZONES)
    flagged = calm & (number >= 4) & (same & (changed >= 0.6) & (excess >= 0.2) | (excess >= 0.6))
    # Of texts such as 03/04/2026 no number is known; and where days and months are swapped, many stay as they are.
    others, filled = _spread(baseline, comparison.changed), _spread(baseline, comparison.filled)
    rewritten = dates & ~shared & ~flagged & (still.jobs >= 2) & (still.high <= _HARDLY) & (others * filled >= 6)
    rewritten &= others >= 0.25
    changed = np.where(rewritten, others, changed)

    def say(place: int) -> str:
        share = percent(changed[place])
        if rewritten[place]:
            return (
                f"{baseline.paths[place]} changed in {share} of the items that the job before had too, "
                f"while it changed in {at_most(still.high[place])} from job to job"
            )
        days = float(step[place])
        number, unit = (abs(days) * 24, "hour") if abs(days) < 3 else (abs(days), "day")
        span = f"{'back ' if days < 0 else ''}by {short(number)} {unit}{'' if number == 1 else 's'}"
        return (
            f"{baseline.paths[place]} moved {span} (median) in {share} of the items that the job before had too; "
            f"from job to job it changed in {at_most(usual.high[place])}"
        )

    return _Judged(held, flagged | rewritten, dates & same, changed, usual, say)
