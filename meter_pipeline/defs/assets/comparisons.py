"""The asset `meter/job_comparisons`: Meter's comparison of consecutive jobs, and where ours disagrees."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from meter_pipeline.defs.assets.sync import OWNERS
from meter_pipeline.defs.failures import fail_in_one_line
from meter_pipeline.defs.keys import JOB_COMPARISONS, JOBS, METER_RESOURCE, POOL, STORE_RESOURCE
from meter_pipeline.defs.metadata.columns import list_meter_columns
from meter_pipeline.defs.metadata.entries import describe_table, drop_empty, list_rows
from meter_pipeline.defs.metadata.lineage import trace_synced
from meter_pipeline.defs.metadata.origin import describe_origin
from meter_pipeline.defs.naming import Keys, Names
from meter_pipeline.defs.resources import MeterResource, StoreResource

_NAMED = 20
_ID = 36


class CompareConfig(dg.Config):
    """How many pairs of jobs a run compares."""

    limit: int = Field(default=100, ge=0, description="Maximum pairs of jobs to compare; each pair is one request.")


def build_comparison_asset(keys: Keys = Keys(), names: Names = Names()) -> dg.AssetsDefinition:
    """Builds the asset.

    Args:
        keys: Translates between the project's asset keys and this package's.
        names: Names of the step, its pool and its resources in this code location.
    """
    meter_key, store_key = names.qualify(METER_RESOURCE), names.qualify(STORE_RESOURCE)

    @dg.multi_asset(
        name=names.qualify("meter_compare"),
        description="Asks Meter to compare each new job with its predecessor.",
        specs=[
            dg.AssetSpec(
                JOB_COMPARISONS,
                deps=[JOBS],
                description="Meter's comparison of consecutive accepted jobs of a page (content hash, structure, "
                "similarity), and whether it agrees with the changes found in their items. Newest pairs first.",
                group_name="meter",
                kinds={"meter", "sqlite"},
                owners=OWNERS,
                skippable=True,
                metadata={"dagster/table_name": "meter.job_comparisons"},
            )
        ],
        pool=names.qualify(POOL),
        required_resource_keys={meter_key, store_key},
    )
    def meter_compare(context: dg.AssetExecutionContext, config: CompareConfig) -> Iterator[Any]:
        """Compares the pairs that were not compared yet; skips the asset if there are none."""
        meter: MeterResource = getattr(context.resources, meter_key)
        meter_store: StoreResource = getattr(context.resources, store_key)
        with fail_in_one_line(context.log):
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
            context.log.warning(f"the comparison stopped early: {report.stopped}")
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
            keys.add_prefix(JOB_COMPARISONS),
            metadata=drop_empty(
                {
                    **describe_origin(meter_store.settings().data_dir),
                    **describe_table("meter.job_comparisons", rows=rows, columns=list_meter_columns("job_comparisons")),
                    **trace_synced(JOB_COMPARISONS, (), keys),
                    "compared": report.compared,
                    "agreed": report.agreed,
                    "disagreed": len(report.disagreements),
                    "cannot be compared": report.refused,
                    "left for the next run": report.left,
                    "disagreements": list_rows(disagreements, cell=_ID, word=_ID) if disagreements else None,
                }
            ),
        )

    return meter_compare
