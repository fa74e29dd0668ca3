"""Names in a ledger's SQLite file, read without SQLAlchemy: completion in a shell has to answer at once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

_QUERIES = {
    "slugs": "SELECT slug FROM strategies WHERE deleted_at IS NULL ORDER BY slug",
    "strategies": "SELECT strategy_id FROM strategies WHERE deleted_at IS NULL ORDER BY slug",
    "schedules": "SELECT schedule_id FROM schedules WHERE deleted_at IS NULL ORDER BY schedule_id",
    "held jobs": "SELECT job_id FROM jobs WHERE state = 'held' ORDER BY job_id",
    "accepted jobs": "SELECT job_id FROM jobs WHERE state = 'accepted' ORDER BY completed_at DESC, job_id",
    "loaded jobs": "SELECT job_id FROM jobs WHERE state IN ('accepted', 'held') ORDER BY state DESC, completed_at DESC",
}
_PATIENCE_SECONDS = 1.0


def read_names(ledger: Path, kind: str) -> list[str]:
    """Names of a kind: `slugs`, `strategies`, `schedules`, `held jobs`, `accepted jobs` or `loaded jobs` (ids).

    Raises:
        sqlite3.Error: The file does not exist, or is not a ledger.
    """
    address = f"file:{quote(str(ledger))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS)) as connection:
        return [str(name) for (name,) in connection.execute(_QUERIES[kind])]
