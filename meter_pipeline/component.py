"""A Dagster component: Meter's assets in a project of one's own, from a few lines of `defs.yaml`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import dagster as dg
from dagster.components.resolved.errors import ResolutionException
from pydantic import ConfigDict, Field

from meter_pipeline.config.settings import Settings
from meter_pipeline.defs import build_defs
from meter_pipeline.defs.account import Account
from meter_pipeline.defs.naming import MeterTranslator

# As Dagster's own templates name a variable.
_ENV = re.compile(r"""\{\{\s*env(?:\.(\w+)|\(\s*["'](\w+)["']\s*\))\s*\}\}""")


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


def _api_key(context: dg.ResolutionContext, text: str | None) -> dg.EnvVar | None:
    """The variable that `{{ env.NAME }}` names; its value is read where a run needs it.

    Raises:
        ResolutionException: The text is something else: a key would be part of the definitions.
    """
    variable = _named(text)
    if text is None or variable is not None:
        return variable
    raise ResolutionException("api_key must name a variable, not hold the key: write {{ env.SHOP_METER_API_KEY }}")


def _url(context: dg.ResolutionContext, text: str | None) -> str | dg.EnvVar | None:
    """A URL or path, or the variable that `{{ env.NAME }}` names."""
    variable = _named(text)
    return variable if text is None or variable is not None else context.resolve_value(text, as_type=str)


def _named(text: str | None) -> dg.EnvVar | None:
    found = _ENV.fullmatch(text.strip()) if text is not None else None
    return dg.EnvVar(found[1] or found[2]) if found else None


@dg.scaffold_with(MeterScaffolder)
class MeterComponent(dg.Component, dg.Model, dg.Resolvable):
    """Strategies, schedules, jobs, items, results, changes, models and the warehouse of a Meter account.

    With several of them in a project, each has a `key_prefix` and a `data_dir` of its own; one that has an `api_key` of
    its own keeps the ledger and the lake in its data folder unless it is given theirs, too.

    Attributes:
        data_dir: Folder of the data; `METER_DATA_DIR` by default.
        group: One group for all assets, instead of one for each kind.
        owners: Owners of all assets.
        key_prefix: What the keys of all assets begin with.
        strategies: Names or slugs of strategies whose results assets are there before any sync.
        name: What the names of the job, schedule, sensor, resources and pool end in; the prefix by default.
        api_key: `{{ env.NAME }}`, the variable that holds the key; `METER_API_KEY` by default.
        base_url: Where the API is; `METER_BASE_URL` by default.
        api_prefix: auto, /v1 or /api; `METER_API_PREFIX` by default.
        ledger_url: URL or path of the ledger; `METER_LEDGER_URL`, or a file in the data folder.
        lake_url: URL or path of the lake; `METER_LAKE_URL`, or a folder in the data folder.
        config: Path of `meter.yaml`; `METER_CONFIG` by default.
        dbt_project: Folder of the dbt project, or `none`; `METER_DBT_PROJECT` by default.
    """

    # A value that is refused is not repeated: it may be a key.
    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    data_dir: str | None = None
    group: str | None = None
    owners: list[str] | None = None
    key_prefix: list[str] = []
    strategies: list[str] = []
    name: str | None = None
    api_key: Annotated[
        dg.EnvVar | None, dg.Resolver(_api_key, model_field_type=str | None, inject_before_resolve=False)
    ] = None
    base_url: str | None = None
    api_prefix: str | None = None
    ledger_url: Annotated[
        dg.EnvVar | str | None, dg.Resolver(_url, model_field_type=str | None, inject_before_resolve=False)
    ] = None
    lake_url: Annotated[
        dg.EnvVar | str | None, dg.Resolver(_url, model_field_type=str | None, inject_before_resolve=False)
    ] = None
    config: str | None = None
    dbt_project: str | None = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions; secrets are read where a run needs them.

        Raises:
            SettingsError: An attribute cannot be used.
        """
        translator = MeterTranslator(self.group, self.owners, self.key_prefix, self.name)
        account = Account(self.api_key, self.ledger_url, self.lake_url)
        settings = self._settings(context.project_root)
        return build_defs(settings, translator=translator, strategies=self.strategies, account=account)

    def _settings(self, root: Path) -> Settings:
        """The settings of the environment with the attributes in their place; paths are relative to the project."""
        given = {
            "METER_BASE_URL": self.base_url,
            "METER_API_PREFIX": self.api_prefix,
            "METER_DATA_DIR": _under(root, self.data_dir),
            "METER_CONFIG": _under(root, self.config),
            "METER_DBT_PROJECT": self.dbt_project if self.dbt_project == "none" else _under(root, self.dbt_project),
        }
        return Settings.from_env({**os.environ, **{name: value for name, value in given.items() if value}})


def _under(root: Path, path: str | None) -> str | None:
    return str(root / Path(path).expanduser()) if path else None
