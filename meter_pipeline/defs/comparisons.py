"""The asset `meter/job_comparisons`: Meter's own verdict on consecutive jobs, and where it is not ours."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from meter_pipeline.defs.assets import OWNERS
from meter_pipeline.defs.columns import meter_columns
from meter_pipeline.defs.failures import told_in_one_line
from meter_pipeline.defs.keys import JOB_COMPARISONS, JOBS, METER_RESOURCE, POOL, STORE_RESOURCE
from meter_pipeline.defs.lineage import of_synced
from meter_pipeline.defs.metadata import entries, present, table
from meter_pipeline.defs.naming import Keys, Names
from meter_pipeline.defs.provenance import note
from meter_pipeline.defs.resources import MeterResource, StoreResource

_NAMED = 20
_ID = 36


class CompareConfig(dg.Config):
    """How much to ask for."""

    limit: int = Field(default=100, ge=0, description="Most pairs of jobs, each of them a request.")


def job_comparisons(keys: Keys = Keys(), names: Names = Names()) -> dg.AssetsDefinition:
    """The asset.

    Args:
        keys: What the project calls the assets when the step runs.
        names: The instance's names of the step, its pool and its resources.
    """
    meter_key, store_key = names.shown(METER_RESOURCE), names.shown(STORE_RESOURCE)

    @dg.multi_asset(
        name=names.shown("meter_compare"),
        description="Asks Meter to compare new jobs with the ones before them.",
        specs=[
            dg.AssetSpec(
                JOB_COMPARISONS,
                deps=[JOBS],
                description="Meter's own comparison of consecutive accepted jobs of a page (content hash, structure, "
                "likeness), and whether it agrees with what we find in their items. The newest pairs come first.",
                group_name="meter",
                kinds={"meter", "sqlite"},
                owners=OWNERS,
                skippable=True,
                metadata={"dagster/table_name": "meter.job_comparisons"},
            )
        ],
        pool=names.shown(POOL),
        required_resource_keys={meter_key, store_key},
    )
    def meter_compare(context: dg.AssetExecutionContext, config: CompareConfig) -> Iterator[Any]:
        """Compares what was not compared yet; without anything new the asset is skipped."""
        meter: MeterResource = getattr(context.resources, meter_key)
        meter_store: StoreResource = getattr(context.resources, store_key)
        with told_in_one_line(context.log):
            from meter_pipeline.store.ledger.comparisons import Verdicts
            from meter_pipeline.sync.comparisons import compare

            spool = meter_store.settings().spool
            with meter_store.open() as store, meter.client(store.ledger, spool_folder=spool) as client:
                report = compare(client, store.ledger, store.lake, limit=config.limit)
                latest = Verdicts(store.ledger).disagreements(_NAMED)
                rows = len(store.ledger.rows("job_comparisons"))
                slugs = {row.strategy_id: row.slug for row in store.ledger.strategies()}
        for problem in report.problems:
            context.log.warning(problem)
        if report.stopped:
            context.log.warning(f"ended early: {report.stopped}")
        if not report.compared and not report.refused:
            return
        disagreements = [
            (
                slugs.get(row.strategy_id),
                row.job_id,
                ("after", row.previous_job_id),
                ("Meter says", "the same" if row.content_hash_match else "changed"),
            )
            for row in latest
        ]
        yield dg.MaterializeResult(
            keys.shown(JOB_COMPARISONS),
            metadata=present(
                {
                    **note(meter_store.settings().data_dir),
                    **table("meter.job_comparisons", rows=rows, columns=meter_columns("job_comparisons")),
                    **of_synced(JOB_COMPARISONS, (), keys),
                    "compared": report.compared,
                    "agreed": report.agreed,
                    "disagreed": len(report.disagreements),
                    "cannot be compared": report.refused,
                    "left for the next run": report.left,
                    "disagreements": entries(disagreements, cell=_ID, word=_ID) if disagreements else None,
                }
            ),
        )

    return meter_compare
