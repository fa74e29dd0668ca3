"""Downstream assets take tables of the lake by type annotation."""

from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from meter_pipeline_tests.defs.conftest import QUIET, Pipeline, failure


def _run(pipeline: Pipeline, asset: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    job = dg.define_asset_job("down", selection=dg.AssetSelection.assets(asset), executor_def=dg.in_process_executor)
    defs = dg.Definitions.merge(pipeline.defs(), dg.Definitions(assets=[asset], jobs=[job]))
    return defs.resolve_job_def("down").execute_in_process(
        instance=pipeline.instance, run_config=QUIET, raise_on_error=False
    )


def test_a_data_frame_and_an_arrow_table(pipeline: Pipeline) -> None:
    pipeline.sync()
    seen: dict[str, Any] = {}

    @dg.asset(ins={"books": dg.AssetIn(["results", "books"])})
    def frame(books: pd.DataFrame) -> None:
        seen["prices"] = sorted(books["price"])

    columns = {"columns": ["watt"]}

    @dg.asset(
        ins={"lamps": dg.AssetIn(["results", "lamps"], metadata=columns), "jobs": dg.AssetIn(["meter", "jobs"]),
             "items": dg.AssetIn(["meter", "items"])}
    )  # fmt: skip
    def table(lamps: pa.Table, jobs: pa.Table, items: pd.DataFrame) -> None:
        seen["lamps"], seen["states"] = lamps, set(jobs["state"].to_pylist())
        seen["items"] = items.groupby("strategy").size().to_dict()

    assert _run(pipeline, frame).success
    assert _run(pipeline, table).success
    assert seen["prices"] == [9, 9, 11, 12.5]
    assert seen["lamps"].to_pydict() == {"watt": [40, 40]}
    assert seen["states"] == {"accepted"}
    assert seen["items"] == {"books": 4, "lamps": 2}


def test_another_annotation_is_refused_in_one_line(pipeline: Pipeline) -> None:
    pipeline.sync()

    @dg.asset(ins={"books": dg.AssetIn(["results", "books"])})
    def wrong(books: dict) -> None: ...

    assert "annotate the input" in failure(_run(pipeline, wrong))
