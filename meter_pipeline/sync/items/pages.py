"""Pages of one run: whether items wander between them, and what changed if they are compared as one list.

A listing spread over several URLs pushes items from page to page when new ones come. Compared page by page, each such
item is removed here and added there. Whether that happens is visible in the keys alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

RUN, PAGE = "run", "page"
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
    for run in runs:
        marks, counts = _counted(run)
        on_several, total = on_several + int((counts > 1).sum()), total + len(marks)
    for old, new in pairwise(runs):
        common = old.keys() & new.keys()
        if len(common) < 2:
            continue
        compared += 1
        for page in sorted(common):
            gone = np.setdiff1d(old[page], new[page])
            elsewhere = _joined(marks for other, marks in new.items() if other != page)
            was_elsewhere = _joined(marks for other, marks in old.items() if other != page)
            moved = np.setdiff1d(np.intersect1d(gone, elsewhere), was_elsewhere)
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


def _joined(pages: Iterable[Marks]) -> Marks:
    known = list(pages)
    return np.concatenate(known) if known else np.empty(0, np.int64)


def _counted(run: Mapping[str, Marks]) -> tuple[Marks, npt.NDArray[np.int64]]:
    """The marks of a run and on how many of its pages each is."""
    return np.unique(_joined(np.unique(marks) for marks in run.values()), return_counts=True)


@dataclass(frozen=True)
class RunState:
    """The items of a list as of a run.

    Attributes:
        hashes: Hash of each item by key.
        unseen: Keys of items that the last run did not show and may have missed, since a page of it failed.
    """

    hashes: Mapping[str, str] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()


@dataclass(frozen=True)
class RunDelta:
    """Keys of the items that differ between two runs, and the state after the second."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    state: RunState


def compare_runs(state: RunState, pages: Mapping[str, Mapping[str, str]], expected: Iterable[str]) -> RunDelta:
    """What a run changed in the list that its pages make up.

    An item is removed when no page of a complete run has it. A run without some of its pages removes nothing: what it
    does not show may be on a page that is missing, and stays in the list until a complete run decides.

    Args:
        state: The list before the run.
        pages: Hashes by key of the accepted pages, by target, in the order of the pages. Of an item on several pages
            the first counts, except that a copy with the hash of before is preferred.
        expected: The targets that the run has; those without a page failed or were held.
    """
    shown: dict[str, str] = {}
    for items in pages.values():
        for key, hash_ in items.items():
            if key not in shown or state.hashes.get(key) == hash_:
                shown[key] = hash_
    added = tuple(key for key in shown if key not in state.hashes)
    changed = tuple(key for key, hash_ in shown.items() if key in state.hashes and state.hashes[key] != hash_)
    absent = tuple(key for key in state.hashes if key not in shown)
    if set(expected) <= pages.keys():
        return RunDelta(added, absent, changed, RunState(shown))
    kept = {key: state.hashes[key] for key in absent}
    return RunDelta(added, (), changed, RunState({**shown, **kept}, frozenset(absent)))
