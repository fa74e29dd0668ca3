"""Copies of the projects in `examples/`."""

from __future__ import annotations

import shutil
from pathlib import Path

_EXAMPLES = Path(__file__).parents[1] / "examples"


def copy_example(name: str, folder: Path) -> Path:
    """Copies a project into a folder, without what was made in it, and returns its place."""
    ignored = shutil.ignore_patterns("__pycache__", "data")
    return Path(shutil.copytree(_EXAMPLES / name, folder / name, ignore=ignored))
