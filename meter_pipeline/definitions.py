"""The code location that `dagster dev`, `dg` and deployments load."""

from meter_pipeline.config.settings import Settings
from meter_pipeline.defs import build_defs

defs = build_defs(Settings.from_env())
