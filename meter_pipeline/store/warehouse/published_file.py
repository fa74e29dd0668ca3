"""The file that people open: an inode of its own, read-only, replaced atomically.

A client that opens it read-write, as most do by default, writes a log beside it, `warehouse.duckdb.wal`, which DuckDB
would replay into the file that comes next. So the log's name is taken by a link that leads nowhere: reading works, and
a client that writes is refused by DuckDB, "Cannot open file".
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_NOWHERE = "published-files-are-read-only/log"
_READ_ONLY = 0o444


class Stamp(NamedTuple):
    """What tells a file from any other state of it: size (bytes), time of writing (nanoseconds) and inode."""

    size: int
    written: int
    inode: int

    def is_copied_by(self, other: Stamp) -> bool:
        """Whether another file has the content: a copy is given the time of its original."""
        return self[:2] == other[:2]


def read_stamp(file: Path) -> Stamp | None:
    """The stamp of a file; None if it does not exist."""
    try:
        state = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Stamp(state.st_size, state.st_mtime_ns, state.st_ino)


def log_of(file: Path) -> Path:
    """Where DuckDB writes the log of a database."""
    return file.with_name(f"{file.name}.wal")


def seal(file: Path) -> Stamp:
    """Makes a finished file read-only; returns its stamp."""
    file.chmod(_READ_ONLY)
    state = file.stat()
    return Stamp(state.st_size, state.st_mtime_ns, state.st_ino)


def replace_by_copy(path: Path, original: Path) -> None:
    """Replaces the file at `path` by a copy of a sealed file, atomically; readers see the one or the other."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        copy_content(original, temporary)
        _wait_for_disk(temporary)
        state = original.stat()
        os.utime(temporary, ns=(state.st_atime_ns, state.st_mtime_ns))
        temporary.chmod(_READ_ONLY)
        _block_log(path)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sweep_temporary(path: Path) -> None:
    """Deletes what killed publications have left beside the file."""
    with suppress(OSError):
        for file in path.parent.glob(f".{path.name}.*"):
            file.unlink(missing_ok=True)


def _block_log(path: Path) -> None:
    """Takes the name of the file's log; whatever a client has written there is gone."""
    log = log_of(path)
    if log.is_symlink() and str(log.readlink()) == _NOWHERE:
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.symlink_to(_NOWHERE)
    except (OSError, NotImplementedError):
        # A file system without symbolic links.
        log.unlink(missing_ok=True)
        return
    try:
        temporary.replace(log)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def copy_content(original: Path, copy: Path) -> None:
    """Copies what is in a file to one that can be written, by sharing its blocks where the file system can."""
    if not _share(original, copy):
        shutil.copyfile(original, copy)


def _wait_for_disk(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _share(original: Path, copy: Path) -> bool:
    """Lets the kernel copy a file; False where it cannot."""
    if not hasattr(os, "copy_file_range"):
        return False
    with original.open("rb") as source, copy.open("wb") as target:
        left = os.fstat(source.fileno()).st_size
        try:
            while left and (copied := os.copy_file_range(source.fileno(), target.fileno(), left)):
                left -= copied
        except OSError:
            return False
    return not left
