"""Names of folders that the data cannot be in, and why."""

from __future__ import annotations

from pathlib import Path


def refusal(folder: Path) -> str | None:
    """Why data cannot be in a folder, `None` where it can. Anything else in a name is no obstacle."""
    text = str(folder)
    if "?" in text:
        return "its path has a ?, after which DuckDB reads no more of the name of a database"
    if "\\" in text:
        return "its path has a \\, which DuckDB takes for the end of a folder's name"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "its path is not UTF-8"
    return None
