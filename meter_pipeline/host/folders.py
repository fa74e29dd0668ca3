"""Finds folders that cannot hold the data because of their names."""

from __future__ import annotations

from pathlib import Path


def refusal(folder: Path) -> str | None:
    """Returns why a folder cannot hold the data, or None if it can."""
    text = str(folder)
    if "?" in text:
        return "its path has a ?, where DuckDB ends the name of a database"
    if "\\" in text:
        return "its path has a \\, which DuckDB reads as the end of a folder's name"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "its path is not UTF-8"
    return None
