"""What Dagster shows: assets, checks, the job, its schedule and sensor, and the resources they use.

In: settings, the ledger as it is while definitions load, and the engine's reports. Out: `dagster.Definitions`. It may
touch Dagster; loading, storing and publishing are the engine's, and nothing below this room imports it.
"""

from meter_pipeline.defs.build import build_defs, build_meter_defs

__all__ = ["build_defs", "build_meter_defs"]
