"""The Meter API and the store as Dagster resources, opened only when a step uses them.

Fields that are not set are read from `METER_*` (or `.env`) when a run uses them. So definitions load without a key or a
network, and no key is ever part of a run's configuration.
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
from meter_pipeline.config.settings import Settings, resolve_path
from meter_pipeline.config.variables import require_variable
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
        default=None, repr=False, description="The API key as an EnvVar, never as text. METER_API_KEY by default."
    )
    api_key_variable: str | None = Field(
        default=None, description="Name of the environment variable that holds the key."
    )
    base_url: str | None = Field(default=None, description="URL of the API. METER_BASE_URL by default.")
    api_prefix: str | None = Field(
        default=None, description="Path prefix of the API: auto, /v1 or /api. METER_API_PREFIX by default."
    )
    max_requests_per_second: float | None = Field(default=None, description="Maximum requests per second.")

    def settings(self) -> Settings:
        """Returns the settings of the environment, overridden by the fields of this resource.

        Raises:
            SettingsError: A value is not valid.
        """
        given: dict[str, Any] = {
            "api_key": self.api_key or _read_variable(self.api_key_variable),
            "base_url": self.base_url.rstrip("/") if self.base_url else None,
            "api_prefix": self.api_prefix,
            "max_requests_per_second": self.max_requests_per_second,
        }
        return replace(Settings.from_env(), **{name: value for name, value in given.items() if value is not None})

    @contextmanager
    def client(self, ledger: Ledger | None = None, **limits: Any) -> Iterator[MeterClient]:
        """Opens a client; `limits` are passed to it, such as `timeout` and `deadline` in seconds.

        Raises:
            SettingsError: No key is configured.
        """
        with open_client(self.settings(), ledger, **limits) as client:
            yield client


class StoreResource(dg.ConfigurableResource):
    """The ledger, the lake and the warehouse."""

    data_dir: str | None = Field(default=None, description="Folder of the data. METER_DATA_DIR by default.")
    ledger_url: str | None = Field(
        default=None,
        repr=False,
        description="SQLAlchemy URL or path of the ledger. By default METER_LEDGER_URL, or a file in data_dir.",
    )
    lake_url: str | None = Field(
        default=None,
        repr=False,
        description="URL or path of the lake. By default METER_LAKE_URL, or a folder in data_dir.",
    )
    ledger_url_variable: str | None = Field(
        default=None, description="Name of the environment variable that holds ledger_url."
    )
    lake_url_variable: str | None = Field(
        default=None, description="Name of the environment variable that holds lake_url."
    )
    config: str | None = Field(default=None, description="Path of meter.yaml. METER_CONFIG by default.")

    def settings(self) -> Settings:
        """Returns the settings of the environment, overridden by the fields of this resource.

        Raises:
            SettingsError: A value is not valid.
        """
        return replace(Settings.from_env(), **self._overrides())

    def ledger_settings(self) -> Settings:
        """Returns settings that locate the ledger, even if other settings are not valid."""
        return replace(Settings.of_ledger(), **self._overrides())

    def _overrides(self) -> dict[str, Any]:
        given = {
            "data_dir": resolve_path("data_dir", self.data_dir) if self.data_dir else None,
            "ledger_url": self.ledger_url or _read_variable(self.ledger_url_variable),
            "lake_url": self.lake_url or _read_variable(self.lake_url_variable),
            "config": resolve_path("config", self.config) if self.config else None,
        }
        return {name: value for name, value in given.items() if value is not None}

    @contextmanager
    def open(self) -> Iterator[Store]:
        """Opens the ledger and the lake.

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
        """Returns these settings together with those of the API.

        Raises:
            SettingsError: A value is not valid.
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
        """Refuses to load Meter's data into a folder that holds a sandbox's.

        Raises:
            SettingsError: The folder holds a sandbox's data and the API is not a sandbox.
        """
        origin.refuse_mixing(self.with_api(meter))


def _read_variable(variable: str | None) -> str | None:
    """Reads a variable. `dg.EnvVar` would end the run with a traceback if it is not set; this is one line."""
    return None if variable is None else require_variable(variable)
