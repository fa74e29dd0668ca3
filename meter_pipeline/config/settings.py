"""Reads the environment and the `.env` file into one frozen `Settings`; nothing else reads variables."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from meter_pipeline.config.variables import SettingsError, read_variables
from meter_pipeline.host import shipped
from meter_pipeline.host.folders import refusal
from meter_pipeline.host.sizes import KEEP_FREE, MAX_BODY, MAX_PAGE, MAX_RECORD, parse_size
from meter_pipeline.text.durations import parse_duration

PROJECT = shipped.DBT_PROJECT
# More processes than this send more requests than the API answers well.
_MOST_PROCESSES = 4
_MOST_COUNTED = 1_000_000
VARIABLES = (
    "METER_API_KEY",
    "METER_API_PREFIX",
    "METER_BASE_URL",
    "METER_CATALOG_CREDENTIAL",
    "METER_CATALOG_URL",
    "METER_CONFIG",
    "METER_DATA_DIR",
    "METER_DBT_PROJECT",
    "METER_KEEP_FREE",
    "METER_LAKE_CACHE",
    "METER_LAKE_URL",
    "METER_LEDGER_URL",
    "METER_MAX_BODY",
    "METER_MAX_PAGE",
    "METER_MAX_RECORD",
    "METER_MAX_REQUESTS_PER_SECOND",
    "METER_MAX_RESULTS_ASSETS",
    "METER_PROCESSES",
    "METER_PUBLISH_EVERY",
    "METER_PUBLISH_TAGS",
    "METER_SCHEDULES_PER_RUN",
    "METER_SPOOL_DIR",
    "METER_TABLES",
    "METER_WEBHOOK_SECRET",
)
# Set for dbt alone: see `dbt_project/profiles.yml`.
_DBT_VARIABLES = ("METER_DBT_DATABASE", "METER_DBT_TARGET")
# Similarity of the shortest name to itself with one letter missing or two swapped. Names of other things, such as
# METER_KEY_OF_TEAM_A, are less similar.
_CLOSE = 0.86
#: Formats of open tables.
TABLE_FORMATS = ("iceberg",)


@dataclass(frozen=True)
class Settings:
    """Where the API is, and where the data goes.

    Attributes:
        api_key: Bearer key of the API, `None` when none is configured. Never shown by `repr`.
        base_url: Scheme and host of the API.
        api_prefix: `auto`, `/v1` or `/api`.
        data_dir: Folder of the ledger, the lake, the warehouse and the inbox.
        ledger_url: SQLAlchemy URL of a shared ledger; a SQLite file in `data_dir` when `None`.
        lake_url: URL of a shared lake; a folder in `data_dir` when `None`.
        lake_cache: Whether publishing copies the files of a lake on an object store to this machine; if not, the
            warehouse reads them on S3.
        webhook_secret: The secret that Meter sends with each webhook; several are separated by commas. Never shown by
            `repr`.
        max_requests_per_second: Upper bound on calls to the API; None for no bound.
        processes: Processes that a large sync is shared among.
        config: The configuration file, which must exist; None: `meter.yaml` in the working folder, if it exists.
        spool_dir: Folder for large answers while they are read; a folder in `data_dir` when None.
        keep_free: Bytes that stay free on the disk of the spool folder.
        max_body: Upper bound on an answer, in bytes after decompression.
        max_record: Upper bound on one item, in bytes.
        max_page: Upper bound on a page of a listing, in bytes after decompression.
        dbt_project: Folder of the dbt project that builds the models of the warehouse; None for no models.
        max_results_assets: Most strategies that have a Dagster asset each. If there are more, only declared ones have.
        schedules_per_run: Most schedules that the sensor syncs in one run.
        publish_every: Least time between publications that the sensor requests; None: it publishes in each run.
        tables: Format of the open tables that each publication brings up to date: `iceberg`; None for none.
        catalog_url: URL of the catalog of the open tables; when None, the ledger's PostgreSQL, or else a SQLite file
            in `data_dir`.
        catalog_credential: A token for a REST catalog, or a client's `id:secret`. Never shown by `repr`.
        publish_tags: Names and values of Dagster's tags on the job that publishes, by which a launcher places its runs.
    """

    api_key: str | None = field(default=None, repr=False)
    base_url: str = "https://api.meter.sh"
    api_prefix: str = "auto"
    data_dir: Path = Path("data")
    ledger_url: str | None = field(default=None, repr=False)
    lake_url: str | None = field(default=None, repr=False)
    lake_cache: bool = True
    webhook_secret: str | None = field(default=None, repr=False)
    max_requests_per_second: float | None = None
    processes: int = 1
    config: Path | None = None
    spool_dir: Path | None = None
    keep_free: int = KEEP_FREE
    max_body: int = MAX_BODY
    max_record: int = MAX_RECORD
    max_page: int = MAX_PAGE
    dbt_project: Path | None = PROJECT
    max_results_assets: int = 500
    schedules_per_run: int = 100
    publish_every: timedelta | None = None
    publish_tags: tuple[tuple[str, str], ...] = ()
    tables: str | None = None
    catalog_url: str | None = field(default=None, repr=False)
    catalog_credential: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuses a data folder that some libraries cannot use: half of the data would be elsewhere, or unreadable.

        Raises:
            SettingsError: The folder's name cannot be used.
        """
        reason = refusal(self.data_dir)
        if reason is not None:
            raise SettingsError(f"METER_DATA_DIR: {str(self.data_dir)!r} cannot be used: {reason}; name another folder")

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
        """Reads `METER_*`; the environment wins over `dotenv`, an empty value counts as unset.

        Raises:
            SettingsError: A value cannot be used.
        """
        values = read_variables(env, dotenv)
        return cls(
            api_key=values.get("METER_API_KEY"),
            base_url=_url(values.get("METER_BASE_URL", cls.base_url)),
            api_prefix=_prefix(values.get("METER_API_PREFIX", cls.api_prefix)),
            data_dir=_data_dir(values),
            ledger_url=_path_or_url("METER_LEDGER_URL", values.get("METER_LEDGER_URL")),
            lake_url=_path_or_url("METER_LAKE_URL", values.get("METER_LAKE_URL")),
            lake_cache=_lake_cache(values.get("METER_LAKE_CACHE")),
            webhook_secret=values.get("METER_WEBHOOK_SECRET"),
            max_requests_per_second=_rate(values.get("METER_MAX_REQUESTS_PER_SECOND")),
            processes=_processes(values.get("METER_PROCESSES")),
            config=_config(values.get("METER_CONFIG")),
            spool_dir=_folder("METER_SPOOL_DIR", values.get("METER_SPOOL_DIR")),
            keep_free=_size("METER_KEEP_FREE", values, cls.keep_free),
            max_body=_size("METER_MAX_BODY", values, cls.max_body),
            max_record=_size("METER_MAX_RECORD", values, cls.max_record),
            max_page=_size("METER_MAX_PAGE", values, cls.max_page),
            dbt_project=_project(values.get("METER_DBT_PROJECT")),
            max_results_assets=_count("METER_MAX_RESULTS_ASSETS", values, cls.max_results_assets, least=0),
            schedules_per_run=_count("METER_SCHEDULES_PER_RUN", values, cls.schedules_per_run, least=1),
            publish_every=_span("METER_PUBLISH_EVERY", values.get("METER_PUBLISH_EVERY")),
            publish_tags=_tags("METER_PUBLISH_TAGS", values.get("METER_PUBLISH_TAGS")),
            tables=_tables(values.get("METER_TABLES")),
            catalog_url=values.get("METER_CATALOG_URL"),
            catalog_credential=values.get("METER_CATALOG_CREDENTIAL"),
        )

    @classmethod
    def of_ledger(cls, env: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
        """Settings with the place of the ledger alone; works also where other settings cannot be used.

        Raises:
            SettingsError: `dotenv` cannot be read.
        """
        values = read_variables(env, dotenv)
        url = _path_or_url("METER_LEDGER_URL", values.get("METER_LEDGER_URL"))
        return cls(data_dir=_data_dir(values), ledger_url=url)

    @property
    def ledger(self) -> str:
        """The argument of `Ledger.open`."""
        return self.ledger_url or str(self.data_dir / "ledger.sqlite")

    @property
    def lake(self) -> str:
        """The argument of `Lake.open`."""
        return self.lake_url or str(self.data_dir / "lake")

    @property
    def catalog(self) -> str:
        """URL of the catalog of the open tables."""
        if self.catalog_url:
            return self.catalog_url
        if self.ledger_url and self.ledger_url.startswith("postgres"):
            return self.ledger_url
        return f"sqlite:///{self.data_dir.absolute() / 'catalog.sqlite'}"

    @property
    def spool(self) -> Path:
        """Where large answers are kept while they are read."""
        return self.spool_dir or self.data_dir / "spool"

    @property
    def warehouse(self) -> Path:
        """The published DuckDB file."""
        return self.data_dir / "warehouse.duckdb"

    @property
    def inbox(self) -> Path:
        """The folder where webhook deliveries wait."""
        return self.data_dir / "inbox"

    def require_key(self) -> str:
        """The API key.

        Raises:
            SettingsError: No key is configured.
        """
        if not self.api_key:
            raise SettingsError(
                "METER_API_KEY is not set: put it into the environment or .env, or run `meter-pipeline sandbox`"
            )
        return self.api_key


def misspellings(env: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> list[str]:
    """A line for each variable, in the environment or `dotenv`, that nothing reads and that resembles a setting.

    Raises:
        SettingsError: `dotenv` cannot be read.
    """
    known, found = (*VARIABLES, *_DBT_VARIABLES), []
    for name in sorted(read_variables(env, dotenv)):
        # A setting's name with a suffix, such as METER_API_KEY_2, belongs to another account.
        if name in known or name.startswith(tuple(f"{setting}_" for setting in known)):
            continue
        if close := difflib.get_close_matches(name.upper(), known, 1, _CLOSE):
            found.append(f"nothing reads {name}: did you mean {close[0]}?")
    return found


def _data_dir(values: Mapping[str, str]) -> Path:
    return resolve_path("METER_DATA_DIR", values.get("METER_DATA_DIR", "data"))


def resolve_path(name: str, text: str) -> Path:
    """The absolute path that a setting names, with a leading `~` resolved.

    Raises:
        SettingsError: The user after the `~` does not exist.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise SettingsError(f"{name}={text!r}: the ~ leads to no home folder; write the folder out") from None


def _path_or_url(name: str, text: str | None) -> str | None:
    """A URL unchanged, or a path with its `~` resolved, since no shell does that in `.env`."""
    return str(resolve_path(name, text)) if text is not None and text.startswith("~") else text


def _url(text: str) -> str:
    if "@" in text:
        raise SettingsError("METER_BASE_URL holds credentials: put the key into METER_API_KEY instead")
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        raise SettingsError(
            f"METER_BASE_URL={text!r} is not an http(s) URL: give scheme and host, as https://api.meter.sh"
        )
    return text.rstrip("/")


def _config(text: str | None) -> Path | None:
    if text is None:
        return None
    path = resolve_path("METER_CONFIG", text)
    if path.is_dir():
        raise SettingsError(f"METER_CONFIG={text!r} is a folder: name a file such as meter.yaml, or unset METER_CONFIG")
    return path


def _project(text: str | None) -> Path | None:
    if text is None:
        return PROJECT
    if text.strip().lower() == "none":
        return None
    path = resolve_path("METER_DBT_PROJECT", text)
    if not (path / "dbt_project.yml").is_file():
        reason = "has no dbt_project.yml" if path.is_dir() else "is not a folder that exists"
        raise SettingsError(f"METER_DBT_PROJECT={text!r} {reason}: name the folder of a dbt project, or none")
    return path


def _folder(name: str, text: str | None) -> Path | None:
    return None if text is None else resolve_path(name, text)


def _size(name: str, values: Mapping[str, str], default: int) -> int:
    if name not in values:
        return default
    try:
        return parse_size(values[name])
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _count(name: str, values: Mapping[str, str], default: int, *, least: int) -> int:
    text = values.get(name, str(default))
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= _MOST_COUNTED:
        raise SettingsError(f"{name}={text!r} is not a whole number from {least} to {_MOST_COUNTED:,}")
    return int(text)


def _span(name: str, text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except (ValueError, OverflowError):
        raise SettingsError(f"{name}={text!r} is not a duration: give one such as 15m or 2h") from None


def _tags(name: str, text: str | None) -> tuple[tuple[str, str], ...]:
    if text is None:
        return ()
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SettingsError(f'{name} is not a JSON object: give one such as {{"dagster-celery/queue": "publishing"}}')
    return tuple((tag, value if isinstance(value, str) else json.dumps(value)) for tag, value in found.items())


def _tables(text: str | None) -> str | None:
    name = (text or "none").strip().lower()
    if name not in (*TABLE_FORMATS, "none"):
        raise SettingsError(f"METER_TABLES={text!r} is no format of tables: give iceberg or none")
    return None if name == "none" else name


def _lake_cache(text: str | None) -> bool:
    name = (text or "local").strip().lower()
    if name not in ("local", "none"):
        raise SettingsError(f"METER_LAKE_CACHE={text!r} is unknown: give local, or none to read a lake on S3 in place")
    return name == "local"


def _prefix(text: str) -> str:
    name = text.strip("/").lower()
    if name not in ("auto", "v1", "api"):
        raise SettingsError(f"METER_API_PREFIX={text!r} is unknown: give auto, /v1 or /api")
    return name if name == "auto" else f"/{name}"


def _processes(text: str | None) -> int:
    if text is None:
        return min(_cores(), _MOST_PROCESSES)
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise SettingsError(f"METER_PROCESSES={text!r} is not a number from 1 to 64")
    return int(text)


def _cores() -> int:
    """Cores that this process may use; in a container these can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rate(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise SettingsError(f"METER_MAX_REQUESTS_PER_SECOND={text!r} is not a number above 0")
    return rate
