"""Tests of fields with two states: whether each item has the other one of what it had."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from meter_pipeline.sync.audit.baseline import LOOKED_BACK, Baseline, Mask, band
from meter_pipeline.sync.audit.comparison import compare, values_changed
from meter_pipeline.sync.audit.families.speaking import at_most, percent, ratio, spoken
from meter_pipeline.sync.audit.findings import Finding
from meter_pipeline.sync.audit.values import BOOLEAN


def find_inverted(baseline: Baseline) -> Iterator[Finding]:
    """Booleans that turned in nearly all items, some to true and some to false."""
    if baseline.nearest is None:
        return
    forms = baseline.seen(lambda profile: profile.forms)
    places = np.flatnonzero(ratio(forms[:, BOOLEAN], baseline.filled_now) >= 0.9)
    if not len(places):
        return
    last, comparison = baseline.nearest
    here, there = comparison.places
    count = len(baseline.paths)
    seen, compared, is_mixed = np.zeros(count), np.zeros(count), np.zeros(count, np.bool_)
    for place in places.tolist():
        before = last.place.get(baseline.paths[place])
        if before is None:
            continue
        new, old = baseline.now.sketch.marks[here, place], last.sketch.marks[there, before]
        both = (new != 0) & (old != 0)
        compared[place] = both.sum()
        seen[place] = (new != old)[both].mean() if both.any() else 0
        # All sold out at once is no fault, each of them the other way round is.
        _, numbers = np.unique(new[both], return_counts=True)
        is_mixed[place] = len(numbers) == 2 and numbers.min() >= 2
    usual = band(baseline.past_steps(values_changed), baseline.mask("changed", steps=True), baseline.patience)
    excess = np.where(usual.jobs >= 2, seen - usual.high - usual.width, -np.inf)
    flagged = is_mixed & (compared >= 5) & (seen >= 0.9) & (excess >= 0.4)
    if flagged.any():
        flagged &= ~_came_back(baseline)
    held = flagged & (seen >= 0.95) & (compared >= 12)

    def say(place: int) -> str:
        return (
            f"{baseline.paths[place]} turned to its opposite in {percent(seen[place])} of the items that the job "
            f"before had too, while it changed in {at_most(usual.high[place])} from job to job"
        )

    yield from spoken(baseline, "changed", held, flagged, seen, say, high=usual.high + usual.width)


def _came_back(baseline: Baseline) -> Mask:
    """Whether most values of each field are those of an earlier job."""
    found = np.zeros(len(baseline.paths), np.bool_)
    for profile in baseline.profiles[-2 : -2 - LOOKED_BACK : -1]:
        earlier = compare(baseline.now, profile)
        if earlier is not None and earlier.matched >= 5:
            found |= baseline.spread(baseline.now, earlier.changed, 1.0) <= 0.5
    return found
