"""Keys of the assets and names of the resources; no other module spells them."""

from __future__ import annotations

import dagster as dg

from meter_pipeline.text.asset_names import parse_slug, spell_slug

STRATEGIES = dg.AssetKey(["meter", "strategies"])
SCHEDULES = dg.AssetKey(["meter", "schedules"])
JOBS = dg.AssetKey(["meter", "jobs"])
ITEMS = dg.AssetKey(["meter", "items"])
SCHEDULE_CHANGES = dg.AssetKey(["meter", "schedule_changes"])
ITEM_CHANGES = dg.AssetKey(["meter", "item_changes"])
ITEM_VERSIONS = dg.AssetKey(["meter", "item_versions"])
# Results of the strategies that have no asset each, when there are many: a partition for each of them.
OTHER_RESULTS = dg.AssetKey(["meter", "results"])
JOB_COMPARISONS = dg.AssetKey(["meter", "job_comparisons"])
WAREHOUSE = dg.AssetKey(["warehouse"])

METER_RESOURCE = "meter"
STORE_RESOURCE = "meter_store"
LAKE_IO_MANAGER = "meter_lake"
# The step that syncs, and the pool of the steps that call the API.
SYNC_STEP = "meter_sync"
POOL = "meter"


def make_results_key(slug: str) -> dg.AssetKey:
    """Returns the asset key of a strategy's typed results."""
    return dg.AssetKey(["results", spell_slug(slug)])


def make_delivery_key(target: str) -> dg.AssetKey:
    """Returns the asset key of the warehouse in a target of `deliver`."""
    return dg.AssetKey(["deliveries", target])


def find_slug(key: dg.AssetKey) -> str | None:
    """Returns the slug of the strategy that a results asset belongs to; `None` for any other asset."""
    return parse_slug(key.path[1]) if len(key.path) == 2 and key.path[0] == "results" else None
