"""Pages of one run: whether items wander between them.

A listing spread over several URLs pushes items from page to page when new ones come. Compared page by page, each such
item is removed here and added there. Whether that happens is visible in the keys alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from meter_pipeline.config.item_rules import PAGE, RUN

# Items that must have wandered, and the share of those that left a page which they must make up.
_FEW_WANDERERS, _WANDERING_SHARE = 3, 0.2
# Items that stand on several pages of one run at once: categories that overlap, not one list.
_MOST_SHARED = 0.1

Marks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PageEvidence:
    """Whether the pages of a run are one list.

    Attributes:
        mode: `run` if the pages of a run are to be compared as one, else `page`.
        compared: Number of consecutive runs that were compared.
        left: Number of items that left a page while another page, or none, had them in the next run.
        wandered: Number of those that another page had.
        shared: Share of items on more than one page of the same run.
        reason: Why, for people.
    """

    mode: str
    compared: int
    left: int
    wandered: int
    shared: float
    reason: str


def judge_pages(runs: Sequence[Mapping[str, Marks]]) -> PageEvidence:
    """Whether items wander between the pages of a strategy's runs.

    Args:
        runs: Runs in order of time; for each the marks (64-bit hashes) of the keys on each page, by target.
    """
    left = wandered = compared = 0
    on_several = total = 0
    counted = [_count(run) for run in runs]
    for marks, counts in counted:
        on_several, total = on_several + int((counts > 1).sum()), total + len(marks)
    for (old, (marks, counts)), (new, (elsewhere, _)) in pairwise(zip(runs, counted, strict=True)):
        common = old.keys() & new.keys()
        if len(common) < 2:
            continue
        compared += 1
        was_elsewhere = marks[counts > 1]
        for page in sorted(common):
            gone = np.setdiff1d(old[page], new[page])
            moved = np.setdiff1d(np.intersect1d(gone, elsewhere, assume_unique=True), was_elsewhere)
            left, wandered = left + len(gone), wandered + len(moved)
    shared = on_several / total if total else 0.0
    if shared > _MOST_SHARED:
        return PageEvidence(
            PAGE, compared, left, wandered, shared, f"{shared:.0%} of items stand on several pages at once"
        )
    if wandered >= _FEW_WANDERERS and wandered >= _WANDERING_SHARE * left:
        reason = f"{wandered} of {left} items that left a page turned up on another one"
        return PageEvidence(RUN, compared, left, wandered, shared, reason)
    return PageEvidence(PAGE, compared, left, wandered, shared, "items do not move to other pages")


def _count(run: Mapping[str, Marks]) -> tuple[Marks, npt.NDArray[np.int64]]:
    """The marks of a run and on how many of its pages each is."""
    pages = [np.unique(marks) for marks in run.values()]
    return np.unique(np.concatenate([*pages, np.empty(0, np.int64)]), return_counts=True)
