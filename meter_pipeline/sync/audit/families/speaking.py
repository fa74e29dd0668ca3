"""How tests say what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from meter_pipeline.sync.audit.baseline import Baseline, Floats, Mask
from meter_pipeline.sync.audit.findings import FLAGGED, HELD, Finding

#: Findings of one test; more fields than these are only counted.
MOST_FINDINGS = 25


def spoken(
    baseline: Baseline,
    test: str,
    held: Mask,
    flagged: Mask,
    seen: Floats,
    say: Callable[[int], str],
    *,
    low: Floats | None = None,
    high: Floats | None = None,
) -> Iterator[Finding]:
    """The findings of a test on fields.

    Args:
        baseline: The job and those before it.
        test: The name of the test.
        held: For which fields it is sure.
        flagged: For which fields it doubts.
        seen: What it saw.
        say: The sentence for the field at a place.
        low: The least that it expected.
        high: The most that it expected.
    """
    places = np.flatnonzero(held | flagged)
    if not len(places):
        return
    order = sorted(places.tolist(), key=lambda place: (not held[place], place))
    for place in order[:MOST_FINDINGS]:
        field = baseline.paths[place]
        yield Finding(
            test,
            field,
            None if low is None else _round(low[place]),
            None if high is None else _round(high[place]),
            _round(seen[place]),
            samples(baseline, field),
            HELD if held[place] else FLAGGED,
            say(place),
        )


def job_finding(
    test: str, outcome: str, seen: float, message: str, *, low: float | None = None, high: float | None = None
) -> Finding:
    """The finding of a test on the job as a whole."""
    return Finding(
        test, None, None if low is None else _round(low), None if high is None else _round(high), _round(seen), (),
        outcome, message,
    )  # fmt: skip


def samples(baseline: Baseline, field: str) -> tuple[str, ...]:
    """Values of a field in two items of the job."""
    place = baseline.now.place.get(field)
    if place is None:
        return ("absent",) * min(2, baseline.now.rows)
    shown = baseline.now.samples[place]
    return shown[:2]


def percent(share: float) -> str:
    """A share in words."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 or value == round(value) else f"{value:.1f} %"


def at_least(share: float) -> str:
    """The lower bound of a share in words: `all` for 100 %."""
    return "all" if share >= 1 else f"at least {percent(share)}"


def at_most(share: float) -> str:
    """The upper bound of a share in words: `none` for 0 %."""
    return "none" if share <= 0 else f"at most {percent(share)}"


def short(value: float) -> str:
    """A number with four digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def spell_range(low: str, high: str) -> str:
    """Two ends as words: `12 to 30`, or `30` where both read the same."""
    return low if low == high else f"{low} to {high}"


def ratio(top: npt.NDArray[np.floating], bottom: npt.NDArray[np.floating]) -> Floats:
    """Quotients, 0 where the divisor is 0."""
    return np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=bottom > 0)


def _round(value: float) -> float:
    return float(f"{value:.6g}")
