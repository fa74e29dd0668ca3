"""A Dagster component: Meter's assets in a project of one's own, from a few lines of `defs.yaml`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg
from pydantic import Field

from meter_pipeline.defs import build_defs
from meter_pipeline.defs.naming import MeterTranslator
from meter_pipeline.settings import Settings


class Choices(dg.Model):
    """What `dg scaffold defs` may be given."""

    data_dir: str | None = Field(default=None, description="Folder of the data, relative to the project.")
    group: str | None = Field(default=None, description="One group for all assets.")
    owner: str | None = Field(default=None, description="Owner of all assets: team:name or an e-mail address.")


class MeterScaffolder(dg.Scaffolder[Choices]):
    """Writes a `defs.yaml` with what was given."""

    @classmethod
    def get_scaffold_params(cls) -> type[Choices]:
        """What may be given."""
        return Choices

    def scaffold(self, request: dg.ScaffoldRequest[Choices]) -> None:
        """Writes the file."""
        given = request.params or Choices()
        attributes = {
            "data_dir": given.data_dir,
            "group": given.group,
            "owners": [given.owner] if given.owner else None,
        }
        dg.scaffold_component(request, {name: value for name, value in attributes.items() if value is not None})


@dg.scaffold_with(MeterScaffolder)
class MeterComponent(dg.Component, dg.Model, dg.Resolvable):
    """Strategies, schedules, jobs, items, results, changes, models and the warehouse of a Meter account.

    Attributes:
        data_dir: Folder of the data; `METER_DATA_DIR` by default.
        group: One group for all assets, instead of one for each kind.
        owners: Owners of all assets.
        key_prefix: What the keys of all assets begin with.
        strategies: Names or slugs of strategies whose results assets are there before any sync.
    """

    data_dir: str | None = None
    group: str | None = None
    owners: list[str] | None = None
    key_prefix: list[str] = []
    strategies: list[str] = []

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions; secrets are read where a run needs them."""
        settings = Settings.from_env()
        if self.data_dir:
            folder = Path(self.data_dir).expanduser()
            settings = replace(settings, data_dir=folder if folder.is_absolute() else context.project_root / folder)
        translator = MeterTranslator(self.group, self.owners, self.key_prefix)
        return build_defs(settings, translator=translator, strategies=self.strategies)
