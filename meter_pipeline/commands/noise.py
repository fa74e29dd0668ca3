"""Looks for noise in the change feed on behalf of commands that otherwise read the ledger alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from meter_pipeline.connect import open_lake

if TYPE_CHECKING:
    from meter_pipeline.config.settings import Settings
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.ledger.rows import StrategyRow


def describe_noise(
    settings: Settings, ledger: Ledger, strategies: Iterable[StrategyRow], strategy_id: str | None = None
) -> tuple[dict[str, str], str | None]:
    """Says by slug what is noise in strategies, and why this could not be read, if it could not.

    The lake is opened only where the ledger's counts make noise possible.

    Args:
        settings: Where the lake is.
        ledger: The ledger.
        strategies: The strategies.
        strategy_id: The strategy, where it is only one.
    """
    from meter_pipeline.store.errors import LakeError
    from meter_pipeline.sync.changes.noise import find_candidates, find_noise

    busy = find_candidates(ledger, strategy_id)
    if not busy:
        return {}, None
    try:
        with open_lake(settings) as lake:
            found = find_noise(ledger, lake, strategies, busy)
    except LakeError as error:
        return {}, f"fields that always change were not looked for: {error}"
    return {slug: noise.message for slug, noise in found.items()}, None
