"""Presence: whether another process on this machine still exists, by a lock that ends with its process."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Engine


class Presence:
    """Locks on files, named by their holders' ids.

    Args:
        folder: Where the files are. Processes that do not share it know nothing of each other's presence.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: FileLock | None = None

    def show(self, holder_id: str) -> None:
        """Holds the lock of an id from now on; without a folder that can be written, nobody learns of it."""
        if self._own is None:
            with suppress(OSError, Timeout):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = self._lock(holder_id)
                lock.acquire(blocking=False)
                self._own = lock

    def hide(self) -> None:
        """Gives the lock up and deletes its file."""
        own, self._own = self._own, None
        if own is not None:
            own.release()
            _delete(Path(own.lock_file))

    def has_ended(self, holder_id: str) -> bool | None:
        """Whether the process with an id has ended; `None` if it runs elsewhere, or where that cannot be seen."""
        lock = self._lock(holder_id)
        if not Path(lock.lock_file).exists():
            return None
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError:
            return None
        lock.release()
        return True

    def forget(self, holder_id: str) -> None:
        """Deletes the file of a holder that has ended and has no claims any more."""
        _delete(Path(self._lock(holder_id).lock_file))

    def _lock(self, holder_id: str) -> FileLock:
        return FileLock(self._folder / f"{holder_id}.lock", thread_local=False)


def presence_for(engine: Engine) -> Presence:
    """Beside a SQLite ledger; for PostgreSQL in this user's part of the machine's folder for temporary files."""
    if engine.dialect.name == "sqlite":
        return Presence(Path(str(engine.url.database)).parent / "locks")
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Presence(Path(tempfile.gettempdir()) / f"meter-pipeline-{user}")


def _delete(path: Path) -> None:
    # Windows keeps a file that somebody else tests at this moment.
    with suppress(OSError):
        path.unlink()
