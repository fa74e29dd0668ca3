"""Column lineage for the UI: the columns that each column of an asset is computed from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.defs.keys import (
    ITEM_CHANGES,
    ITEM_VERSIONS,
    ITEMS,
    JOB_COMPARISONS,
    JOBS,
    SCHEDULE_CHANGES,
    SCHEDULES,
    STRATEGIES,
    find_slug,
)
from meter_pipeline.defs.naming import Keys

if TYPE_CHECKING:
    from meter_pipeline.defs.metadata.entries import Metadata
    from meter_pipeline.store.warehouse.lineage import Lineage

_OF_STRATEGY = {"strategy": (STRATEGIES, "slug"), "strategy_id": (STRATEGIES, "strategy_id")}
_OF_ITEM = (ITEMS, "item")
_COPIED = ("strategy", "job_id", "schedule_id", "url", "completed_at")
# Of the tables that a sync fills. Columns that come from Meter itself have no source.
_SYNCED: Mapping[dg.AssetKey, Mapping[str, tuple[dg.AssetKey, str]]] = {
    SCHEDULES: _OF_STRATEGY,
    JOBS: {**_OF_STRATEGY, "schedule_id": (SCHEDULES, "schedule_id")},
    ITEMS: {name: (JOBS, name) for name in _COPIED},
    SCHEDULE_CHANGES: {
        "schedule_id": (SCHEDULES, "schedule_id"),
        "strategy": (SCHEDULES, "strategy"),
        "job_id": (JOBS, "job_id"),
    },
    JOB_COMPARISONS: {"strategy": (JOBS, "strategy"), "job_id": (JOBS, "job_id"), "previous_job_id": (JOBS, "job_id")},
    ITEM_CHANGES: {
        **{name: (ITEMS, name) for name in ("strategy", "job_id", "schedule_id", "url")},
        "previous_job_id": (ITEMS, "job_id"),
        "target": (ITEMS, "url"),
        "observed_at": (ITEMS, "completed_at"),
        **dict.fromkeys(
            (
                "item_key",
                "kind",
                "field",
                "old_value",
                "new_value",
                "old_number",
                "new_number",
                "old_currency",
                "new_currency",
                "relative_change",
            ),
            _OF_ITEM,
        ),
    },
    ITEM_VERSIONS: {
        **{name: (ITEM_CHANGES, name) for name in ("strategy", "target", "url", "parameters", "item_key")},
        "first_job_id": (ITEM_CHANGES, "job_id"),
        "last_job_id": (ITEM_CHANGES, "previous_job_id"),
        "valid_from": (ITEM_CHANGES, "observed_at"),
        "valid_to": (ITEM_CHANGES, "observed_at"),
        "item": (ITEM_CHANGES, "new_value"),
    },
}
_RESULTS = {
    **{f"_meter_{name}": (ITEMS, name) for name in ("job_id", "schedule_id", "url", "item_index", "completed_at")},
    "_meter_item_key": _OF_ITEM,
    "_meter_item_hash": _OF_ITEM,
}
_ENTRY = "dagster/column_lineage"


def trace_synced(key: dg.AssetKey, columns: Iterable[dg.TableColumn], keys: Keys) -> Metadata:
    """Returns the lineage of an asset that a sync fills; empty if none of its columns has a source.

    Args:
        key: The asset.
        columns: Its columns.
        keys: Translates this package's asset keys to the project's.
    """
    # Each field of the results is a part of the item as received.
    fields = {column.name: _OF_ITEM for column in columns} if find_slug(key) else {}
    sources = {**fields, **(_RESULTS if find_slug(key) else _SYNCED.get(key, {}))}
    return _make_entry({column: [source] for column, source in sources.items()}, keys)


def trace_models(
    found: Lineage, models: Mapping[str, dg.AssetKey], sources: Mapping[str, dg.AssetKey], keys: Keys
) -> dict[dg.AssetKey, Metadata]:
    """Returns the lineage of each dbt model, by asset.

    Args:
        found: Column lineage by dbt's unique ids.
        models: Asset keys of the models by dbt's unique id.
        sources: Asset keys of the sources by dbt's unique id.
        keys: Translates this package's asset keys to the project's.
    """
    assets = {**sources, **models}
    entries: dict[dg.AssetKey, Metadata] = {}
    for unique_id, columns in found.items():
        if key := models.get(unique_id):
            columns_of = {
                column: [(assets[parent], name) for parent, name in parents if parent in assets]
                for column, parents in columns.items()
            }
            entries[key] = _make_entry(columns_of, keys)
    return entries


def _make_entry(sources: Mapping[str, list[tuple[dg.AssetKey, str]]], keys: Keys) -> Metadata:
    deps = {
        column: [dg.TableColumnDep(keys.add_prefix(key), name) for key, name in columns]
        for column, columns in sources.items()
        if columns
    }
    return {_ENTRY: dg.TableColumnLineage(deps)} if deps else {}
