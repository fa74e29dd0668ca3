"""Check of a strategy's key: that there is one, and that it still tells items apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.defs.keys import find_slug
from meter_pipeline.defs.metadata.entries import list_rows

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.rows import StrategyRow

_NAME = "items_have_a_key"
# Maximum characters of a cell and of a field's name.
_CELL, _WORD = 120, 40


def make_specs(keys: Iterable[dg.AssetKey]) -> list[dg.AssetCheckSpec]:
    """Returns this check for each results asset."""
    description = (
        "The items have a key that identifies them from job to job: without one, every change shows as an item removed "
        "and another one added. Passes while too few jobs have been seen, and says so."
    )
    return [dg.AssetCheckSpec(_NAME, asset=key, description=description) for key in keys]


def evaluate(
    selected: Iterable[dg.AssetCheckKey], strategies: Mapping[str, StrategyRow]
) -> Iterator[dg.AssetCheckResult]:
    """Evaluates the selected checks on the item rules in the ledger.

    Args:
        selected: The checks to evaluate; those of other modules are ignored.
        strategies: By slug.
    """
    from meter_pipeline.sync.items.key_findings import find_trouble, spell_key
    from meter_pipeline.sync.items.keys import list_candidates
    from meter_pipeline.sync.items.rules import load

    for check in sorted(selected, key=lambda key: key.asset_key):
        strategy = strategies.get(find_slug(check.asset_key) or "")
        if check.name != _NAME or strategy is None:
            continue
        rules = load(strategy.identity)
        trouble = find_trouble(rules)
        key = spell_key(rules.key, by_page=rules.by_page)
        candidates = [
            (" + ".join(found.fields) or "the page", found.verdict, found.describe(), found.reason)
            for found in list_candidates(rules.search)
        ]
        yield dg.AssetCheckResult(
            passed=trouble is None or trouble.is_learning,
            asset_key=check.asset_key,
            check_name=check.name,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"items are identified by {key} ({rules.source})" if trouble is None else trouble.message,
            metadata={"candidates": list_rows(candidates, cell=_CELL, word=_WORD)} if candidates else {},
        )
