"""What has changed since Dagster last saw it: an asset without news is skipped, so that nothing downstream wakes up.

Every asset's data version is a function of the ledger. It is compared with the version of the asset's latest
materialisation, not with what this run has done: data that the command line loaded, or that a run loaded before it
died, is news to Dagster too.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.defs.keys import (
    ITEM_CHANGES,
    ITEM_VERSIONS,
    ITEMS,
    JOBS,
    SCHEDULE_CHANGES,
    SCHEDULES,
    STRATEGIES,
    results_key,
    slug_of,
)
from meter_pipeline.defs.naming import Keys

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.ledger.rows import StrategyRow

VERSION_TAG = "dagster/data_version"


@dataclass(frozen=True)
class Tally:
    """Jobs and items of one strategy, in all states and accepted."""

    jobs: int = 0
    items: int = 0
    accepted_jobs: int = 0
    accepted_items: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.jobs + other.jobs,
            self.items + other.items,
            self.accepted_jobs + other.accepted_jobs,
            self.accepted_items + other.accepted_items,
        )


def tallies(ledger: Ledger) -> dict[str, Tally]:
    """Jobs and items by slug."""
    found: dict[str, Tally] = defaultdict(Tally)
    for one in ledger.counts():
        accepted = one.state == "accepted"
        found[one.slug] += Tally(one.jobs, one.items, one.jobs if accepted else 0, one.items if accepted else 0)
    return dict(found)


def versions(ledger: Ledger) -> dict[dg.AssetKey, str]:
    """The data version of every asset that has data."""
    from meter_pipeline.store.ledger.change_sets import Unseen

    counts = ledger.counts()
    strategies, schedules = ledger.strategies(), ledger.schedules()
    found = {
        STRATEGIES: _digest((s.strategy_id, s.slug, s.name, s.url, s.updated_at, s.deleted_at) for s in strategies),
        # When a schedule ran last is no news about the schedule.
        SCHEDULES: _digest(
            (s.schedule_id, s.url, s.interval_seconds, s.cron_expression, s.enabled, s.deleted_at) for s in schedules
        ),
        JOBS: _digest((one.slug, one.state, one.jobs) for one in counts),
        ITEMS: _digest((one.slug, one.state, one.items) for one in counts if one.items),
    }
    changes = Unseen(ledger).counts()
    if changes.noted:
        found[SCHEDULE_CHANGES] = f"{changes.noted}-{changes.acknowledged}"
    identities = {strategy.slug: _identity(strategy) for strategy in strategies}
    for slug, tally in tallies(ledger).items():
        if tally.accepted_jobs:
            found[results_key(slug)] = f"{tally.accepted_jobs}-{tally.accepted_items}{identities[slug]}"
    accepted = [(key.path[-1], version) for key, version in found.items() if slug_of(key)]
    if accepted:
        # Both follow from the set of accepted jobs.
        found[ITEM_CHANGES] = found[ITEM_VERSIONS] = _digest(accepted)
    return found


def _identity(strategy: StrategyRow) -> str:
    """What rows made anew under another key are news by."""
    from meter_pipeline.sync.items.rules import NONE, load

    chosen = load(strategy.identity)
    return f"-{_digest([chosen.rules])}" if chosen.source != NONE or chosen.ignore else ""


def _digest(rows: Iterable[tuple[object, ...]]) -> str:
    digest = hashlib.sha256()
    for row in sorted(map(repr, rows)):
        digest.update(row.encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def seen(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], keys: Keys = Keys()
) -> Mapping[dg.AssetKey, str | None]:
    """The data version of each asset's latest materialisation; a key that was never materialised is absent."""
    found: dict[dg.AssetKey, str | None] = {}
    for record in instance.get_asset_records([keys.shown(key) for key in assets]):
        entry = record.asset_entry.last_materialization
        if entry is not None and entry.asset_materialization is not None:
            found[keys.own(record.asset_entry.asset_key)] = (entry.asset_materialization.tags or {}).get(VERSION_TAG)
    return found
