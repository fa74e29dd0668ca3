"""The `sync` job and the hour's schedule of it, off until somebody switches it on."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from meter_pipeline.defs.naming import Names


def sync_job(
    assets: Sequence[dg.AssetsDefinition], names: Names = Names()
) -> dg.unresolved_asset_job_definition.UnresolvedAssetJobDefinition:
    """Everything in one run and one process: a process for each step would cost seconds and gain nothing."""
    return dg.define_asset_job(
        names.shown("sync"),
        selection=dg.AssetSelection.assets(*assets),
        description="Loads what is new at Meter and publishes the warehouse.",
        executor_def=dg.in_process_executor,
    )


def hourly(job: object, names: Names = Names()) -> dg.ScheduleDefinition:
    """The sync at every full hour, UTC."""
    return dg.ScheduleDefinition(
        name=names.shown("hourly_sync"),
        job=job,
        cron_schedule="0 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Syncs at every full hour; switch it on to start.",
    )
