"""Finds the cause of an error of the system, SQLite, DuckDB or Arrow, and the way out of it.

A full disk, a locked file, a read-only file system, missing permissions and a damaged file each need another remedy.
Libraries report them by number, in their own words, or vaguely ("unable to open database file", "disk I/O error"); in
the last case the file's folder and disk are inspected.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple


class Cause(NamedTuple):
    """What is wrong and what to do about it, half a sentence each."""

    reason: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.reason}; {self.way_out}"


FULL = Cause("the disk is full", "free some space on it")
QUOTA = Cause("the disk quota is used up", "free some space, or have the quota raised")
LOCKED = Cause("another program holds the file", "end that program, or try again when it is done")
READ_ONLY = Cause("the file system is read-only", "mount it writable, or name another folder by METER_DATA_DIR")
FORBIDDEN = Cause("permission denied", "give this user the right, or name another folder by METER_DATA_DIR")
DAMAGED = Cause("the file is damaged", "move it away")
BROKEN = Cause("the disk cannot be read or written", "see the system's log for its errors")
TOO_MANY_FILES = Cause("too many files are open", "raise the limit, as by ulimit -n 4096")
TOO_LARGE = Cause("the file would be larger than is allowed", "raise the limit, as by ulimit -f unlimited")
GONE = Cause("the file was moved or deleted while it was open", "run the command again")
NO_FILE = Cause("a folder stands where the file should be", "move it away, or name another folder by METER_DATA_DIR")
NO_FOLDER = Cause("its folder is not there", "make it, or name another folder by METER_DATA_DIR")
NO_MEMORY = Cause("there is not enough memory", "end other programs, or use a larger machine")

_NUMBERS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: QUOTA,
    errno.EROFS: READ_ONLY,
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
    errno.EMFILE: TOO_MANY_FILES,
    errno.ENFILE: TOO_MANY_FILES,
    errno.EFBIG: TOO_LARGE,
    errno.EBUSY: LOCKED,
    errno.ETXTBSY: LOCKED,
    errno.EIO: BROKEN,
    errno.ENOMEM: NO_MEMORY,
}
# Messages of SQLite and DuckDB, in lower case.
_WORDS = {
    "database or disk is full": FULL,
    "is locked": LOCKED,
    "could not set lock": LOCKED,
    "malformed": DAMAGED,
    "not a database": DAMAGED,
    "not a valid duckdb database file": DAMAGED,
    "out of memory": NO_MEMORY,
}
# Messages that SQLite uses for several causes, in lower case.
_VAGUE = ("readonly database", "unable to open database file", "disk i/o error", "access permission denied")
# SQLite extends its files by at least this many bytes.
_LEAST_FREE_BYTES = 64 * 2**10


def find_cause(error: BaseException, path: Path | None = None) -> Cause | None:
    """Returns the cause of an error, or None if the machine is not the cause.

    Args:
        error: The exception of the system or a library.
        path: The file that was used; it is inspected if the error does not identify the cause.
    """
    number = getattr(error, "errno", None)
    if number in _NUMBERS:
        return _NUMBERS[number]
    text = str(error).lower()
    if path is not None and any(words in text for words in _VAGUE):
        return _inspect(path, text)
    for known, cause in _NUMBERS.items():
        # Arrow and DuckDB quote the system's message in theirs.
        if os.strerror(known).lower() in text:
            return cause
    return next((cause for words, cause in _WORDS.items() if words in text), None)


def explain(error: OSError) -> str:
    """Describes an error of the system in one line: the file, the cause, the way out."""
    reason = str(find_cause(error) or error.strerror or error or type(error).__name__)
    return f"{os.fsdecode(error.filename)}: {reason}" if isinstance(error.filename, (str, bytes)) else reason


def _inspect(path: Path, text: str) -> Cause:
    """Finds the cause by inspecting the file, its folder and its disk."""
    folder = path.parent
    try:
        disk = os.statvfs(folder)
    except OSError:
        return NO_FOLDER
    if path.is_dir():
        return NO_FILE
    if disk.f_flag & os.ST_RDONLY:
        return READ_ONLY
    if any(not _is_writable(location) for location in (folder, path) if location.exists()):
        return FORBIDDEN
    if disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES:
        return FULL
    if "readonly" in text:
        return FORBIDDEN if path.exists() else GONE
    # SQLite calls it an error of the disk, too; a limit is rare, and a broken disk is rarer.
    if _are_files_limited():
        return TOO_LARGE
    return BROKEN


def _are_files_limited() -> bool:
    """Whether this process may write files up to a size only."""
    # Not every system has it.
    import resource

    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def _is_writable(path: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(path, os.W_OK, effective_ids=effective)
