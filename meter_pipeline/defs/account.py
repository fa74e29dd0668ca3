"""The Meter account that a set of definitions belongs to: its API key, ledger and lake.

Secrets are given by the name of their environment variable. A resource's configuration is shown in the UI and kept
with every run, so no key or password may be part of it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import dagster as dg

from meter_pipeline.config.settings import Settings
from meter_pipeline.config.variables import SettingsError, read_variable

_log = logging.getLogger(__name__)
_SECRET = re.compile(r"://[^/?#]*:[^?#]*@|[?&][^=&]*(?:token|secret|key|sig|password)[^=&]*=", re.IGNORECASE)


@dataclass(frozen=True)
class Account:
    """An account's key and stores; whatever is None comes from the environment (`METER_*`).

    Attributes:
        api_key: The variable that holds the key.
        ledger_url: SQLAlchemy URL or path, or the variable that holds it.
        lake_url: URL or path, or the variable that holds it.
    """

    api_key: dg.EnvVar | None = None
    ledger_url: str | dg.EnvVar | None = None
    lake_url: str | dg.EnvVar | None = None

    def __post_init__(self) -> None:
        """Refuses secrets that are given as text.

        Raises:
            SettingsError: The key, or a URL with credentials, is given as text.
        """
        if self.api_key is not None and not isinstance(self.api_key, dg.EnvVar):
            raise SettingsError(
                'api_key is given as text: name the variable that holds it instead, dg.EnvVar("SHOP_METER_API_KEY")'
            )
        for name, url in (("ledger_url", self.ledger_url), ("lake_url", self.lake_url)):
            if url is not None and not isinstance(url, dg.EnvVar) and _has_credentials(url):
                raise SettingsError(
                    f"{name} holds credentials: put the URL into a variable and give dg.EnvVar with its name instead"
                )

    def apply_to(self, settings: Settings) -> Settings:
        """Returns `settings` with this account's ledger and lake, as far as they are known while definitions load.

        METER_LEDGER_URL and METER_LAKE_URL belong to the account of METER_API_KEY. An account with another key does
        not inherit them, so that its data is never loaded there.

        Raises:
            SettingsError: Another account's data would be loaded into the folder of METER_DATA_DIR.
        """
        has_other_key = False
        if self.api_key is not None and self.api_key.env_var_name != "METER_API_KEY":
            has_other_key = True
            default = Settings.from_env()
            if default.api_key and default.data_dir == settings.data_dir:
                raise SettingsError(
                    f"two accounts have the data folder {settings.data_dir}, that of METER_API_KEY and that of "
                    f"{self.api_key.env_var_name}: give the second account another data_dir"
                )
        return replace(
            settings,
            ledger_url=_read_url(self.ledger_url) if self.ledger_url or has_other_key else settings.ledger_url,
            lake_url=_read_url(self.lake_url) if self.lake_url or has_other_key else settings.lake_url,
        )

    def store_fields(self, settings: Settings) -> dict[str, str | None]:
        """The ledger and the lake as fields of a `StoreResource`, without secrets; None means METER_*."""
        return {
            **_field("ledger_url", self.ledger_url, None if settings.ledger_url else settings.ledger),
            **_field("lake_url", self.lake_url, None if settings.lake_url else settings.lake),
        }


def _field(name: str, url: str | dg.EnvVar | None, usual: str | None) -> dict[str, str | None]:
    if isinstance(url, dg.EnvVar):
        return {f"{name}_variable": url.env_var_name}
    return {name: url or usual}


def check_explicit(settings: Settings, account: Account) -> Account:
    """Returns the account with the ledger and lake of `settings` that a user built in code.

    Raises:
        SettingsError: The settings hold an API key that is not in the environment; definitions cannot hold it.
    """
    environment = Settings.from_env()
    if account.api_key is None and settings.api_key and settings.api_key != environment.api_key:
        raise SettingsError(
            "settings.api_key is not the environment's METER_API_KEY, which runs would use: "
            'give build_meter_defs the variable that holds the key, api_key=dg.EnvVar("SHOP_METER_API_KEY")'
        )
    given: Mapping[str, str | None] = {"ledger_url": settings.ledger_url, "lake_url": settings.lake_url}
    usual = {"ledger_url": environment.ledger_url, "lake_url": environment.lake_url}
    explicit = {
        name: url for name, url in given.items() if url and url != usual[name] and getattr(account, name) is None
    }
    return replace(account, **explicit)


def _read_url(url: str | dg.EnvVar | None) -> str | None:
    """Returns the URL; None, with a warning, if its variable is not set while definitions load."""
    if not isinstance(url, dg.EnvVar):
        return url
    value = read_variable(url.env_var_name)
    if value is None:
        _log.warning("%s is not set: only declared strategies have results assets", url.env_var_name)
    return value


def _has_credentials(url: str) -> bool:
    """Whether a URL holds a password or a secret option; a path, or a URL with a user alone, does not."""
    return _SECRET.search(url) is not None
