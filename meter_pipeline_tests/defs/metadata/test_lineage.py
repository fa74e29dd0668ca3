"""Column lineage: which columns of which assets a column is made of."""

from __future__ import annotations

import dagster as dg
import pytest

from meter_pipeline.defs.keys import (
    ITEM_CHANGES,
    ITEM_VERSIONS,
    ITEMS,
    JOB_COMPARISONS,
    JOBS,
    SCHEDULE_CHANGES,
    SCHEDULES,
)
from meter_pipeline.defs.metadata.columns import list_meter_columns
from meter_pipeline.defs.metadata.lineage import trace_synced
from meter_pipeline.defs.naming import Keys
from meter_pipeline_tests.defs.conftest import Pipeline, metadata

_ENTRY = "dagster/column_lineage"


@pytest.mark.parametrize(
    "key", [SCHEDULES, JOBS, ITEMS, SCHEDULE_CHANGES, JOB_COMPARISONS, ITEM_CHANGES, ITEM_VERSIONS], ids=str
)
def test_the_lineage_names_columns_that_there_are_on_both_ends(key: dg.AssetKey) -> None:
    deps = trace_synced(key, (), Keys())[_ENTRY].deps_by_column
    assert set(deps) <= {column.name for column in list_meter_columns(key.path[-1])}
    for sources in deps.values():
        for source in sources:
            assert source.column_name in {column.name for column in list_meter_columns(source.asset_key.path[-1])}


def test_every_column_of_the_results_comes_from_the_items(pipeline: Pipeline) -> None:
    facts = metadata(pipeline.run(), "results/lamps")
    deps = facts[_ENTRY].value.deps_by_column
    assert set(deps) == {column.name for column in facts["dagster/column_schema"].value.columns}
    assert deps["watt"] == [dg.TableColumnDep(ITEMS, "item")]
    assert deps["_meter_job_id"] == [dg.TableColumnDep(ITEMS, "job_id")]


def test_the_lineage_goes_by_the_keys_of_the_project() -> None:
    deps = trace_synced(ITEMS, (), Keys(("web",)))[_ENTRY].deps_by_column
    assert deps["job_id"] == [dg.TableColumnDep(dg.AssetKey(["web", "meter", "jobs"]), "job_id")]
