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

# The odds for and against two items being the same, from which they count as such: natural logarithms.
_SURE = 3.0
# Of more items than these that came or went, or stayed, some are compared with each other.
_MOST_COMPARED, _MOST_STAYED = 64, 128


@dataclass
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

    def add(self, old: Codes, new: Codes, gone: Codes, come: Codes, weights: tuple[Numbers, Numbers]) -> None:
        """Adds two consecutive jobs.

        Args:
            old: Codes of the other fields in the old job.
            new: The same in the new job.
            gone: The items of the old job that are not in the new one.
            come: The items of the new job that are not in the old one.
            weights: What each field says for two items being the same if it agrees, and if it does not.
        """
        if not len(gone) or not len(come):
            return
        fewer = min(len(gone), len(come))
        gone, come = thin(gone, _MOST_COMPARED), thin(come, _MOST_COMPARED)
        odds = _weigh(old[gone], new[come], weights)
        least = _SURE + float(np.log(len(gone) * len(come)))
        alike = odds >= least
        self.found += int(min(alike.any(axis=1).sum(), alike.any(axis=0).sum()))
        stayed = thin(np.setdiff1d(np.arange(len(old)), gone), _MOST_STAYED)
        if len(stayed):
            self.explained += float((_weigh(old[stayed], new[come], weights) >= least).mean()) * len(gone) * len(come)
        possible = (odds > -_SURE) & ~alike
        share = min(possible.any(axis=1).sum(), possible.any(axis=0).sum()) / min(len(gone), len(come))
        self.unsettled += round(share * fewer)


def thin(places: Codes, most: int) -> Codes:
    """All places, or `most` of them at even distances."""
    return places if len(places) <= most else places[np.arange(most) * len(places) // most]


def _weigh(old: Codes, new: Codes, weights: tuple[Numbers, Numbers]) -> Numbers:
    equal = old[:, None, :] == new[None, :, :]
    return np.asarray(np.where(equal, weights[0], weights[1]).sum(axis=2), np.float64)


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
