"""How the numbers of known items moved, and what they usually do: columns that tests of steps compare.

Comes in: a `Baseline` and a comparison of two jobs. Goes out: arrays with one entry a field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log

import numpy as np

from meter_pipeline.sync.audit.baseline import Band, Baseline, Floats, Mask, band
from meter_pipeline.sync.audit.comparison import Comparison, Steps, follows_order, is_date
from meter_pipeline.sync.audit.families.speaking import ratio
from meter_pipeline.sync.audit.profile import JobProfile

# The prices of a sale: a factor that is a multiple of a twentieth, the same for most items.
SALE_LOW, _SALE_HIGH = log(0.24), log(0.96)
# Numbers that grew, without one that fell, to call a field one that counts: by chance one in four thousand does.
_SURELY_GROWS = 12
# Jobs in which some have to grow before it is no surprise that all start again.
_STEPS_GROWN = 5
# A counter that fell has started again if it is at most what it usually gains in this number of jobs, or at most this
# share of its value in the job before.
_FIRST_JOBS, _NEXT_TO_NOTHING = 3, 0.02


def find_moves(baseline: Baseline, last: JobProfile, comparison: Comparison) -> Steps:
    """How the numbers of fields moved from an earlier job, by path of the baseline; dates and ranks did not."""
    now = baseline.now
    moves = Steps(**{name: baseline.spread(now, column) for name, column in vars(comparison.steps).items()})
    # A rank says where an item stands, not how much it has.
    ranks = (baseline.spread(now, follows_order(now)) > 0) & (baseline.spread(last, follows_order(last)) > 0)
    still = ranks | (baseline.spread(now, is_date(now)) > 0)
    return replace(moves, compared=np.where(still, 0, moves.compared), changed=np.where(still, 0, moves.changed))


def past_band(baseline: Baseline, test: str, column: Callable[[Comparison], Floats]) -> Band:
    """The band of a column of the comparisons of earlier jobs that teach a test."""
    return band(baseline.past_steps(column), baseline.mask(test, steps=True), baseline.patience)


# Columns of comparisons, by field: see `Baseline.past_steps`.


def changed_share(found: Comparison) -> Floats:
    """Share of the compared numbers that moved."""
    return ratio(found.steps.changed, found.steps.compared)


def number_moved(found: Comparison) -> Floats:
    """How many numbers moved."""
    return found.steps.changed


def share_up(found: Comparison) -> Floats:
    """Share of the moved numbers that grew; NaN where none moved."""
    return np.where(found.steps.changed > 0, found.steps.up, np.nan)


def overall_size(found: Comparison) -> Floats:
    """Size of the median step of all compared numbers, as a logarithm."""
    return np.abs(found.steps.overall)


def step_size(found: Comparison) -> Floats:
    """Size of the median step of the moved numbers, as a logarithm."""
    return np.abs(found.steps.step)


def step_spread(found: Comparison) -> Floats:
    """How far the quarters of the steps lie apart, as a logarithm."""
    return found.steps.spread


def rigid_share(found: Comparison) -> Floats:
    """Share of the moved numbers with the median factor, where three tenths moved."""
    return found.steps.rigid * (changed_share(found) >= 0.3)


def one_way_share(found: Comparison) -> Floats:
    """Share of the moved numbers that went the way of most; NaN where fewer than eight moved."""
    return np.where(found.steps.changed >= 8, np.maximum(found.steps.up, 1 - found.steps.up), np.nan)


def is_sale(step: Floats) -> Mask:
    """Whether factors are those of a sale: downward, by a multiple of five per cent."""
    twentieths = np.exp(np.minimum(step, 0)) * 20
    return np.asarray((np.abs(twentieths - np.round(twentieths)) < 0.05) & (step > SALE_LOW) & (step < _SALE_HIGH))


def is_counter(baseline: Baseline, *, share_moving: float = 0.3, of_moving: bool = False) -> Mask:
    """Fields whose numbers only grew, in most items, as those that count: these start from zero one day.

    Args:
        baseline: The job and those before it.
        share_moving: The least share of the numbers that grows from job to job, on average.
        of_moving: Whether jobs in which none grew are left out, as for teams that play every third day.
    """
    up = baseline.past_steps(share_up)
    share = baseline.past_steps(changed_share)
    moving = (~np.isnan(up)).sum(axis=0)
    lowest = np.where(moving > 0, np.where(np.isnan(up), 1.0, up).min(axis=0, initial=1.0), 0)
    share = np.where(np.isnan(share), 0, share)
    shares = share.sum(axis=0) / (np.maximum((share > 0).sum(axis=0), 1) if of_moving else len(share))
    return np.asarray((lowest >= 0.95) & (moving >= 2) & (shares >= share_moving))


def only_grew(baseline: Baseline, steps: int = 1) -> Mask:
    """Fields of whole numbers that grew in many items so far and fell in hardly any, however few grow at once.

    Args:
        baseline: The job and those before it.
        steps: From how many jobs to the next some have grown, at least.
    """
    moved, up = baseline.past_steps(number_moved), baseline.past_steps(share_up)
    moves, grown = np.nansum(moved, axis=0), np.nansum(moved * up, axis=0)
    often = (np.nan_to_num(moved) > 0).sum(axis=0) >= steps
    return is_whole(baseline) & were_whole(baseline) & often & (moves >= _SURELY_GROWS) & (grown >= 0.97 * moves)


def are_back_at_zero(baseline: Baseline) -> Mask:
    """Fields whose numbers only grew for some jobs and are mostly zero now, as the points of a new season.

    Where few of them grow from job to job, most are still zero when the next job is scraped.
    """
    numbers = baseline.seen(lambda profile: profile.numbers, np.nan)
    return np.asarray((numbers[:, 0] == 0) & (numbers[:, 2] == 0)) & only_grew(baseline, steps=_STEPS_GROWN)


def start_again(baseline: Baseline, moves: Steps) -> Mask:
    """Whether the numbers that moved are now so near to zero as what counts is when it has just started.

    What grows by a hundredth from job to job is at a few hundredths of itself after its first jobs.
    """
    sizes = baseline.past_steps(step_size)
    jobs = (sizes > 0).sum(axis=0)
    middle = np.sort(np.where(sizes > 0, sizes, np.inf), axis=0)[np.maximum(jobs - 1, 0) // 2, np.arange(len(jobs))]
    growth = np.expm1(np.where(jobs > 0, np.minimum(middle, 1), 1))
    return np.asarray(moves.step <= np.log(np.maximum(_FIRST_JOBS * growth, _NEXT_TO_NOTHING)))


def is_whole(baseline: Baseline) -> Mask:
    """Whether the numbers of each field are whole, as counts are."""
    numbers = baseline.seen(lambda profile: profile.numbers, np.nan)
    return np.asarray((np.nan_to_num(numbers) % 1 == 0).all(axis=1))


def were_whole(baseline: Baseline) -> Mask:
    """Whether the numbers of each field were whole in all accepted jobs."""
    numbers = baseline.past(lambda profile: profile.numbers, np.nan)
    return np.asarray((np.nan_to_num(numbers) % 1 == 0).all(axis=(0, 2)))
