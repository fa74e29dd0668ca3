"""A name that this machine has and no other."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def machine_id() -> str:
    """The system's own id of this machine, or else its host name."""
    try:
        found = Path("/etc/machine-id").read_text().strip()
    except OSError:
        found = ""
    return found or platform.node()
