"""Checks of strategies that have no asset each: one check of `meter/items` stands for all that a run loaded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

import dagster as dg

from meter_pipeline.defs.keys import ITEMS, find_slug, make_results_key

_NAMED = 5
_ORDER = [dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR]


def unfold(selected: Iterable[dg.AssetCheckKey], slugs: Collection[str]) -> set[dg.AssetCheckKey]:
    """Returns the selected checks with those of `meter/items` repeated for each of these strategies."""
    checks = set(selected)
    names = [check.name for check in checks if check.asset_key == ITEMS]
    return checks | {dg.AssetCheckKey(make_results_key(slug), name) for slug in slugs for name in names}


def fold(
    results: Iterable[dg.AssetCheckResult], is_partition: Callable[[dg.AssetKey], bool]
) -> Iterator[dg.AssetCheckResult]:
    """Yields the results of assets as they are, then one result per check for all strategies without an asset.

    Args:
        results: Results of checks, those of `meter/items` for one strategy each.
        is_partition: Whether a key belongs to a strategy without an asset.
    """
    folded: dict[str, list[dg.AssetCheckResult]] = {}
    for result in results:
        if result.asset_key is not None and is_partition(result.asset_key):
            folded.setdefault(str(result.check_name), []).append(result)
        else:
            yield result
    for name, own in folded.items():
        failed = [result for result in own if not result.passed]
        named = "; ".join(f"{find_slug(result.asset_key or ITEMS)}: {result.description}" for result in failed[:_NAMED])
        more = f" and {len(failed) - _NAMED:,} more" if len(failed) > _NAMED else ""
        yield dg.AssetCheckResult(
            passed=not failed,
            asset_key=ITEMS,
            check_name=name,
            severity=max((result.severity for result in failed), key=_ORDER.index, default=dg.AssetCheckSeverity.WARN),
            description=f"{named}{more}" if failed else f"passed for all strategies with news: {len(own):,}",
            metadata={"strategies": len(own), "failed": len(failed)},
        )
