"""What chance explains of the coincidences that were counted."""

from __future__ import annotations

from math import exp


def beyond_chance(found: float, explained: float) -> float:
    """Few coincidences vary most: what one standard deviation more of them explains, is no change."""
    return max(found - 1.2 * explained - explained**0.5, 0.0)


def bound(changes: float, raw: float, recognised: float) -> float:
    """What share of items may have changed: two standard deviations more than what chance does not explain."""
    return min((changes + 2 * (raw + 1) ** 0.5) / recognised, 1.0) if recognised else 1.0


def tail(found: int, expected: float) -> float:
    """How probable it is that as many as found, or more, are seen where some are expected."""
    term = below = exp(-expected)
    for number in range(1, found):
        term *= expected / number
        below += term
    return 1 - below
