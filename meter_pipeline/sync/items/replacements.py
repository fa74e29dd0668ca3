"""Tells whether another item stands under a value than before: its other fields differ all at once."""

from __future__ import annotations

import numpy as np

from meter_pipeline.sync.items.chance import tail
from meter_pipeline.sync.items.coding import Mask, Numbers
from meter_pipeline.sync.items.comparisons import thin_each

# Fields of an item that tell by differing all at once that another item is in its place, and what counts as chance.
_FEW_REPLACED, _CHANCE = 2, 0.05
# The same for items that seem different ones: asked of each candidate, and a key falls by one of them.
_CHANCE_OTHER = 0.01
# The odds against two items being the same from which they count as different ones, by their texts and by all fields:
# the same item would seem another one in less than 2 % of cases.
_OTHER_WORDS, _OTHER = 1.0, 4.0
# How often the changes of each field are dealt to other pairs at random, to see how many pairs have several by chance.
_DRAWS = 8
# Of more pairs than these, some are drawn from.
_MOST_DRAWN = 256


def measure_replaced(equal: Mask, words: Mask, repeat: Mask) -> float:
    """Share of the pairs in which all that tells differs at once, where single changes do not explain that.

    Args:
        equal: For each pair of items with the same value, and each of the other fields, whether they agree.
        words: Which of these fields hold words.
        repeat: Which of them have values that several items have.
    """
    differing = (~equal).sum(axis=0)
    telling = (differing > 0) | repeat
    if np.count_nonzero(telling) < _FEW_REPLACED or not words[telling].any():
        return 0.0
    explained = float(np.prod((differing[telling] + 0.5) / (len(equal) + 1))) * len(equal)
    found = int((~equal[:, telling]).all(axis=1).sum())
    return found / len(equal) if found and tail(found, explained) < _CHANCE else 0.0


def count_others(equal: Mask, words: Mask, weights: tuple[Numbers, Numbers]) -> int:
    """Number of the pairs that are different items, beyond those that several changes at once explain.

    Args:
        equal: For each pair of items with the same value, and each of the other fields, whether they agree.
        words: Which of these fields hold words.
        weights: What each field says for two items being the same if it agrees, and if it does not.
    """
    replaced = _find_others(equal, words, weights)
    count, same = int(replaced.sum()), equal[~replaced]
    if not count or not len(same):
        return count
    # Among items that stayed the same each field changes as often, but in other pairs than it did: what several
    # changes at once are by chance.
    drawn = _draw(same)
    kept = equal[equal[:, words].all(axis=1)]
    if words.any() and not words.all() and len(kept):
        # Where a number moves most of the time, a text is mostly rewritten when the number moves, too. So the rate of
        # the number is taken from pairs whose texts stayed, and that of the texts from all pairs.
        by_itself = np.where(words, _draw(equal), _draw(kept))
        drawn = max(drawn, by_itself, key=lambda pairs: int(_find_others(pairs, words, weights).sum()))
    explained = float(_find_others(drawn, words, weights).mean()) * len(equal)
    return max(count - round(explained), 0) if tail(count, explained) < _CHANCE_OTHER else 0


def _draw(equal: Mask) -> Mask:
    """Pairs of which each field agrees as often as in the given ones, but in others."""
    equal = equal[thin_each(np.zeros(len(equal), np.int64), _MOST_DRAWN)]
    rows, shifts = np.arange(_DRAWS * _MOST_DRAWN)[:, None], np.arange(equal.shape[1])
    draws = 1 + rows // _MOST_DRAWN
    return equal[(rows + draws * shifts) % len(equal), shifts]


def _find_others(equal: Mask, words: Mask, weights: tuple[Numbers, Numbers]) -> Mask:
    """Which pairs their other fields tell to be different items."""
    agree, differ = weights
    # A number that moves tells for an item by what it keeps; against it only together with much else.
    by_words = np.where(equal, agree, np.where(words, differ, 0.0)).sum(axis=1)
    by_all = np.where(equal, agree, differ).sum(axis=1)
    is_other = (by_words <= -_OTHER_WORDS) | (by_all <= -_OTHER)
    return np.asarray(is_other & ((~equal).sum(axis=1) >= _FEW_REPLACED))
