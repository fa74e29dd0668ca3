"""A Dagster component: Meter's assets in a project of one's own, from a few lines of `defs.yaml`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg

from meter_pipeline.defs import build_defs
from meter_pipeline.defs.naming import MeterTranslator
from meter_pipeline.settings import Settings


class MeterComponent(dg.Component, dg.Model, dg.Resolvable):
    """Strategies, schedules, jobs, items, results, changes, models and the warehouse of a Meter account.

    Attributes:
        data_dir: Folder of the data; `METER_DATA_DIR` by default.
        group: One group for all assets, instead of one for each kind.
        owners: Owners of all assets.
    """

    data_dir: str | None = None
    group: str | None = None
    owners: list[str] | None = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions; secrets are read where a run needs them."""
        settings = Settings.from_env()
        if self.data_dir:
            folder = Path(self.data_dir).expanduser()
            settings = replace(settings, data_dir=folder if folder.is_absolute() else context.project_root / folder)
        return build_defs(settings, translator=MeterTranslator(self.group, self.owners))
