"""The `sync` job and its hourly schedule, which is off until you switch it on."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from meter_pipeline.defs.naming import Names


def build_sync_job(
    assets: Sequence[dg.AssetsDefinition], names: Names = Names()
) -> dg.unresolved_asset_job_definition.UnresolvedAssetJobDefinition:
    """Builds the job that loads and publishes in one process: a process per step would only cost seconds."""
    return dg.define_asset_job(
        names.qualify("sync"),
        selection=dg.AssetSelection.assets(*assets),
        description="Loads what is new at Meter and publishes the warehouse.",
        executor_def=dg.in_process_executor,
    )


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
