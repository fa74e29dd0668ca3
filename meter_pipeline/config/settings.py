"""Environment and `.env` file to one frozen `Settings`: the only place that reads variables."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.host import shipped
from meter_pipeline.host.folders import refusal
from meter_pipeline.host.sizes import KEEP_FREE, MAX_BODY, MAX_PAGE, MAX_RECORD, parse_size

PROJECT = shipped.DBT_PROJECT


class SettingsError(MeterPipelineError):
    """A setting is missing or unusable; the message is one line with the way out."""


# More than that ask more of the API than it takes gladly.
_MOST_PROCESSES = 4
VARIABLES = (
    "METER_API_KEY",
    "METER_API_PREFIX",
    "METER_BASE_URL",
    "METER_CONFIG",
    "METER_DATA_DIR",
    "METER_DBT_PROJECT",
    "METER_LAKE_URL",
    "METER_LEDGER_URL",
    "METER_MAX_REQUESTS_PER_SECOND",
    "METER_PROCESSES",
    "METER_WEBHOOK_SECRET",
)
# Set for dbt alone: see `dbt_project/profiles.yml`.
_OF_DBT = ("METER_DBT_DATABASE", "METER_DBT_TARGET")
# One letter missing or two swapped in the shortest name; other names, such as METER_KEY_OF_TEAM_A, are further off.
_CLOSE = 0.86


@dataclass(frozen=True)
class Settings:
    """Where the API is and where the data goes.

    Attributes:
        api_key: Bearer key of the API, `None` when none is configured. Never shown by `repr`.
        base_url: Scheme and host of the API.
        api_prefix: `auto`, `/v1` or `/api`.
        data_dir: Folder of the ledger, the lake, the warehouse and the inbox.
        ledger_url: SQLAlchemy URL of a shared ledger; a SQLite file in `data_dir` when `None`.
        lake_url: URL of a shared lake; a folder in `data_dir` when `None`.
        webhook_secret: What Meter shows with each webhook, several separated by commas. Never shown by `repr`.
        max_requests_per_second: Upper bound on calls to the API, `None` for no bound.
        processes: Processes that share a large sync among them.
        config: `meter.yaml`, a file that must exist; `None`: the one in the working folder, if there is one.
        spool_dir: Folder for large answers on their way; a folder in `data_dir` when `None`.
        keep_free: Bytes of that folder's disk that stay free.
        max_body: Most bytes of an answer, decompressed.
        max_record: Most bytes of one item.
        max_page: Most bytes of a page of a listing, decompressed.
        dbt_project: Folder of the dbt project whose models are part of the warehouse, `None` for no models.
    """

    api_key: str | None = field(default=None, repr=False)
    base_url: str = "https://api.meter.sh"
    api_prefix: str = "auto"
    data_dir: Path = Path("data")
    ledger_url: str | None = field(default=None, repr=False)
    lake_url: str | None = field(default=None, repr=False)
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

    def __post_init__(self) -> None:
        """Refuses a data folder that not everything could use: half of the data would be elsewhere, or unreadable.

        Raises:
            SettingsError: The folder has such a name.
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
        values = _values(env, dotenv)
        return cls(
            api_key=values.get("METER_API_KEY"),
            base_url=_url(values.get("METER_BASE_URL", cls.base_url)),
            api_prefix=_prefix(values.get("METER_API_PREFIX", cls.api_prefix)),
            data_dir=_data_dir(values),
            ledger_url=_path_or_url("METER_LEDGER_URL", values.get("METER_LEDGER_URL")),
            lake_url=_path_or_url("METER_LAKE_URL", values.get("METER_LAKE_URL")),
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
        )

    @classmethod
    def of_ledger(cls, env: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
        """Settings that say where the ledger is and nothing else, also where others cannot be used.

        Raises:
            SettingsError: `dotenv` cannot be read.
        """
        values = _values(env, dotenv)
        url = _path_or_url("METER_LEDGER_URL", values.get("METER_LEDGER_URL"))
        return cls(data_dir=_data_dir(values), ledger_url=url)

    @property
    def ledger(self) -> str:
        """What `Ledger.open` takes."""
        return self.ledger_url or str(self.data_dir / "ledger.sqlite")

    @property
    def lake(self) -> str:
        """What `Lake.open` takes."""
        return self.lake_url or str(self.data_dir / "lake")

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
            SettingsError: None is configured.
        """
        if not self.api_key:
            raise SettingsError(
                "METER_API_KEY is not set: put it into the environment or .env, or run `meter-pipeline sandbox`"
            )
        return self.api_key


def misspellings(env: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> list[str]:
    """A line for each variable that nothing reads and whose name is nearly a setting's, in the environment or `dotenv`.

    Raises:
        SettingsError: `dotenv` cannot be read.
    """
    known, found = (*VARIABLES, *_OF_DBT), []
    for name in sorted(_values(env, dotenv)):
        # A name that goes on after a setting's, as METER_API_KEY_2 does, is another account's.
        if name in known or name.startswith(tuple(f"{setting}_" for setting in known)):
            continue
        if close := difflib.get_close_matches(name.upper(), known, 1, _CLOSE):
            found.append(f"nothing reads {name}: did you mean {close[0]}?")
    return found


def _values(env: Mapping[str, str] | None, dotenv: Path | None) -> dict[str, str]:
    """Variables that are not empty, those of the environment before those of `dotenv`."""
    values: dict[str, str] = {}
    if dotenv is not None and dotenv.is_file():
        values.update({name: value for name, value in _dotenv(dotenv).items() if value})
    values.update({name: value for name, value in (os.environ if env is None else env).items() if value})
    return values


def _data_dir(values: Mapping[str, str]) -> Path:
    return resolve_path("METER_DATA_DIR", values.get("METER_DATA_DIR", "data"))


def _dotenv(path: Path) -> dict[str, str | None]:
    """The names and values of a `.env` file; one that would be skipped over is an error."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{path} cannot be read: {reason}") from None
    for line in parse_stream(StringIO(text)):
        if line.error:
            raise SettingsError(f"{path}:{line.original.line}: this is no setting: write NAME=value, quotes closed")
    return dotenv_values(stream=StringIO(text))


def read_variable(name: str, dotenv: Path | None = Path(".env")) -> str | None:
    """A variable of the environment, else of `dotenv`; None when it is unset or empty.

    Raises:
        SettingsError: `dotenv` cannot be read.
    """
    return os.environ.get(name) or (_dotenv(dotenv).get(name) if dotenv and dotenv.is_file() else None) or None


def require_variable(name: str) -> str:
    """A variable of the environment or of `.env`.

    Raises:
        SettingsError: It is not set.
    """
    value = read_variable(name)
    if value is None:
        raise SettingsError(f"{name} is not set: put it into the environment or .env")
    return value


@contextmanager
def environment(given: Mapping[str, str]) -> Iterator[None]:
    """Variables of this process's environment while the block runs; afterwards they are as before."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def resolve_path(name: str, text: str) -> Path:
    """The absolute path that a setting names, a `~` in front of it resolved.

    Raises:
        SettingsError: There is no such user as after the `~`.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise SettingsError(f"{name}={text!r}: the ~ leads to no home folder; write the folder out") from None


def _path_or_url(name: str, text: str | None) -> str | None:
    """A URL as it is; a path with its `~` resolved, which no shell does in `.env`."""
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
        raise SettingsError(f"METER_BASE_URL={text!r} is no http(s) URL: give scheme and host, as https://api.meter.sh")
    return text.rstrip("/")


def _config(text: str | None) -> Path | None:
    if text is None:
        return None
    path = resolve_path("METER_CONFIG", text)
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "does not exist"
        raise SettingsError(f"METER_CONFIG={text!r} {reason}: name a file such as meter.yaml, or unset METER_CONFIG")
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


def _prefix(text: str) -> str:
    name = text.strip("/").lower()
    if name not in ("auto", "v1", "api"):
        raise SettingsError(f"METER_API_PREFIX={text!r} is unknown: give auto, /v1 or /api")
    return name if name == "auto" else f"/{name}"


def _processes(text: str | None) -> int:
    if text is None:
        return min(_cores(), _MOST_PROCESSES)
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise SettingsError(f"METER_PROCESSES={text!r} is no number from 1 to 64")
    return int(text)


def _cores() -> int:
    """Cores that this process may use, which in a container can be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rate(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise SettingsError(f"METER_MAX_REQUESTS_PER_SECOND={text!r} is no number above 0")
    return rate
