"""Counts changes of a candidate in items that are recognised without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meter_pipeline.sync.items.chance import beyond_chance, bound
from meter_pipeline.sync.items.coding import Coded, Mask, Numbers
from meter_pipeline.sync.items.comparisons import Comparison, Pairs, Steps


@dataclass(frozen=True)
class Changes:
    """Changes of a candidate.

    Attributes:
        changes: Estimated number of items that kept all else and changed this value.
        recognised: Number of items among which these were found.
        checked: Number of those that were recognised without the candidate.
        unsure: Share of the recognised items whose value may have changed for all that was seen; 1 without any.
    """

    changes: float = 0.0
    recognised: int = 0
    checked: int = 0
    unsure: float = 1.0

    @property
    def rate(self) -> float:
        """Share of the recognised items that have changed."""
        return self.changes / self.recognised if self.recognised else 0.0


def find_changes_by_rest(steps: Steps, own: Comparison, rest: Comparison, chance: Numbers, likeness: float) -> Changes:
    """Changes in items that are otherwise the same, beyond those that chance explains.

    Args:
        steps: The steps.
        own: The items by the candidate.
        rest: The items by all other fields together.
        chance: By step, how often two items drawn at random agree in all of these.
        likeness: Share of the pairs of items of one job that agree in all of these and differ in the candidate. They
            are two items, so a pair from two jobs may be two items as well. 0 counts each such pair as a change.
    """
    differs, is_known = _compare(own.coded, rest.pairs)
    known = np.bincount(rest.pairs.old.steps[is_known], minlength=len(steps))
    met = _count_met(steps, rest.pairs, is_known & ~differs, likeness)
    # Items that found no partner by the candidate, and whose other fields another one of these has.
    again = rest.count_shared(own.gone, own.come)
    explained = _explain(steps, own, rest, chance)
    raw = max(int(differs.sum()), int(again.sum()))
    recognised = int(np.maximum(known, own.pairs.matched + again).sum())
    unsure = bound(max(raw - 1.2 * explained, 0.0), raw, recognised)
    changes = max(beyond_chance(int(differs.sum()), max(explained, met)), beyond_chance(int(again.sum()), explained))
    return Changes(changes, recognised, int(known.sum()), unsure)


def _explain(steps: Steps, own: Comparison, rest: Comparison, chance: Numbers) -> float:
    """How many of the items that found no partner meet one by chance whose other fields are the same."""
    gone, come = steps.count(own.gone), steps.count(own.come)
    fewer = np.minimum(gone, come)
    expected = gone * come * chance
    # Too many to count as if each met another one: what certainly differs shows how many meet.
    many = expected * 2 > fewer
    if many.any():
        stayed = own.pairs.old.thin(gone)
        meeting = rest.count_shared(stayed, own.come) * gone / np.maximum(steps.count(stayed), 1)
        is_measured = own.pairs.matched * 2 >= gone
        expected = np.where(many, np.where(is_measured, np.minimum(meeting, fewer), fewer), expected)
    return float(expected.sum())


def _count_met(steps: Steps, pairs: Pairs, kept: Mask, likeness: float) -> float:
    """Expected number of items that are paired with a similar item by chance, without those that `kept` pairs."""
    settled = np.bincount(pairs.old.steps[kept], minlength=len(steps))
    return float(((steps.count(steps.old) - settled) * (steps.count(steps.new) - settled)).sum() * likeness)


def find_changes_in_pairs(steps: Steps, own: Comparison, pairs: Pairs, is_same: Mask, likeness: float) -> Changes:
    """Changes in those pairs of another candidate that are the same item, as far as other fields tell.

    Args:
        steps: The steps.
        own: The items by the candidate.
        pairs: Those that the other candidate pairs.
        is_same: Which of these are the same item.
        likeness: Share of the pairs of items of one job that agree in the other candidate and differ in this one.
    """
    differs, is_known = _compare(own.coded, pairs)
    checked, changes = int((is_known & is_same).sum()), int((differs & is_same).sum())
    # Items that the other candidate does not pair are no evidence: those that `own` pairs have kept their value.
    recognised = max(checked, len(own.pairs))
    met = _count_met(steps, pairs, is_known & ~differs, likeness)
    return Changes(
        beyond_chance(changes, met) if met else changes, recognised, checked, bound(changes, changes, checked)
    )


def _compare(own: Coded, pairs: Pairs) -> tuple[Mask, Mask]:
    """Which pairs have different values of a candidate, and which have a value at all."""
    old, new = own.codes[pairs.old.items], own.codes[pairs.new.items]
    is_known = (old > 0) & (new > 0)
    return is_known & (old != new), is_known
