"""Temporary files that are deleted with their last reader, on a disk that is never filled up.

Each process has its own folder in the scratch folder, with a lock that dies with the process. So files left behind by a
killed process (on systems where an open file has a name) are distinguished from files in use, and deleted.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.host.sizes import KEEP_FREE, spell_size

_PREFIX = "spool-"
_LOCK = "lock"
# A folder this young (seconds) may belong to a process that has not locked it yet.
_YOUNG = 60.0


class ScratchError(MeterPipelineError):
    """The scratch folder cannot be used or is full; the message is one line."""


class Scratch:
    """Temporary files in one folder: a thread-safe context manager that creates nothing before the first file.

    Args:
        folder: The scratch folder, created when needed; the system's folder for temporary files when None.
        keep_free: Bytes of its disk to keep free.
    """

    def __init__(self, folder: Path | None = None, keep_free: int = KEEP_FREE) -> None:
        self._folder = folder
        self._keep_free = keep_free
        self._lock = threading.Lock()
        self._own: Path | None = None
        self._claim: FileLock | None = None

    @property
    def folder(self) -> Path:
        """The scratch folder."""
        return self._folder or Path(tempfile.gettempdir())

    def open(self) -> IO[bytes]:
        """Returns a new file without a name.

        Raises:
            ScratchError: The folder cannot be written.
        """
        try:
            return self._create_file()
        except FileNotFoundError:
            # Another program has deleted the folder.
            self.close()
        except OSError as error:
            raise self._unusable(error) from None
        try:
            return self._create_file()
        except OSError as error:
            raise self._unusable(error) from None

    @contextmanager
    def make_folder(self) -> Iterator[Path]:
        """Yields a folder for files that need names; it is deleted with its files when the block ends.

        Raises:
            ScratchError: The folder cannot be created.
        """
        try:
            # First a file, which creates the folder of this process even if another program has deleted it.
            self.open().close()
            made = tempfile.TemporaryDirectory(prefix="meter-", dir=self._own, ignore_cleanup_errors=True)
        except OSError as error:
            raise self._unusable(error) from None
        with made as name:
            yield Path(name)

    def require_room(self, size: int) -> None:
        """Makes sure that `size` more bytes leave enough of the disk free.

        Raises:
            ScratchError: Too little would be free.
        """
        try:
            free = shutil.disk_usage(self._own or self.folder).free
        except OSError as error:
            raise self._unusable(error) from None
        if free - size < self._keep_free:
            raise ScratchError(
                f"there is no room in {self.folder}: {spell_size(free)} of its disk are free, "
                f"and {spell_size(self._keep_free)} of them are kept free"
            )

    def sweep(self) -> None:
        """Deletes folders of processes that have ended."""
        if self._folder is None:
            return
        with suppress(OSError):
            for folder in self._folder.glob(f"{_PREFIX}*"):
                if folder != self._own and folder.stat().st_mtime < time.time() - _YOUNG:
                    _remove_unclaimed(folder)

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Deletes the folder of this process; open files stay readable."""
        with self._lock:
            own, self._own = self._own, None
            claim, self._claim = self._claim, None
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)
        if claim is not None:
            claim.release()

    def _create_file(self) -> IO[bytes]:
        if self._folder is None:
            return tempfile.TemporaryFile(prefix="meter-")
        with self._lock:
            if self._own is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._own = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._folder))
                self._claim = FileLock(self._own / _LOCK, thread_local=False)
                self._claim.acquire(blocking=False)
            return tempfile.TemporaryFile(dir=self._own)

    def _unusable(self, error: OSError) -> ScratchError:
        return ScratchError(f"{self.folder} cannot be written: {error.strerror or error}")


def _remove_unclaimed(folder: Path) -> None:
    claim = FileLock(folder / _LOCK, thread_local=False)
    try:
        claim.acquire(blocking=False)
    except (Timeout, OSError):
        return
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        claim.release()
