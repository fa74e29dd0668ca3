"""The webhook inbox: a folder with one small file for each job that Meter reported, until a sync has loaded it.

A report is a hint, never data: it names a job to fetch. So a file holds ids and a status only; everything else comes
from the API.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from meter_pipeline.host.file_names import make_file_name
from meter_pipeline.store.times import now, retry_at

_FIRST_RETRY, _LAST_RETRY = timedelta(minutes=1), timedelta(hours=1)


class Hint(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job that Meter reported.

    Attributes:
        job_id: Id of the job.
        schedule_id: Id of its schedule, if the report had one.
        status: Status of the job in the report.
        received_at: When the report arrived, in ISO format.
        attempts: Failed attempts to fetch the job from the API.
        retry_at: When the next attempt is due, in ISO format.
    """

    job_id: str
    schedule_id: str | None = None
    status: str | None = None
    received_at: str | None = None
    attempts: int = 0
    retry_at: str | None = None


@dataclass(frozen=True)
class Inbox:
    """Reports that wait in `folder` for a sync."""

    folder: Path

    def put(self, hint: Hint) -> bool:
        """Stores a report durably; returns False if a report of this job waits already.

        Raises:
            OSError: The file cannot be written.
        """
        if self._path(hint.job_id).exists():
            return False
        self._write(hint)
        return True

    def postpone(self, hint: Hint) -> None:
        """Stores a report for a later attempt to fetch its job; the wait doubles with each attempt, up to an hour."""
        attempts = hint.attempts + 1
        later = retry_at(attempts, _FIRST_RETRY, _LAST_RETRY)
        self._write(msgspec.structs.replace(hint, attempts=attempts, retry_at=later))

    def _write(self, hint: Hint) -> None:
        path = self._path(hint.job_id)
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
        self._sync_folder()

    def hints(self, most: int | None = None) -> list[Hint]:
        """Returns at most `most` reports that are due, oldest first; deletes files that cannot be parsed."""
        found: list[Hint] = []
        moment = now()
        for path in self._files():
            if most is not None and len(found) >= most:
                break
            try:
                hint = msgspec.json.decode(path.read_bytes(), type=Hint)
            except FileNotFoundError:
                continue  # another sync has removed it
            except msgspec.MsgspecError:
                path.unlink(missing_ok=True)
                continue
            if path != self._path(hint.job_id):
                # An older version stored it under another name, which `remove` would not find.
                path.replace(self._path(hint.job_id))
            if hint.retry_at is None or hint.retry_at <= moment:
                found.append(hint)
        return found

    def remove(self, job_ids: Iterable[str]) -> None:
        """Deletes the reports of these jobs."""
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
        return self.folder / make_file_name(job_id, ".json")

    def _sync_folder(self) -> None:
        """Makes the new file name durable."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
