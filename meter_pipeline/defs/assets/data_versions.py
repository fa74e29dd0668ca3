"""Data versions of the assets, which decide what a run materialises: an asset whose version is unchanged is skipped.

A data version is a function of the ledger. It is compared with that of the asset's latest materialisation, not with
what this run has done: so data that the command line loaded, or a run before it died, is materialised too.
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
    find_slug,
    make_results_key,
)
from meter_pipeline.defs.naming import Keys

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.ledger.rows import StrategyRow

VERSION_TAG = "dagster/data_version"


@dataclass(frozen=True)
class Tally:
    """Counts of a strategy's jobs and items: in all states, and accepted."""

    jobs: int = 0
    items: int = 0
    accepted_jobs: int = 0
    accepted_items: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Adds the counts."""
        return Tally(
            self.jobs + other.jobs,
            self.items + other.items,
            self.accepted_jobs + other.accepted_jobs,
            self.accepted_items + other.accepted_items,
        )


def count_by_strategy(ledger: Ledger) -> dict[str, Tally]:
    """Counts jobs and items per strategy, by slug."""
    found: dict[str, Tally] = defaultdict(Tally)
    for count in ledger.counts():
        accepted = count.state == "accepted"
        found[count.slug] += Tally(
            count.jobs, count.items, count.jobs if accepted else 0, count.items if accepted else 0
        )
    return dict(found)


def compute_versions(ledger: Ledger) -> dict[dg.AssetKey, str]:
    """Computes the data version of every asset that has data."""
    from meter_pipeline.store.ledger.change_sets import Unseen

    counts = ledger.counts()
    strategies, schedules = ledger.strategies(), ledger.schedules()
    found = {
        STRATEGIES: _digest((s.strategy_id, s.slug, s.name, s.url, s.updated_at, s.deleted_at) for s in strategies),
        # Without the time of the last run: it is no change of the schedule.
        SCHEDULES: _digest(
            (s.schedule_id, s.url, s.interval_seconds, s.cron_expression, s.enabled, s.deleted_at) for s in schedules
        ),
        JOBS: _digest((count.slug, count.state, count.jobs) for count in counts),
        ITEMS: _digest((count.slug, count.state, count.items) for count in counts if count.items),
    }
    changes = Unseen(ledger).counts()
    if changes.noted:
        found[SCHEDULE_CHANGES] = f"{changes.noted}-{changes.acknowledged}"
    changed = ledger.last_changes("results")
    identities = {strategy.slug: _identity(strategy) for strategy in strategies}
    # Counts alone would not tell a job that was held from another that was released.
    revisions = {strategy.slug: changed.get(strategy.strategy_id, 0) for strategy in strategies}
    for slug, tally in count_by_strategy(ledger).items():
        if tally.accepted_jobs:
            found[make_results_key(slug)] = (
                f"{tally.accepted_jobs}-{tally.accepted_items}-{revisions[slug]}{identities[slug]}"
            )
    accepted = [(key.path[-1], version) for key, version in found.items() if find_slug(key)]
    if accepted:
        # Both tables are functions of the set of accepted jobs.
        found[ITEM_CHANGES] = found[ITEM_VERSIONS] = _digest(accepted)
    return found


def _identity(strategy: StrategyRow) -> str:
    """Returns the version suffix that changes when rows are rebuilt under other item rules."""
    from meter_pipeline.sync.items.rules import NONE, load

    rules = load(strategy.identity)
    return f"-{_digest([rules.rules])}" if rules.source != NONE or rules.ignore else ""


def _digest(rows: Iterable[tuple[object, ...]]) -> str:
    digest = hashlib.sha256()
    for row in sorted(map(repr, rows)):
        digest.update(row.encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def read_seen_versions(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], keys: Keys = Keys()
) -> Mapping[dg.AssetKey, str | None]:
    """Reads the data version of each asset's latest materialisation; assets without one are absent."""
    found: dict[dg.AssetKey, str | None] = {}
    for record in instance.get_asset_records([keys.add_prefix(key) for key in assets]):
        entry = record.asset_entry.last_materialization
        if entry is not None and entry.asset_materialization is not None:
            found[keys.remove_prefix(record.asset_entry.asset_key)] = (entry.asset_materialization.tags or {}).get(
                VERSION_TAG
            )
    return found
