"""Who is measured: this package's command line, dlt's ``rest_api`` source, a floor, and a bare download."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import checks, generic
from benchmarks.server import API_KEY
from benchmarks.worlds import Totals

ROOT = Path(__file__).parent.parent

OURS, DLT, TUNED, FLOOR, DOWNLOAD = "ours", "dlt", "dlt tuned", "floor", "download"


@dataclass(frozen=True)
class Contender:
    """A way to load a world.

    Attributes:
        name: As in the table.
        about: What it does, in one line.
        steps: The commands to run one after the other, each with its name, for an address and a data folder.
        sums: What a data folder holds after that, `None` for one that stores nothing.
        patient: It takes so long that one run has to do, and none of the largest body.
    """

    name: str
    about: str
    steps: Callable[[str, Path], dict[str, list[str]]]
    sums: Callable[[Path], Totals] | None
    patient: bool = False


def environment(url: str, folder: Path) -> dict[str, str]:
    """What every measured command gets: nobody's own settings, no proxies, and compiled modules kept between runs."""
    # Nor the settings of memory that make has for its own long runs: commands run as they do from a shell.
    strange = ("METER_", "DAGSTER_", "PYTHON", "MALLOC_", "GLIBC_", "ARROW_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "METER_BASE_URL": url,
        "METER_API_KEY": API_KEY,
        "METER_DATA_DIR": str(folder / "data"),
        # Nobody else builds models on top of what was loaded.
        "METER_DBT_PROJECT": "none",
    }


def imports() -> list[str]:
    """A command that only starts up as a sync does: interpreter and imports."""
    return [sys.executable, "-c", "import meter_pipeline.cli, meter_pipeline.api, meter_pipeline.sync"]


def _ours(url: str, folder: Path) -> dict[str, list[str]]:
    command = str(Path(sys.executable).parent / "meter-pipeline")
    return {"sync": [command, "sync"], "publish": [command, "publish"]}


def _dlt(url: str, folder: Path) -> dict[str, list[str]]:
    return {"load": [sys.executable, "-m", "benchmarks.generic", url, str(folder / "data")]}


def _tuned(url: str, folder: Path) -> dict[str, list[str]]:
    return {"load": [*_dlt(url, folder)["load"], "--tuned"]}


def _floor(url: str, folder: Path) -> dict[str, list[str]]:
    return {"load": [sys.executable, "-m", "benchmarks.floor", url, str(folder / "data")]}


def _download(url: str, folder: Path) -> dict[str, list[str]]:
    return {"download": [sys.executable, "-m", "benchmarks.download", url]}


CONTENDERS = (
    Contender(
        OURS,
        "meter-pipeline sync, then publish; raw copy, typed columns and changes all written; defaults, no models",
        _ours,
        lambda folder: checks.published(folder / "data" / "warehouse.duckdb"),
    ),
    Contender(
        DLT,
        "rest_api source into DuckDB as documented, its defaults; items appended, objects typed, lists child tables",
        _dlt,
        lambda folder: checks.generic(folder / "data" / "generic.duckdb"),
        patient=True,
    ),
    Contender(
        TUNED,
        f"the same with {generic.LOADER_FILE_FORMAT} files, parallel, objects and lists kept as untyped JSON; "
        + " ".join(f"{k}={v}" for k, v in generic.SETTINGS.items()),
        _tuned,
        lambda folder: checks.generic(folder / "data" / "generic.duckdb"),
    ),
    Contender(
        FLOOR,
        "requests, PyArrow's JSON reader, a Parquet file a strategy, a DuckDB table; no retries, no care for types",
        _floor,
        lambda folder: checks.generic(folder / "data" / "floor.duckdb", job="job_id"),
    ),
    Contender(DOWNLOAD, "urllib3 over one connection, nothing parsed but the lists, nothing stored", _download, None),
)
