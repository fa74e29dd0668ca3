"""The webhook inbox: a folder with one small file for each job that Meter reported, till a sync has dealt with it.

A report is a hint, never data: it says which job to look at. So a file holds ids and a state, and whatever else a
delivery carried is left to the API to tell.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec

from meter_pipeline.host.file_names import make_file_name
from meter_pipeline.store.times import iso, now

_FIRST_RETRY, _LAST_RETRY = timedelta(minutes=1), timedelta(hours=1)


class Hint(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job that Meter reported; `schedule_id` and `status` as the report told them, times in ISO format.

    `attempts` to ask the API for it have failed, and the next one is not due before `retry_at`.
    """

    job_id: str
    schedule_id: str | None = None
    status: str | None = None
    received_at: str | None = None
    attempts: int = 0
    retry_at: str | None = None


@dataclass(frozen=True)
class Inbox:
    """Reports that wait in a folder."""

    folder: Path

    def put(self, hint: Hint) -> bool:
        """Keeps a report, so that it survives a power cut; `False` when one of this job waits already.

        Raises:
            OSError: It cannot be written.
        """
        if self._path(hint.job_id).exists():
            return False
        self._write(hint)
        return True

    def postpone(self, hint: Hint) -> None:
        """Keeps a report for later, when the API could not be asked for its job: longer each time."""
        wait = min(_FIRST_RETRY * 2 ** min(hint.attempts, 10), _LAST_RETRY)
        retry_at = iso(datetime.now(timezone.utc) + wait)
        self._write(msgspec.structs.replace(hint, attempts=hint.attempts + 1, retry_at=retry_at))

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
        self._settle()

    def hints(self, most: int | None = None) -> list[Hint]:
        """The reports that wait and are due, oldest first; what cannot be read is taken out."""
        found: list[Hint] = []
        moment = now()
        for path in self._files():
            if most is not None and len(found) >= most:
                break
            try:
                hint = msgspec.json.decode(path.read_bytes(), type=Hint)
            except FileNotFoundError:
                continue  # another sync was quicker
            except msgspec.MsgspecError:
                path.unlink(missing_ok=True)
                continue
            if path != self._path(hint.job_id):
                # Kept by an older version, which made other names: `remove` would not find it.
                path.replace(self._path(hint.job_id))
            if hint.retry_at is None or hint.retry_at <= moment:
                found.append(hint)
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
        return self.folder / make_file_name(job_id, ".json")

    def _settle(self) -> None:
        """Makes the new name durable, too."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
