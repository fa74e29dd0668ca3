"""Other processes of this program that load shares of a large sync.

A share and the settings, the API key among them, go through the process's standard input, so that they are in no list
of processes and in no file; progress and the report come back line by line. A process ends with its parent, whose end
closes the pipe.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import IO, Any

from meter_pipeline.api import JobBody
from meter_pipeline.api.bounds import Bounds, NoRoom
from meter_pipeline.api.spool import Spool
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_client, open_store
from meter_pipeline.host.imports import spare_pandas
from meter_pipeline.host.interpreter import command_of, environment
from meter_pipeline.host.scratch import Scratch
from meter_pipeline.sync import sharding
from meter_pipeline.sync.engine import load_share
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.report import Progress, SyncReport
from meter_pipeline.sync.selection import Selection

log = logging.getLogger("meter_pipeline.sync")

_PATHS = frozenset({"data_dir", "config", "dbt_project", "spool_dir"})


class OwnProcesses:
    """Starts processes of this program with its settings: see `meter_pipeline.sync.sharding.Processes`.

    Args:
        settings: Where the API and the data are.
        most: Most processes, with this one.
        work: What this process does, in words: the claims of all processes say so.
    """

    def __init__(self, settings: Settings, most: int, work: str = "meter-pipeline") -> None:
        self._settings = settings
        self._work = work
        # Each client counts its own requests: two of them together would exceed the limit.
        self.most = 1 if settings.max_requests_per_second is not None else most
        self.helpers = most - 1

    @classmethod
    def of(cls, settings: Settings, work: str = "meter-pipeline") -> OwnProcesses:
        """At most as many processes as the settings allow."""
        return cls(settings, settings.processes, work)

    def start(
        self, selection: Selection, limits: Limits, progress: Progress, bodies: Collection[JobBody] = ()
    ) -> _Process:
        """Starts a process that loads a selection, and hands over `bodies`, which it need not fetch then."""
        task = {
            "settings": _settings_to_json(self._settings),
            "selection": selection.as_dict(),
            "limits": asdict(limits),
            "work": self._work,
        }
        with _Parcel(self._settings, bodies) as parcel:
            return _Process(json.dumps({**task, "bodies": parcel.forms, "file": parcel.file}), progress, parcel.file)


class _Parcel:
    """Bodies for another process: their items in a file without a name that the process inherits.

    Args:
        settings: Where temporary files are.
        bodies: What to hand over. All are closed; those for which the disk has no room are left out, to be fetched.

    Attributes:
        forms: The bodies as JSON values.
        file: The file's descriptor; None without bodies, and on Windows, where processes do not inherit descriptors.
    """

    def __init__(self, settings: Settings, bodies: Collection[JobBody]) -> None:
        self.forms: list[dict[str, Any]] = []
        self.file: int | None = None
        self._spool: Spool | None = None
        try:
            if bodies and os.name == "posix":
                with suppress(NoRoom):
                    self._spool = Spool(Scratch(settings.spool_dir, settings.keep_free), Bounds())
                    self.file = self._spool.fileno()
                    for body in bodies:
                        self.forms.append(body.hand_over(self._spool))
        finally:
            for body in bodies:
                body.close()

    def __enter__(self) -> _Parcel:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._spool is not None:
            self._spool.release()


def _take_over(settings: Settings, task: Mapping[str, Any]) -> dict[str, JobBody]:
    """The bodies that the parent handed over, by job id."""
    if not task["bodies"]:
        return {}
    bounds = Bounds(settings.max_body, settings.max_record, settings.max_page)
    file = os.fdopen(task["file"], "rb")
    spool = Spool(Scratch(settings.spool_dir, settings.keep_free), bounds, file)
    bodies = [JobBody.taken_over(form, spool) for form in task["bodies"]]
    spool.release()
    return {body.job.job_id: body for body in bodies}


class _Process:
    """A running process that loads a share."""

    def __init__(self, task: str, progress: Progress, file: int | None = None) -> None:
        self._progress = progress
        self._report: SyncReport | None = None
        self._process = subprocess.Popen(
            command_of("meter_pipeline.workers"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=() if file is None else (file,),
            text=True,
            env=environment(),
        )
        self._reader = threading.Thread(target=self._read, name="meter-share", daemon=True)
        assert self._process.stdin is not None
        # If it has died already, `join` returns None. The pipe stays open: its end makes the process end, too.
        with suppress(OSError):
            self._process.stdin.write(task + "\n")
            self._process.stdin.flush()
        self._reader.start()

    def join(self) -> SyncReport | None:
        """Waits until the process has ended; returns what it did, or None if it died before it had loaded all."""
        self._reader.join()
        self._process.wait()
        self.stop()
        return self._report

    def stop(self) -> None:
        """Ends the process; does nothing if it has ended."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._receive(*json.loads(line))

    def _receive(self, name: str, value: Any) -> None:
        if name == "advance":
            self._progress.advance(value)
        elif name == "note":
            self._progress.note(value)
        elif name == "log":
            log.error("in a process that loads a share: %s", value)
        else:
            self._report = sharding.from_json(value)


class _LineProgress:
    """Progress as lines on the standard output."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lock = threading.Lock()

    def total(self, jobs: int) -> None:
        """Ignored: the parent has counted the jobs of all shares."""

    def advance(self, jobs: int) -> None:
        """Reports that more jobs are done."""
        self.send("advance", jobs)

    def note(self, text: str) -> None:
        """Reports a line of text."""
        self.send("note", text)

    def send(self, name: str, value: Any) -> None:
        """Writes a name and a JSON value as a line."""
        with self._lock:
            self._out.write(json.dumps([name, value]) + "\n")
            self._out.flush()


class _LogForwarder(logging.Handler):
    """Sends logged errors, with their tracebacks, to the parent."""

    def __init__(self, progress: _LineProgress) -> None:
        super().__init__(logging.ERROR)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Sends an entry of the log."""
        self._progress.send("log", self.format(record))


def _settings_to_json(settings: Settings) -> dict[str, Any]:
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _settings_from_json(form: dict[str, Any]) -> Settings:
    paths = {name: Path(form[name]) for name in _PATHS if form.get(name) is not None}
    return replace(Settings(), **{**form, **paths})


def _leave_with_parent(pipe: IO[str]) -> None:
    """Ends this process when its parent is gone; the next sync recovers, as after a kill."""
    pipe.read()
    os._exit(1)


def main() -> int:
    """Loads the share that is described on the standard input."""
    spare_pandas()
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, args=(sys.stdin,), daemon=True).start()
    progress = _LineProgress(sys.stdout)
    logging.getLogger("meter_pipeline").addHandler(_LogForwarder(progress))
    settings = _settings_from_json(task["settings"])
    with open_store(settings) as store, open_client(settings, store.ledger) as client:
        store.ledger.claims.work = task["work"]
        report = load_share(
            client,
            store.ledger,
            store.lake,
            Selection.from_dict(task["selection"]),
            limits=Limits(**task["limits"]),
            progress=progress,
            config=load_config(settings.config),
            carried=_take_over(settings, task),
        )
    progress.send("report", sharding.to_json(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
