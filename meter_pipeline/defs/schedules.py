"""The jobs `sync`, `load` and `publish_warehouse`, and the hourly schedule of `sync`, off at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.defs.naming import Names

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

SYNC, LOAD, PUBLISH = "sync", "load", "publish_warehouse"


def build_jobs(
    loaded: Sequence[dg.AssetsDefinition],
    published: Sequence[dg.AssetsDefinition],
    names: Names = Names(),
    publish_tags: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, UnresolvedAssetJobDefinition]:
    """Builds the jobs that load and publish, by name; each runs in one process, since another would only cost seconds.

    Args:
        loaded: The assets that a sync fills.
        published: The models and the warehouse.
        names: Names of the jobs in this code location.
        publish_tags: Tags of the job that only publishes.
    """
    parts = {
        SYNC: ([*loaded, *published], "Loads what is new at Meter, publishes the warehouse and delivers it."),
        LOAD: (loaded, "Loads what is new at Meter. The warehouse shows it after the next publication."),
        PUBLISH: (published, "Publishes the warehouse from what is loaded, and delivers it."),
    }
    return {
        name: dg.define_asset_job(
            names.qualify(name),
            selection=dg.AssetSelection.assets(*assets),
            description=description,
            executor_def=dg.in_process_executor,
            tags=dict(publish_tags) if name == PUBLISH else None,
        )
        for name, (assets, description) in parts.items()
    }


def build_hourly_schedule(job: object, names: Names = Names()) -> dg.ScheduleDefinition:
    """Builds the schedule that syncs at every full hour, UTC."""
    return dg.ScheduleDefinition(
        name=names.qualify("hourly_sync"),
        job=job,
        cron_schedule="0 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Syncs at every full hour (UTC). Off until you switch it on.",
    )
