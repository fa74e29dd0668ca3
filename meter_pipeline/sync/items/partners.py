"""Asks of items that two jobs do not have in common by a candidate whether they are the same after all.

An item whose candidate value is gone and one with a new value may be one item with another value. Each of the other
fields counts as evidence for or against that: as far as items that are the same agree in it more often than others do.
How often items that certainly differ seem to be the same is measured on the same jobs, and not assumed: fields that go
together, such as a brand and its country, would make it look rarer than it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meter_pipeline.sync.items.coding import Codes, Numbers
from meter_pipeline.sync.items.comparisons import Comparison, Side, Steps, cross

# The odds for and against two items being the same, from which they count as such: natural logarithms.
_SURE = 3.0
# Of more items than these that came or went, or stayed, some are compared with each other.
_MOST_COMPARED, _MOST_STAYED = 64, 128


@dataclass(frozen=True)
class Partners:
    """What became of items whose values are gone, summed over jobs.

    Attributes:
        found: Number of items that seem to have another value now.
        explained: How many of these chance explains.
        unsettled: Number of items of which nothing tells whether they left or have another value.
    """

    found: int = 0
    explained: float = 0.0
    unsettled: int = 0


def seek_partners(
    steps: Steps, compared: Comparison, matrix: Codes, rest: Codes, weights: tuple[Numbers, Numbers]
) -> Partners:
    """What became of the items that found no partner by a candidate, as far as their other fields tell.

    Args:
        steps: The steps.
        compared: The items by the candidate.
        matrix: The codes of all items.
        rest: The other fields, as columns of these.
        weights: What each of the other fields says for two items being the same if it agrees, and if it does not.
    """
    fewer = np.minimum(steps.count(compared.gone), steps.count(compared.come))
    if not fewer.any():
        return Partners()
    gone, come = compared.gone.thin(_MOST_COMPARED), compared.come.thin(_MOST_COMPARED)
    others = np.ones(len(matrix), np.bool_)
    others[gone.items] = False
    stayed = steps.old.where(others[steps.old.items]).thin(_MOST_STAYED)
    pairs, chances = (steps.count(side) * steps.count(come) for side in (gone, stayed))
    least = _SURE + np.log(np.maximum(pairs, 1))
    old_codes, new_codes, stayed_codes = (matrix[side.items][:, rest] for side in (gone, come, stayed))
    old, new = cross(gone, come)
    odds = _weigh(old_codes[old], new_codes[new], weights)
    is_alike = odds >= least[gone.steps[old]]
    found, possible = (
        np.minimum(steps.count(_pick(gone, old[chosen])), steps.count(_pick(come, new[chosen])))
        for chosen in (is_alike, (odds > -_SURE) & ~is_alike)
    )
    old, new = cross(stayed, come)
    chance = _weigh(stayed_codes[old], new_codes[new], weights) >= least[stayed.steps[old]]
    explained = np.bincount(stayed.steps[old[chance]], minlength=len(steps)) / np.maximum(chances, 1) * pairs
    compared_items = np.minimum(steps.count(gone), steps.count(come))
    unsettled = np.rint(possible / np.maximum(compared_items, 1) * fewer)
    return Partners(int(found.sum()), float(explained.sum()), int(unsettled.sum()))


def _pick(side: Side, places: Codes) -> Side:
    """The items at some places of a side, each once."""
    return side.where(np.bincount(places, minlength=len(side)) > 0)


def _weigh(old: Codes, new: Codes, weights: tuple[Numbers, Numbers]) -> Numbers:
    return np.asarray(np.where(old == new, *weights).sum(axis=1), np.float64)


def weigh_fields(same: Numbers, pairs: int, other: Numbers, others: int) -> tuple[Numbers, Numbers]:
    """What each field says for two items being the same if it agrees, and if it does not.

    Args:
        same: In how many pairs of the same item it agrees.
        pairs: Number of these pairs.
        other: In how many pairs of different items it agrees.
        others: Number of these.
    """
    right, wrong = (same + 1) / (pairs + 2), (other + 1) / (others + 2)
    # A field that agrees less often in the same item than in others tells when the job ran, and nothing else.
    agree = np.maximum(np.log(right / wrong), 0.0)
    differ = np.minimum(np.log((1 - right) / (1 - wrong)), 0.0)
    return agree, np.where(agree > 0, differ, 0.0)
