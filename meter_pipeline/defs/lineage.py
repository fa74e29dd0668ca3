"""Column lineage as the UI draws it: which columns of which assets a column is made of, where that is known."""

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
    slug_of,
)
from meter_pipeline.defs.naming import Keys

if TYPE_CHECKING:
    from meter_pipeline.defs.metadata import Metadata
    from meter_pipeline.defs.models import ModelSpecs
    from meter_pipeline.store.warehouse.lineage import Lineage

_OF_STRATEGY = {"strategy": (STRATEGIES, "slug"), "strategy_id": (STRATEGIES, "strategy_id")}
_OF_ITEM = (ITEMS, "item")
_COPIED = ("strategy", "job_id", "schedule_id", "url", "completed_at")
# Of the tables that a sync fills; what Meter itself said is made of no other column.
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
        "observed_at": (ITEMS, "completed_at"),
        **dict.fromkeys(
            ("item_key", "kind", "field", "old_value", "new_value", "old_number", "new_number", "relative_change"),
            _OF_ITEM,
        ),
    },
    ITEM_VERSIONS: {
        **{name: (ITEM_CHANGES, name) for name in ("strategy", "url", "parameters", "item_key")},
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


def of_synced(key: dg.AssetKey, columns: Iterable[dg.TableColumn], keys: Keys) -> Metadata:
    """The lineage of an asset that a sync fills; nothing where none of its columns is made of another.

    Args:
        key: The asset.
        columns: Its columns.
        keys: What the project calls the assets.
    """
    # A field of the results is a part of the item that it came in.
    fields = {column.name: _OF_ITEM for column in columns} if slug_of(key) else {}
    made_of = {**fields, **(_RESULTS if slug_of(key) else _SYNCED.get(key, {}))}
    return _entry({column: [source] for column, source in made_of.items()}, keys)


def of_models(found: Lineage, models: ModelSpecs, keys: Keys) -> dict[dg.AssetKey, Metadata]:
    """The lineage of each model by its asset.

    Args:
        found: By dbt's unique ids.
        models: The assets of the models and of their sources.
        keys: What the project calls the assets.
    """
    assets = {**models.sources, **models.keys}
    entries: dict[dg.AssetKey, Metadata] = {}
    for unique_id, columns in found.items():
        if key := models.keys.get(unique_id):
            made_of = {
                column: [(assets[parent], name) for parent, name in parents if parent in assets]
                for column, parents in columns.items()
            }
            entries[key] = _entry(made_of, keys)
    return entries


def _entry(made_of: Mapping[str, list[tuple[dg.AssetKey, str]]], keys: Keys) -> Metadata:
    deps = {
        column: [dg.TableColumnDep(keys.shown(key), name) for key, name in sources]
        for column, sources in made_of.items()
        if sources
    }
    return {_ENTRY: dg.TableColumnLineage(deps)} if deps else {}
