"""Why the machine refused: one cause and the way out of it, for errors of the system, SQLite, DuckDB and Arrow.

A full disk, a file that another program holds, a read-only file system, missing rights and a damaged file are five
different things, and a person does something else about each. Libraries tell them by number, by words of their own, or
not at all ("unable to open database file", "disk I/O error"): then the disk is asked.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple


class Cause(NamedTuple):
    """What is wrong and what to do about it, each half a sentence."""

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
# What SQLite and DuckDB say, in lower case.
_WORDS = {
    "database or disk is full": FULL,
    "is locked": LOCKED,
    "could not set lock": LOCKED,
    "malformed": DAMAGED,
    "not a database": DAMAGED,
    "not a valid duckdb database file": DAMAGED,
    "out of memory": NO_MEMORY,
}
# What SQLite says of several causes alike, in lower case.
_VAGUE = ("readonly database", "unable to open database file", "disk i/o error", "access permission denied")
# SQLite makes its files larger by at least this much at a time.
_LEAST_FREE_BYTES = 64 * 2**10


def find_cause(error: BaseException, path: Path | None = None) -> Cause | None:
    """The cause of an error; `None` when it is none of the machine's.

    Args:
        error: What the system or a library raised.
        path: The file that was used, which is looked at when the error leaves the cause open.
    """
    number = getattr(error, "errno", None)
    if number in _NUMBERS:
        return _NUMBERS[number]
    text = str(error).lower()
    if path is not None and any(words in text for words in _VAGUE):
        return _inspect(path, text)
    for known, cause in _NUMBERS.items():
        # Arrow and DuckDB put the system's words into their own.
        if os.strerror(known).lower() in text:
            return cause
    return next((cause for words, cause in _WORDS.items() if words in text), None)


def explain(error: OSError) -> str:
    """An error of the system in one line: the file, the cause, the way out."""
    reason = str(find_cause(error) or error.strerror or error or type(error).__name__)
    return f"{os.fsdecode(error.filename)}: {reason}" if isinstance(error.filename, (str, bytes)) else reason


def _inspect(path: Path, text: str) -> Cause:
    """Looks for the cause where the file is."""
    folder = path.parent
    try:
        disk = os.statvfs(folder)
    except OSError:
        return NO_FOLDER
    if path.is_dir():
        return NO_FILE
    if disk.f_flag & os.ST_RDONLY:
        return READ_ONLY
    if any(not _is_writable(place) for place in (folder, path) if place.exists()):
        return FORBIDDEN
    if disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES:
        return FULL
    if "readonly" in text:
        return FORBIDDEN if path.exists() else GONE
    return BROKEN


def _is_writable(path: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(path, os.W_OK, effective_ids=effective)
