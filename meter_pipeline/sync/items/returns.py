"""Finds values that come back after other jobs did not have them, to see whether the items come back with them."""

from __future__ import annotations

import numpy as np

from meter_pipeline.sync.items.coding import Coded, Codes
from meter_pipeline.sync.items.comparisons import Steps, thin_each

# Of more values than these that came back in a job, some are compared.
_MOST_COMPARED = 32


def find_returns(steps: Steps, coded: Coded) -> tuple[Codes, Codes]:
    """Items with a value that came back, and for each of them the last item that had it before.

    Only values that a single item of a job has are compared.
    """
    codes, before = coded.codes[steps.new.items], steps.olds[steps.new.steps]
    # What the job before has, too, did not leave.
    fresh = steps.new.where((coded.own[steps.new.items] == 1) & (coded.counts[before, codes] != 1))
    if not len(fresh):
        return fresh.items, fresh.items
    codes = coded.codes[fresh.items]
    had = (coded.counts[:, codes] == 1) & steps.earlier[:, coded.jobs[fresh.items]]
    at = np.flatnonzero(had.any(axis=0))
    at = at[thin_each(fresh.steps[at], _MOST_COMPARED)]
    last = len(had) - 1 - np.argmax(had[::-1, at], axis=0)
    return fresh.items[at], coded.places[last, codes[at]]
