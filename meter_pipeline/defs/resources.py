"""The API and the store as Dagster resources: thin, and built only when something asks for them.

Nothing secret needs to be configured: what is left out is read from `METER_*` (or `.env`) where a run uses it. So
definitions load with no key and no network, and no key is ever part of a run's configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings, require_variable, resolve_path
from meter_pipeline.connect import Store, open_client, open_store

if TYPE_CHECKING:
    from meter_pipeline.api import MeterClient
    from meter_pipeline.store.ledger.ledger import Ledger


class MeterResource(dg.ConfigurableResource):
    """The Meter API.

    Example:
        `MeterResource(api_key=dg.EnvVar("METER_KEY_OF_TEAM_A"))`
    """

    api_key: str | None = Field(
        default=None, repr=False, description="An EnvVar, never the key itself; METER_API_KEY by default."
    )
    api_key_variable: str | None = Field(default=None, description="Name of the variable that holds the key.")
    base_url: str | None = Field(default=None, description="METER_BASE_URL by default.")
    api_prefix: str | None = Field(default=None, description="auto, /v1 or /api; METER_API_PREFIX by default.")
    max_requests_per_second: float | None = Field(default=None, description="Upper bound on calls.")

    def settings(self) -> Settings:
        """The settings of the environment, with this resource's own on top.

        Raises:
            SettingsError: A value cannot be used.
        """
        given: dict[str, Any] = {
            "api_key": self.api_key or _value(self.api_key_variable),
            "base_url": self.base_url.rstrip("/") if self.base_url else None,
            "api_prefix": self.api_prefix,
            "max_requests_per_second": self.max_requests_per_second,
        }
        return replace(Settings.from_env(), **{name: value for name, value in given.items() if value is not None})

    @contextmanager
    def client(self, ledger: Ledger | None = None, **limits: Any) -> Iterator[MeterClient]:
        """An open client; `limits` are its own arguments: `timeout`, `deadline`.

        Raises:
            SettingsError: No key is configured.
        """
        with open_client(self.settings(), ledger, **limits) as client:
            yield client


class StoreResource(dg.ConfigurableResource):
    """The ledger, the lake and the warehouse."""

    data_dir: str | None = Field(default=None, description="Folder of the data; METER_DATA_DIR by default.")
    ledger_url: str | None = Field(
        default=None, repr=False, description="SQLAlchemy URL or path; METER_LEDGER_URL, or a file in data_dir."
    )
    lake_url: str | None = Field(
        default=None, repr=False, description="URL or path; METER_LAKE_URL, or a folder in data_dir."
    )
    ledger_url_variable: str | None = Field(default=None, description="Name of the variable that holds ledger_url.")
    lake_url_variable: str | None = Field(default=None, description="Name of the variable that holds lake_url.")
    config: str | None = Field(default=None, description="Path of meter.yaml; METER_CONFIG by default.")

    def settings(self) -> Settings:
        """The settings of the environment, with this resource's own on top.

        Raises:
            SettingsError: A value cannot be used.
        """
        return replace(Settings.from_env(), **self._own())

    def of_ledger(self) -> Settings:
        """Settings that say where the ledger is, also where others cannot be used."""
        return replace(Settings.of_ledger(), **self._own())

    def _own(self) -> dict[str, Any]:
        given = {
            "data_dir": resolve_path("data_dir", self.data_dir) if self.data_dir else None,
            "ledger_url": self.ledger_url or _value(self.ledger_url_variable),
            "lake_url": self.lake_url or _value(self.lake_url_variable),
            "config": resolve_path("config", self.config) if self.config else None,
        }
        return {name: value for name, value in given.items() if value is not None}

    @contextmanager
    def open(self) -> Iterator[Store]:
        """The open ledger and lake.

        Raises:
            StoreError: One of them cannot be opened.
        """
        with open_store(self.settings()) as store:
            yield store

    @property
    def warehouse(self) -> Path:
        """The published DuckDB file."""
        return self.settings().warehouse

    def with_api(self, meter: MeterResource) -> Settings:
        """These settings together with those of the API.

        Raises:
            SettingsError: A value cannot be used.
        """
        api = meter.settings()
        return replace(
            self.settings(),
            api_key=api.api_key,
            base_url=api.base_url,
            api_prefix=api.api_prefix,
            max_requests_per_second=api.max_requests_per_second,
        )

    def refuse_mixing(self, meter: MeterResource) -> None:
        """Makes sure that Meter's data does not land among a sandbox's.

        Raises:
            SettingsError: The folder is a sandbox's and the API is not.
        """
        origin.refuse_mixing(self.with_api(meter))


def _value(variable: str | None) -> str | None:
    """The value of a variable. Dagster's own reading of an unset one ends a run with a traceback, not with a line."""
    return None if variable is None else require_variable(variable)
