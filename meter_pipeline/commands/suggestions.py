"""Looks for rules that `meter.yaml` lacks or has in vain, for commands that otherwise read the ledger alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meter_pipeline.connect import open_lake

if TYPE_CHECKING:
    from meter_pipeline.config.settings import Settings
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.ledger.rows import StrategyRow


@dataclass(frozen=True)
class Suggestions:
    """What is found, each as a line with what to write, by slug.

    Attributes:
        noise: Fields that always change.
        wrappers: Items that wrap a list of items, and rules that name a list which no item has.
        unread: Why the lake could not be read, if it could not.
    """

    noise: Mapping[str, str] = field(default_factory=dict)
    wrappers: Mapping[str, str] = field(default_factory=dict)
    unread: str | None = None


def find_suggestions(
    settings: Settings, ledger: Ledger, strategies: Sequence[StrategyRow], strategy_id: str | None = None
) -> Suggestions:
    """Rules that strategies may need or change; the lake is opened only where the ledger makes one possible.

    Args:
        settings: Where the lake is.
        ledger: The ledger.
        strategies: The strategies.
        strategy_id: The strategy, where it is only one.
    """
    from meter_pipeline.store.errors import LakeError
    from meter_pipeline.sync.changes.noise import find_candidates, find_noise
    from meter_pipeline.sync.items.wrappers import find_lone_items, find_missing_lists, find_unmatched, find_wrappers

    busy, lone = find_candidates(ledger, strategy_id), find_lone_items(ledger, strategies)
    unmatched = find_unmatched(ledger, strategies)
    if not (busy or lone or unmatched):
        return Suggestions()
    try:
        with open_lake(settings) as lake:
            noise = find_noise(ledger, lake, strategies, busy)
            wrappers = find_wrappers(ledger, lake, lone) | find_missing_lists(ledger, lake, unmatched)
    except LakeError as error:
        return Suggestions(unread=f"fields that always change, and wrapped items, were not looked for: {error}")
    return Suggestions({slug: found.message for slug, found in noise.items()}, wrappers)
