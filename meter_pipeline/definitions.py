"""The code location: what `dagster dev`, `dg` and a deployment load."""

from meter_pipeline.defs import build_defs
from meter_pipeline.settings import Settings

defs = build_defs(Settings.from_env())
