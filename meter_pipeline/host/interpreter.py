"""Starts another Python like this one."""

from __future__ import annotations

import os
import sys


def command_of(module: str) -> list[str]:
    """The command that runs a module."""
    return [sys.executable, "-m", module]


def environment() -> dict[str, str]:
    """The environment in which a Python finds what this one finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
