"""Tests of a job as a whole: how many items it has, how many repeat, and whether they are those of the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import exp, log, sqrt

import numpy as np

from meter_pipeline.sync.audit.baseline import Band, Baseline, band
from meter_pipeline.sync.audit.comparison import compare
from meter_pipeline.sync.audit.families.speaking import at_least, at_most, job_finding, percent, short, spell_range
from meter_pipeline.sync.audit.findings import FLAGGED, HELD, NEEDED, Finding
from meter_pipeline.sync.audit.matching import match
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.text.counts import count_of

# Fewer than this share of the fewest before is a broken list, and less than that one to look at.
_HALF, _THREE_FIFTHS = log(0.5), log(0.56)
_GROWN = log(3)
_CUT = log(0.85)
# The share of its items that a list keeps from job to job where items stay.
_MOST_KEPT = 0.8
#: The least that each job differs from the one before where an old page is noticed.
FEWEST_MOVED = 0.03


def _one(baseline: Baseline, test: str, values: Sequence[float]) -> Band:
    history = np.array(values, np.float64).reshape(-1, 1)
    return band(history, baseline.job_mask(test)[:, None], baseline.patience)


def count_items(baseline: Baseline) -> Iterator[Finding]:
    """Zero items, far fewer, or far more than any job before."""
    now = baseline.now.items
    counts = [profile.items for profile in baseline.profiles]
    plain = _one(baseline, "items", counts)
    if not plain.known[0] or (now == 0 and 0 in counts):
        return
    low, high = float(plain.low[0]), float(plain.high[0])
    if now == 0:
        if low > 0:
            # Of a page whose number of items swings as far as it is from zero, none are left sooner or later. Jobs
            # that were held in between are no reason to expect that.
            swing = (high - low) * (0.5 + 2 / len(counts)) + (sqrt(low) if high > low else 0)
            outcome = HELD if low > swing else FLAGGED
            yield job_finding(
                "items", outcome, 0, f"no items, while the last {len(counts)} jobs had at least {short(low)}", low=low
            )
        return
    logs = _one(baseline, "items", [log(max(count, 0.5)) for count in counts])
    fewest, spread = float(logs.low[0]), float(logs.width[0])
    # What chance does to a list whose items come and go; one of constant length has no such excuse.
    chance = 1.5 / sqrt(max(low, 1)) if high > low else 0.0
    fall = log(now) - fewest + min(spread, 1.0) * 0.5
    drop = fall + chance * 0.5
    # Nor has one whose items stay, but that is no proof: some lists are short on their first Sunday.
    is_short = drop <= _THREE_FIFTHS or (fall <= _THREE_FIFTHS and _keeps_items(baseline))
    expected = exp(fewest)
    # A handful of items come and go by chance, and a long history of a constant number speaks against it.
    lost = low - now
    if low >= 2 and is_short and (lost >= 5 or len(counts) >= 5):
        outcome = HELD if drop <= _HALF and lost >= (5 if high > low or len(counts) < 8 else 2) else FLAGGED
        before = spell_range(short(low), short(high))
        message = f"{count_of(now, 'item')}, while the last {len(counts)} jobs had {before}"
        yield job_finding("items", outcome, now, message, low=expected * exp(_THREE_FIFTHS))
    elif low >= 10 and log(now) - fewest + spread <= _CUT and (cut := _is_cut(baseline)):
        message = f"{now:,} items, the first ones of the job before: the list is cut; {cut} items were there before"
        yield job_finding("items", FLAGGED, now, message, low=expected)
    top, rise = float(logs.high[0]), log(now) - float(logs.high[0]) - spread
    if rise >= _GROWN and now >= 10 and baseline.now.repeats < 0.2:
        message = f"{now:,} items, while the last {len(counts)} jobs had at most {short(high)}"
        yield job_finding("growth", FLAGGED, now, message, high=exp(top + spread + _GROWN))


def _keeps_items(baseline: Baseline) -> bool:
    """Whether each job had most items of the job before."""
    kept = [found.kept for found in baseline.comparisons if found is not None and found.matched]
    return len(kept) >= NEEDED - 1 and min(kept) >= _MOST_KEPT


def _is_cut(baseline: Baseline) -> int:
    """The items of the job before, if this job has its first ones and hardly any other."""
    last = baseline.profiles[-1]
    comparison = compare(baseline.now, last)
    if comparison is None or comparison.matched < 8:
        return 0
    return last.items if comparison.head >= 0.95 and comparison.known >= 0.9 and comparison.kept < 0.85 else 0


def count_repeats(baseline: Baseline) -> Iterator[Finding]:
    """Items that are in the job more than once."""
    now = baseline.now
    usual = _one(baseline, "repeats", [profile.repeats for profile in baseline.profiles])
    excess = float(usual.above(np.array([now.repeats]))[0])
    repeated = now.repeats * now.rows
    if excess < 0.05 or repeated < 0.9:
        return
    # Among a handful of items two of one kind may meet, where the kind is all that tells them apart.
    if excess >= 0.45 or (excess >= 0.2 and repeated >= 3) or (excess >= 0.1 and repeated >= 5):
        outcome = HELD
    elif repeated >= 3:
        outcome = FLAGGED
    else:
        return
    message = (
        f"{percent(now.repeats)} of the items repeat an earlier item of the job "
        f"(by {', '.join(now.identity) or 'all they hold'}), "
        f"while {at_most(float(usual.high[0]))} did before"
    )
    yield job_finding("repeats", outcome, now.repeats, message, high=float(usual.high[0] + usual.width[0]))


def count_sparse(baseline: Baseline) -> Iterator[Finding]:
    """Items that have hardly any values, as of an error page or another kind of list."""
    now = baseline.now
    usual = _one(baseline, "sparse", [profile.sparse for profile in baseline.profiles])
    excess = float(usual.above(np.array([now.sparse]))[0])
    if excess >= 0.1 and now.sparse * now.rows >= 3:
        message = (
            f"{percent(now.sparse)} of the items have less than half the values of the others, "
            f"while {at_most(float(usual.high[0]))} did before"
        )
        outcome = HELD if excess >= 0.5 else FLAGGED
        yield job_finding("sparse", outcome, now.sparse, message, high=float(usual.high[0] + usual.width[0]))


def find_known(baseline: Baseline, others: Iterable[JobProfile] = ()) -> Iterator[Finding]:
    """Hardly any item that the job before had, though the page always kept most of its items."""
    now, last = baseline.now, baseline.profiles[-1]
    comparison = compare(now, last)
    if comparison is not None and baseline.nearest is not None:
        last, comparison = baseline.nearest
    past = [
        np.nan if found is None or not found.matched + found.now_items else max(found.known, found.kept)
        for found in baseline.comparisons
    ]
    usual = _one(baseline, "known", past)
    if comparison is None or usual.jobs[0] < NEEDED - 1 or not now.rows or not last.rows:
        return
    seen, low = max(comparison.known, comparison.kept), float(usual.low[0])
    expected = low - float(usual.width[0]) * 0.5
    items = min(comparison.now_items, last.rows)
    # As many items gone as in four times the time between two jobs, and then most of the list.
    limit = min(0.3 * expected, max(expected, 0) ** 4)
    alone = items <= 2 and low == 1 and usual.jobs[0] >= 4
    if seen > limit or (items * limit < 0.6 and not alone):
        return
    known = percent(seen) if seen else "none"
    message = f"{known} of the items are known from the job before, while {at_least(low)} were before"
    other = _find_page(now, others)
    if other is not None:
        message += f"; they are those of another page, scraped {other.time}"
    outcome = HELD if other is not None else FLAGGED
    yield job_finding("known", outcome, seen, message, low=limit)


def _find_page(now: JobProfile, others: Iterable[JobProfile]) -> JobProfile | None:
    """The job of another target that has most of the items."""
    for other in others:
        if other.identity == now.identity and other.rows:
            found = match([(now.sketch, other.sketch)])
            if found.ours[0] >= 3 and len(found.here) >= 0.6 * found.ours[0]:
                return other
    return None


def find_stale(baseline: Baseline) -> Iterator[Finding]:
    """A page that is again as it was some jobs ago, though it changes from job to job."""
    # After a job with a doubt, the page as it was before is no news.
    if len(baseline.profiles) < 5 or baseline.now.rows < 5 or baseline.accepted[-1].outcome == FLAGGED:
        return
    comparison = compare(baseline.now, baseline.profiles[-1])
    past = [found for found in baseline.comparisons if found is not None]
    if comparison is None or len(past) < 4:
        return

    # Only where every job differed from the one before, and this one does; or where items went and others came back.
    least = min(found.moved for found in past)
    is_exchange = comparison.known < 1 and comparison.kept < 1 and comparison.moved * baseline.now.rows >= 3
    if comparison.moved < FEWEST_MOVED or not (is_exchange or FEWEST_MOVED <= least <= comparison.moved):
        return
    old = _find_again(baseline.now, baseline.profiles[:-2])
    if old is None:
        return
    # Of few things that come and go, all have been seen sooner or later.
    for place in range(2, len(baseline.profiles)):
        if _brings_nothing_new(baseline.profiles[place], baseline.profiles[:place]):
            return
    message = f"the items are again those of {old.time}: an old page, as from a cache"
    yield job_finding("stale", FLAGGED, 1.0, message)


def _find_again(now: JobProfile, earlier: Sequence[JobProfile]) -> JobProfile | None:
    """The latest of some jobs that had the same items with the same values."""
    for profile in reversed(earlier):
        found = compare(now, profile)
        if found is not None and found.matched >= 5 and found.moved == 0:
            return profile
    return None


def _brings_nothing_new(job: JobProfile, earlier: Sequence[JobProfile]) -> bool:
    """Whether a job differs from the one before it, and has only items that some job had before with these values."""
    last = compare(job, earlier[-1])
    if last is None or last.moved == 0:
        return False
    if last.known == 1 and not last.any_changed:
        return False  # items only went
    fresh = np.ones(len(job.sketch.ids), np.bool_)
    for profile in reversed(earlier):
        found = compare(job, profile)
        if found is None or profile.paths != job.paths:
            continue
        here, there = found.places
        same = (job.sketch.marks[here] == profile.sketch.marks[there]).all(axis=1)
        fresh[here[same]] = False
    return not fresh.any()
