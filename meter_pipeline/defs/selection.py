"""Which assets a run of the sensor selects.

Dagster records every selected asset and check with each run, and shows a check without a result as skipped. So a run
selects the strategies that it loads, that have changed, or that have problem jobs. The checks of all other strategies
keep their last result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.defs.assets.data_versions import compute_versions, read_seen_versions
from meter_pipeline.defs.checks.jobs import find_problem_jobs, find_troubled_slugs
from meter_pipeline.defs.keys import find_slug
from meter_pipeline.defs.naming import Keys

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.ledger import Ledger
    from meter_pipeline.store.ledger.rows import JobRow


def select_assets(
    instance: dg.DagsterInstance,
    ledger: Ledger,
    assets: Collection[dg.AssetKey],
    schedules: Collection[str],
    keys: Keys = Keys(),
) -> list[dg.AssetKey]:
    """Selects the assets of a run that loads some schedules.

    Args:
        instance: Has the data versions that Dagster has seen.
        ledger: The ledger before the run.
        assets: All assets of the job, as the project's keys.
        schedules: Ids of the schedules to load.
        keys: Translates between the project's asset keys and this package's.

    Returns:
        All assets but the results of strategies that are not loaded, have not changed and have no problem jobs.
    """
    own = {key: keys.remove_prefix(key) for key in assets}
    versions = compute_versions(ledger)
    seen = read_seen_versions(instance, versions.keys() & set(own.values()), keys)
    changed = [key for key, version in versions.items() if seen.get(key) != version]
    loaded = {row.strategy_id for row in ledger.schedules() if row.schedule_id in schedules}
    slugs = {row.strategy_id: row.slug for row in ledger.strategies()}
    wanted = {slugs[strategy_id] for strategy_id in loaded if strategy_id in slugs}
    wanted |= find_concerned(ledger, find_problem_jobs(ledger), slugs, changed)
    return [key for key in assets if (slug := find_slug(own[key])) is None or slug in wanted]


def find_concerned(
    ledger: Ledger, problems: Iterable[JobRow], slugs: dict[str, str], changed: Iterable[dg.AssetKey]
) -> set[str]:
    """Finds the strategies whose checks would not repeat their last result: with new data or problem jobs.

    Args:
        ledger: The ledger.
        problems: The jobs from `find_problem_jobs`.
        slugs: Slug by strategy id.
        changed: Assets with another data version than Dagster has seen.
    """
    concerned = find_troubled_slugs(problems, slugs) | {slug for key in changed if (slug := find_slug(key))}
    # A held job that is dropped changes no data, and is a problem no longer.
    return concerned | {count.slug for count in ledger.counts() if count.state == "dropped"}
