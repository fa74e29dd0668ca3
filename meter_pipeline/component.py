"""A Dagster component: Meter's assets in your own project, from a few lines of `defs.yaml`."""

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

# The forms in which Dagster's templates name an environment variable.
_ENV = re.compile(r"""\{\{\s*env(?:\.(\w+)|\(\s*["'](\w+)["']\s*\))\s*\}\}""")


class ScaffoldParams(dg.Model):
    """Parameters of `dg scaffold defs`."""

    data_dir: str | None = Field(default=None, description="Folder of the data, relative to the project.")
    group: str | None = Field(default=None, description="One group for all assets.")
    owner: str | None = Field(default=None, description="Owner of all assets: team:name or an e-mail address.")


class MeterScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Writes a `defs.yaml` with the given parameters."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        """Returns the class of the parameters."""
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        """Writes the file."""
        given = request.params or ScaffoldParams()
        attributes = {
            "data_dir": given.data_dir,
            "group": given.group,
            "owners": [given.owner] if given.owner else None,
        }
        dg.scaffold_component(request, {name: value for name, value in attributes.items() if value is not None})


def _resolve_api_key(context: dg.ResolutionContext, text: str | None) -> dg.EnvVar | None:
    """Returns the variable that `{{ env.NAME }}` names; its value is read when a run needs it.

    Raises:
        ResolutionException: The text is not of that form; a key would become part of the definitions.
    """
    variable = _parse_variable(text)
    if text is None or variable is not None:
        return variable
    raise ResolutionException("api_key must name a variable, not hold the key: write {{ env.SHOP_METER_API_KEY }}")


def _resolve_url(context: dg.ResolutionContext, text: str | None) -> str | dg.EnvVar | None:
    """Returns a URL or path, or the variable that `{{ env.NAME }}` names."""
    variable = _parse_variable(text)
    return variable if text is None or variable is not None else context.resolve_value(text, as_type=str)


def _parse_variable(text: str | None) -> dg.EnvVar | None:
    found = _ENV.fullmatch(text.strip()) if text is not None else None
    return dg.EnvVar(found[1] or found[2]) if found else None


@dg.scaffold_with(MeterScaffolder)
class MeterComponent(dg.Component, dg.Model, dg.Resolvable):
    """All assets of a Meter account: strategies, schedules, jobs, items, results, changes, models and the warehouse.

    With several accounts in a project, give each another `key_prefix` and `data_dir`. An account with another `api_key`
    keeps its ledger and lake in its data folder, unless `ledger_url` and `lake_url` are set too.

    Attributes:
        data_dir: Folder of the data; `METER_DATA_DIR` by default.
        group: One group for all assets, instead of one for each kind.
        owners: Owners of all assets.
        key_prefix: Prefix of all asset keys.
        strategies: Names or slugs of strategies that have a results asset before any sync has seen them.
        name: Suffix of the names of the job, schedule, sensor, resources and pool; the prefix by default.
        api_key: `{{ env.NAME }}`, the variable that holds the key; `METER_API_KEY` by default.
        base_url: URL of the API; `METER_BASE_URL` by default.
        api_prefix: auto, /v1 or /api; `METER_API_PREFIX` by default.
        ledger_url: URL or path of the ledger; by default `METER_LEDGER_URL`, or a file in the data folder.
        lake_url: URL or path of the lake; by default `METER_LAKE_URL`, or a folder in the data folder.
        config: Path of `meter.yaml`; `METER_CONFIG` by default.
        dbt_project: Folder of the dbt project, or `none`; `METER_DBT_PROJECT` by default.
    """

    # An error does not repeat the refused value, which may be a key.
    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    data_dir: str | None = None
    group: str | None = None
    owners: list[str] | None = None
    key_prefix: list[str] = []
    strategies: list[str] = []
    name: str | None = None
    api_key: Annotated[
        dg.EnvVar | None, dg.Resolver(_resolve_api_key, model_field_type=str | None, inject_before_resolve=False)
    ] = None
    base_url: str | None = None
    api_prefix: str | None = None
    ledger_url: Annotated[
        dg.EnvVar | str | None, dg.Resolver(_resolve_url, model_field_type=str | None, inject_before_resolve=False)
    ] = None
    lake_url: Annotated[
        dg.EnvVar | str | None, dg.Resolver(_resolve_url, model_field_type=str | None, inject_before_resolve=False)
    ] = None
    config: str | None = None
    dbt_project: str | None = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Builds the definitions; secrets are read when a run needs them.

        Raises:
            SettingsError: An attribute is not valid.
        """
        translator = MeterTranslator(self.group, self.owners, self.key_prefix, self.name)
        account = Account(self.api_key, self.ledger_url, self.lake_url)
        settings = self._make_settings(context.project_root)
        return build_defs(settings, translator=translator, strategies=self.strategies, account=account)

    def _make_settings(self, root: Path) -> Settings:
        """Returns the environment's settings, overridden by the attributes; paths are relative to the project."""
        given = {
            "METER_BASE_URL": self.base_url,
            "METER_API_PREFIX": self.api_prefix,
            "METER_DATA_DIR": _resolve_path(root, self.data_dir),
            "METER_CONFIG": _resolve_path(root, self.config),
            "METER_DBT_PROJECT": self.dbt_project
            if self.dbt_project == "none"
            else _resolve_path(root, self.dbt_project),
        }
        return Settings.from_env({**os.environ, **{name: value for name, value in given.items() if value}})


def _resolve_path(root: Path, path: str | None) -> str | None:
    return str(root / Path(path).expanduser()) if path else None
