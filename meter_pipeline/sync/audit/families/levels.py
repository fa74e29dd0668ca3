"""Tests of how large numbers and how late dates are, for pages whose items come and go.

Where a job has most of the items of the job before, the steps of these items say more; see `steps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from math import log

import numpy as np

from meter_pipeline.sync.audit.baseline import Baseline, Floats, Mask, band
from meter_pipeline.sync.audit.comparison import is_date
from meter_pipeline.sync.audit.families.speaking import ratio, short, spell_range, spoken
from meter_pipeline.sync.audit.findings import Finding
from meter_pipeline.sync.audit.values import EPOCH, LIST, MEASURE, NUMBER, read_date
from meter_pipeline.sync.items.field_names import rank_name

_HOLD_APART, _FLAG = log(1.8), log(1.7)
EARLIEST = date(1985, 1, 1).toordinal() - EPOCH
_YEAR = 365
#: Days by which dates may differ from those before, whatever they differed by so far.
FAR_DAYS = 60


def find_levels(baseline: Baseline) -> Iterator[Finding]:
    """Numbers of another size than in any job before."""
    now = baseline.seen(lambda profile: profile.numbers, np.nan)
    past = baseline.past(lambda profile: profile.numbers, np.nan)
    forms = baseline.seen(lambda profile: profile.forms)
    count = forms[:, NUMBER] + forms[:, MEASURE]
    judged = ratio(count, baseline.filled_now) > 0.5
    judged &= ratio(forms[:, LIST], baseline.filled_now) < 0.5
    judged &= np.array([not _is_name(baseline, path) for path in baseline.paths], np.bool_)
    comparison = baseline.nearest[1] if baseline.nearest is not None else None
    has_steps = np.zeros(len(count), np.bool_)
    if comparison is not None and comparison.matched >= 0.5 * max(comparison.now_items, 1):
        # These have been judged by their steps, where there were enough of them; numbers on both sides of zero have
        # no steps that say how large they are.
        has_steps = baseline.spread(baseline.now, comparison.steps.compared) >= 3
        changed, filled = (baseline.spread(baseline.now, found) for found in (comparison.changed, comparison.filled))
        judged &= ~has_steps | have_both_signs(past) & (changed >= 0.5) & (filled >= 5)
    judged &= (count >= 8) & ~np.isnan(now[:, 2])
    if not judged.any():
        return
    signed = judged & has_steps
    yield from _find_scales(baseline, now, past, signed)
    judged &= ~signed
    if not judged.any():
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        logs, past_logs = np.log(np.abs(now)), np.log(np.abs(past))
        logs[~np.isfinite(logs)], past_logs[~np.isfinite(past_logs)] = np.nan, np.nan
    mask = baseline.mask("level")
    middle = band(past_logs[:, :, 2], mask, baseline.patience)
    lowest, highest = (
        band(past_logs[:, :, 1], mask, baseline.patience),
        band(past_logs[:, :, 3], mask, baseline.patience),
    )
    noise = 1.5 * np.nan_to_num(np.abs(logs[:, 3] - logs[:, 1])) / np.sqrt(np.maximum(count, 1)) + 0.05
    seen = np.nan_to_num(logs[:, 2])
    moved = np.maximum(middle.above(seen), middle.below(seen)) - noise
    moved = np.where(np.isnan(logs[:, 2]), -np.inf, moved)
    # Three quarters of the values are where a quarter was at most.
    apart = (lowest.known & (logs[:, 1] > highest.high)) | (lowest.known & (logs[:, 3] < lowest.low))
    outside = (seen > highest.high) | (seen < lowest.low)
    held = judged & apart & (moved >= _HOLD_APART)
    flagged = judged & outside & (moved >= _FLAG)

    def say(place: int) -> str:
        return (
            f"{baseline.paths[place]} is {short(float(now[place, 2]))} (median), while it was "
            f"{spell_range(short(np.exp(middle.low[place])), short(np.exp(middle.high[place])))} before"
        )

    yield from spoken(
        baseline, "level", held, flagged, np.exp(seen), say, low=np.exp(middle.low), high=np.exp(middle.high)
    )


def have_both_signs(past: Floats) -> Mask:
    """Whether the numbers of each field lie on both sides of zero, by their quantiles in the jobs before."""
    with np.errstate(invalid="ignore"):
        return np.asarray((past[:, :, 0] < 0).any(axis=0) & (past[:, :, -1] > 0).any(axis=0))


def _find_scales(baseline: Baseline, now: Floats, past: Floats, signed: Mask) -> Iterator[Finding]:
    """Numbers on both sides of zero whose whole range is another size, such as hundredths for whole degrees."""
    if not signed.any():
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        seen, sizes = np.log(now[:, 4] - now[:, 0]), np.log(past[:, :, 4] - past[:, :, 0])
    seen[~np.isfinite(seen)], sizes[~np.isfinite(sizes)] = np.nan, np.nan
    usual = band(sizes, baseline.mask("level"), baseline.patience)
    moved = np.maximum(usual.above(seen), usual.below(seen))
    moved = np.where(np.isnan(moved), -np.inf, moved)
    held, flagged = signed & (moved >= log(8)), signed & (moved >= log(4))

    def say(place: int) -> str:
        return (
            f"{baseline.paths[place]} is {short(float(now[place, 0]))} to {short(float(now[place, 4]))}, a range of "
            f"another size than before"
        )

    size, low, high = (np.exp(np.nan_to_num(column)) for column in (seen, usual.low, usual.high))
    yield from spoken(baseline, "level", held, flagged, size, say, low=low, high=high)


def _is_name(baseline: Baseline, path: str) -> bool:
    """Whether a field's numbers are names, of which none is larger than another."""
    return path in baseline.now.identity or rank_name(path.rsplit(".", 1)[-1]) > 0


def find_impossible_dates(baseline: Baseline) -> Iterator[Finding]:
    """Dates years away from those of all jobs before, and before the time of the web."""
    now = baseline.seen(lambda profile: profile.numbers, np.nan)
    past = baseline.past(lambda profile: profile.numbers, np.nan)
    dates = (baseline.spread(baseline.now, is_date(baseline.now)) > 0) & ~np.isnan(now[:, 2])
    if not dates.any():
        return
    mask = baseline.mask("date")
    middle, first, last = (band(past[:, :, column], mask) for column in (2, 0, 4))
    seen = np.nan_to_num(now[:, 2])
    moved = np.maximum(middle.above(seen), middle.below(seen))
    outside = np.maximum(first.low - now[:, 4], now[:, 0] - last.high)
    held = dates & middle.known & (moved > 2 * _YEAR) & (outside > _YEAR)
    held |= dates & middle.known & (seen < EARLIEST) & (middle.low > EARLIEST)
    flagged = dates & middle.known & (moved > _YEAR) & (outside > 0)
    # Neither as late as before nor as long before the job as before.
    until = band(_days_of([profile.time for profile in baseline.profiles])[:, None] - past[:, :, 2], mask)
    away = _days_of([baseline.now.time])[0] - seen
    flagged |= dates & (np.minimum(moved, np.maximum(until.above(away), until.below(away))) > FAR_DAYS) & (outside > 0)

    def say(place: int) -> str:
        return (
            f"{baseline.paths[place]} is {_spell(now[place, 2])} (median), while it was "
            f"{spell_range(_spell(middle.low[place]), _spell(middle.high[place]))} before"
        )

    yield from spoken(baseline, "date", held, flagged, seen, say, low=middle.low, high=middle.high)


def _days_of(times: Sequence[str]) -> Floats:
    return np.array([read_date(time) or 0.0 for time in times])


def _spell(days: float) -> str:
    return date.fromordinal(min(max(int(days) + EPOCH, 1), 3652059)).isoformat()
