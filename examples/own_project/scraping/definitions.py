"""The code location: loads everything below `defs/`."""

from pathlib import Path

import dagster as dg

from meter_pipeline import merge_meter_defs


@dg.definitions
def defs() -> dg.Definitions:
    return merge_meter_defs(dg.load_from_defs_folder(path_within_project=Path(__file__).parent))
