"""The folder for bytes on their way: files that vanish with their last reader, on a disk that is never filled up.

A process has a folder of its own in there, with a lock that dies with it. So what a killed process has left behind (on
systems where an open file has a name) can be told from what another one is using, and is swept.
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
    """The folder cannot be used, or has no room; the message is one line."""


class Scratch:
    """Temporary files in one folder. A context manager; thread-safe; nothing is made before the first file.

    Args:
        folder: The folder, made when it is needed; the system's own for temporary files when None.
        keep_free: Bytes of its disk that stay free.
    """

    def __init__(self, folder: Path | None = None, keep_free: int = KEEP_FREE) -> None:
        self._folder = folder
        self._keep_free = keep_free
        self._lock = threading.Lock()
        self._own: Path | None = None
        self._claim: FileLock | None = None

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder or Path(tempfile.gettempdir())

    def open(self) -> IO[bytes]:
        """A new file without a name.

        Raises:
            ScratchError: The folder cannot be written.
        """
        try:
            return self._file()
        except FileNotFoundError:
            # Somebody has removed the folder meanwhile.
            self.close()
        except OSError as error:
            raise self._unusable(error) from None
        try:
            return self._file()
        except OSError as error:
            raise self._unusable(error) from None

    @contextmanager
    def make_folder(self) -> Iterator[Path]:
        """A folder for files that need names; it is removed with all that is in it when the block ends.

        Raises:
            ScratchError: It cannot be made.
        """
        try:
            # A file first: it makes this process's own folder, also where somebody has removed it.
            self.open().close()
            made = tempfile.TemporaryDirectory(prefix="meter-", dir=self._own, ignore_cleanup_errors=True)
        except OSError as error:
            raise self._unusable(error) from None
        with made as name:
            yield Path(name)

    def require_room(self, size: int) -> None:
        """Makes sure that so many more bytes leave enough of the disk free.

        Raises:
            ScratchError: They do not.
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
        """Removes what processes that are gone have left behind."""
        if self._folder is None:
            return
        with suppress(OSError):
            for left in self._folder.glob(f"{_PREFIX}*"):
                if left != self._own and left.stat().st_mtime < time.time() - _YOUNG:
                    _remove_unclaimed(left)

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives up this process's folder; files that are open stay readable."""
        with self._lock:
            own, self._own = self._own, None
            claim, self._claim = self._claim, None
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)
        if claim is not None:
            claim.release()

    def _file(self) -> IO[bytes]:
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
