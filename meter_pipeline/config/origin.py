"""Where a data folder's data came from: the sandbox's and Meter's are never mixed in one folder.

A folder that a sandbox filled holds `sandbox.json`: the seed of its world and how far its clock had come, so that the
next sandbox goes on where the last one stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from meter_pipeline.config.settings import Settings, SettingsError

if TYPE_CHECKING:
    pass

SEED = 7
_MARKER = "sandbox.json"


@dataclass(frozen=True)
class Origin:
    """The world that filled a folder: its seed, and the virtual time it had reached."""

    seed: int = SEED
    reached: datetime | None = None


def read(folder: Path) -> Origin | None:
    """The sandbox that filled `folder`; `None` where none did."""
    try:
        marker = json.loads((folder / _MARKER).read_text())
        reached = marker.get("reached")
        return Origin(int(marker["seed"]), datetime.fromisoformat(reached) if reached else None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A marker that cannot be read still says that a sandbox was here.
        return Origin()


def write(folder: Path, origin: Origin) -> None:
    """Marks `folder` as filled by a sandbox."""
    reached = origin.reached.astimezone(timezone.utc).isoformat() if origin.reached else None
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{_MARKER}.{os.getpid()}"
    draft.write_text(json.dumps({"seed": origin.seed, "reached": reached}) + "\n")
    draft.replace(folder / _MARKER)


def note(folder: Path, reached: datetime) -> None:
    """Notes how far the clock of a sandbox's folder has come."""
    write(folder, replace(read(folder) or Origin(), reached=reached))


def clock(folder: Path) -> datetime | None:
    """The time of a sandbox's world, which is the present of its data; `None` for data that is not a sandbox's."""
    origin = read(folder)
    return origin.reached if origin is not None else None


def refuse_mixing(settings: Settings) -> None:
    """Makes sure that a sync from Meter does not land among a sandbox's data.

    Raises:
        SettingsError: The folder is a sandbox's and the API is not on this machine.
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
    """What stands above whatever shows the folder's data, where a sandbox made it up; None for Meter's data."""
    return "Made-up data of the sandbox, not of Meter." if read(folder) is not None else None


def lines(folder: Path) -> Iterator[str]:
    """What to tell a user about the folder's origin, if anything."""
    origin = read(folder)
    if origin is not None:
        reached = f", up to {origin.reached:%Y-%m-%d %H:%M} virtual time" if origin.reached else ""
        yield f"{folder} holds data of the sandbox (seed {origin.seed}{reached}), not of Meter"
