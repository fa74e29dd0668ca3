"""Where the data of a folder came from: data of the sandbox and of Meter are never mixed in one folder.

A folder that a sandbox filled contains `sandbox.json`: the seed of its world and the last time of its clock, so that
the next sandbox continues where the last one stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from meter_pipeline.config.settings import Settings
from meter_pipeline.config.variables import SettingsError

SEED = 7
_MARKER = "sandbox.json"


@dataclass(frozen=True)
class Origin:
    """The sandbox world that filled a folder: its seed, and the virtual time that it had reached."""

    seed: int = SEED
    reached: datetime | None = None


def read(folder: Path) -> Origin | None:
    """The sandbox world that filled `folder`; None if no sandbox did."""
    try:
        marker = json.loads((folder / _MARKER).read_text())
        reached = marker.get("reached")
        return Origin(int(marker["seed"]), datetime.fromisoformat(reached) if reached else None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A marker that cannot be read still shows that a sandbox filled the folder.
        return Origin()


def write(folder: Path, origin: Origin) -> None:
    """Marks `folder` as filled by a sandbox."""
    reached = origin.reached.astimezone(timezone.utc).isoformat() if origin.reached else None
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{_MARKER}.{os.getpid()}"
    draft.write_text(json.dumps({"seed": origin.seed, "reached": reached}) + "\n")
    draft.replace(folder / _MARKER)


def note(folder: Path, reached: datetime) -> None:
    """Records the time that the clock of a sandbox's folder has reached."""
    write(folder, replace(read(folder) or Origin(), reached=reached))


def clock(folder: Path) -> datetime | None:
    """The virtual time of the sandbox that filled `folder`, the present of its data; None for data of Meter."""
    origin = read(folder)
    return origin.reached if origin is not None else None


def refuse_mixing(settings: Settings) -> None:
    """Refuses a sync from Meter into a folder of sandbox data.

    Raises:
        SettingsError: A sandbox filled the folder, and the API is not on this machine.
    """
    if read(settings.data_dir) is not None and not _on_this_machine(settings.base_url):
        raise SettingsError(
            f"{settings.data_dir} holds the sandbox's data: set METER_DATA_DIR to another folder, or remove this one"
        )


def _on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def notice(folder: Path) -> str | None:
    """The heading above any view of a sandbox's data, which is made up; None for data of Meter."""
    return "Made-up data of the sandbox, not of Meter." if read(folder) is not None else None


def lines(folder: Path) -> Iterator[str]:
    """A line for the user about data of a sandbox; no line for data of Meter."""
    origin = read(folder)
    if origin is not None:
        reached = f", up to {origin.reached:%Y-%m-%d %H:%M} virtual time" if origin.reached else ""
        yield f"{folder} holds data of the sandbox (seed {origin.seed}{reached}), not of Meter"
