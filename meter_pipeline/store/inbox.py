"""The webhook inbox: a folder with one small file for each job that Meter reported, till a sync has dealt with it.

A report is a hint, never data: it says which job to look at. So a file holds ids and a state, and whatever else a
delivery carried is left to the API to tell.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

_LONGEST_NAME = 200


class Hint(msgspec.Struct, frozen=True):
    """A job that Meter reported; `schedule_id` and `status` as the report told them."""

    job_id: str
    schedule_id: str | None = None
    status: str | None = None
    received_at: str | None = None


@dataclass(frozen=True)
class Inbox:
    """Reports that wait in a folder."""

    folder: Path

    def put(self, hint: Hint) -> bool:
        """Keeps a report, so that it survives a power cut; `False` when one of this job waits already.

        Raises:
            OSError: It cannot be written.
        """
        path = self._path(hint.job_id)
        if path.exists():
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(hint))
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._settle()
        return True

    def hints(self, most: int | None = None) -> list[Hint]:
        """The reports that wait, oldest first; what cannot be read is taken out."""
        found = []
        for path in self._files():
            if most is not None and len(found) >= most:
                break
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Hint))
            except FileNotFoundError:
                continue  # another sync was quicker
            except msgspec.MsgspecError:
                path.unlink(missing_ok=True)
        return found

    def remove(self, job_ids: Iterable[str]) -> None:
        """Takes reports out."""
        for job_id in job_ids:
            self._path(job_id).unlink(missing_ok=True)

    def _files(self) -> Iterator[Path]:
        try:
            with os.scandir(self.folder) as entries:
                files = [(entry.stat().st_mtime_ns, entry.name) for entry in entries if entry.name.endswith(".json")]
        except FileNotFoundError:
            return
        for _, name in sorted(files):
            yield self.folder / name

    def _path(self, job_id: str) -> Path:
        name = quote(job_id, safe="")
        if len(name) > _LONGEST_NAME:
            name = hashlib.sha256(job_id.encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / f"{name}.json"

    def _settle(self) -> None:
        """Makes the new name durable, too."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
