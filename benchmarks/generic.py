"""The competitor: dlt's ``rest_api`` source loading the same API into DuckDB.

Run as ``python -m benchmarks.generic URL FOLDER`` it is set up as dlt's documentation does, with dlt's defaults:
objects within an item become typed columns, lists become child tables. With ``--tuned`` at the end it is set up as
someone would who knows dlt well and does without types within items; `SETTINGS` says what then differs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

API_KEY = "sk_live_bench"
DATASET = "meter"

# Bodies fetched in parallel, big write buffers, uncompressed intermediate files, and these small enough that both cores
# have some to normalise.
SETTINGS = {
    "EXTRACT__WORKERS": "8",
    "EXTRACT__MAX_PARALLEL_ITEMS": "40",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "20000",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "EXTRACT__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": "50000",
    "NORMALIZE__WORKERS": "2",
    "LOAD__WORKERS": "4",
}
LOADER_FILE_FORMAT = "parquet"


def configuration(url: str, *, tuned: bool) -> dict[str, Any]:
    """The declarative source: strategies, schedules, jobs, and the items of each job as a dependent resource.

    Jobs are incremental (``since``), so a second load asks for new ones only. Items are appended, which is dlt's
    cheapest disposition, and right as long as each job is fetched once. `tuned`: objects and lists within an item stay
    one JSON column instead of becoming columns and child tables, which would double the rows.
    """
    cheaper = {"parallelized": True, "max_table_nesting": 0} if tuned else {}
    by_offset = {"type": "offset", "limit": 100, "total_path": None, "stop_after_empty_page": True}
    return {
        "client": {"base_url": f"{url}/api/", "auth": {"type": "bearer", "token": API_KEY}},
        "resources": [
            {
                "name": "strategies",
                "primary_key": "strategy_id",
                "write_disposition": "merge",
                "endpoint": {"path": "strategies", "paginator": dict(by_offset)},
            },
            {
                "name": "schedules",
                "primary_key": "schedule_id",
                "write_disposition": "merge",
                "endpoint": {"path": "schedules", "paginator": "single_page"},
            },
            {
                "name": "jobs",
                "primary_key": "id",
                "write_disposition": "merge",
                "endpoint": {
                    "path": "jobs",
                    "paginator": dict(by_offset),
                    "incremental": {
                        "cursor_path": "created_at",
                        "start_param": "since",
                        "initial_value": "2000-01-01T00:00:00Z",
                    },
                },
            },
            {
                "name": "items",
                "write_disposition": "append",
                **cheaper,
                "include_from_parent": ["id", "strategy_id", "completed_at"],
                "endpoint": {
                    "path": "jobs/{resources.jobs.id}",
                    "data_selector": "results",
                    "paginator": "single_page",
                },
            },
        ],
    }


def load(url: str, folder: Path, *, tuned: bool) -> None:
    """Runs the pipeline once, in a folder that keeps its state and its ``generic.duckdb``."""
    folder.mkdir(parents=True, exist_ok=True)
    if tuned:
        os.environ.update(SETTINGS)
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"
    os.environ["DLT_DATA_DIR"] = str(folder / "home")
    import dlt
    from dlt.sources.rest_api import rest_api_source

    pipeline = dlt.pipeline(
        "generic",
        destination=dlt.destinations.duckdb(str(folder / "generic.duckdb")),
        dataset_name=DATASET,
        pipelines_dir=str(folder / "pipelines"),
    )
    source = rest_api_source(configuration(url, tuned=tuned))
    pipeline.run(source, loader_file_format=LOADER_FILE_FORMAT if tuned else None)
    for step in pipeline.last_trace.steps:
        print(f"{step.step} {(step.finished_at - step.started_at).total_seconds():.1f} s")


if __name__ == "__main__":
    load(sys.argv[1], Path(sys.argv[2]), tuned="--tuned" in sys.argv)
