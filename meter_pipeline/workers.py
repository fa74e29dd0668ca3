"""Other processes of this program that load shares of a large sync.

A share and the settings, the key among them, go through the process's standard input, so that they are in no list of
processes and in no file; what became of it comes back line by line. A process ends with the one that started it: that
one's end closes the pipe.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import IO, Any

from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_client, open_store
from meter_pipeline.sync import sharding as shares
from meter_pipeline.sync.engine import load_share
from meter_pipeline.sync.report import Progress, SyncReport
from meter_pipeline.sync.selection import Selection

log = logging.getLogger("meter_pipeline.sync")

_PATHS = frozenset({"data_dir", "config", "dbt_project", "spool_dir"})


class OwnProcesses:
    """`meter_pipeline.sync.sharding.Processes` of this program, with its settings.

    Args:
        settings: Where the API and the data are.
        most: Most processes, this one counted.
    """

    def __init__(self, settings: Settings, most: int) -> None:
        self._settings = settings
        # A bound on calls is one client's: two of them would keep it each for itself.
        self.most = 1 if settings.max_requests_per_second is not None else most

    @classmethod
    def of(cls, settings: Settings) -> OwnProcesses:
        """As many as the settings say."""
        return cls(settings, settings.processes)

    def start(self, selection: Selection, workers: int, progress: Progress) -> _Process:
        """Starts one that loads what is selected with so many threads that fetch."""
        task = {"settings": _settings_out(self._settings), "selection": selection.as_dict(), "workers": workers}
        return _Process(json.dumps(task), progress)


class _Process:
    """A process that has been given a share."""

    def __init__(self, task: str, progress: Progress) -> None:
        self._progress = progress
        self._report: SyncReport | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "meter_pipeline.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._reader = threading.Thread(target=self._read, name="meter-share", daemon=True)
        assert self._process.stdin is not None
        # If it has died already, `join` tells. The pipe stays open: its end tells the process that this one is gone.
        with suppress(OSError):
            self._process.stdin.write(task + "\n")
            self._process.stdin.flush()
        self._reader.start()

    def join(self) -> SyncReport | None:
        """Waits for its end; what it did, `None` when it did not get to the end."""
        self._reader.join()
        self._process.wait()
        self.stop()
        return self._report

    def stop(self) -> None:
        """Ends it; nothing when it has ended."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._take(*json.loads(line))

    def _take(self, name: str, value: Any) -> None:
        if name == "advance":
            self._progress.advance(value)
        elif name == "note":
            self._progress.note(value)
        elif name == "log":
            log.error("in a process that loads a share: %s", value)
        else:
            self._report = shares.from_json(value)


class _Told:
    """Progress as lines on the standard output."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lock = threading.Lock()

    def total(self, jobs: int) -> None:
        """Ignored: whoever started this process has counted."""

    def advance(self, jobs: int) -> None:
        """So many more jobs are done."""
        self.tell("advance", jobs)

    def note(self, text: str) -> None:
        """Something worth a line."""
        self.tell("note", text)

    def tell(self, name: str, value: Any) -> None:
        """One line."""
        with self._lock:
            self._out.write(json.dumps([name, value]) + "\n")
            self._out.flush()


class _Log(logging.Handler):
    """Hands errors that are logged, with their tracebacks, to whoever started this process."""

    def __init__(self, told: _Told) -> None:
        super().__init__(logging.ERROR)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        """One entry of the log."""
        self._told.tell("log", self.format(record))


def _settings_out(settings: Settings) -> dict[str, Any]:
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _settings_in(form: dict[str, Any]) -> Settings:
    paths = {name: Path(form[name]) for name in _PATHS if form.get(name) is not None}
    return replace(Settings(), **{**form, **paths})


def _leave_with_parent(pipe: IO[str]) -> None:
    """Ends this process when whoever started it is gone; what it was at is healed by the next sync, as after a kill."""
    pipe.read()
    os._exit(1)


def main() -> int:
    """Loads the share that the standard input names."""
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, args=(sys.stdin,), daemon=True).start()
    told = _Told(sys.stdout)
    logging.getLogger("meter_pipeline").addHandler(_Log(told))
    settings = _settings_in(task["settings"])
    with open_store(settings) as store, open_client(settings, store.ledger) as client:
        report = load_share(
            client,
            store.ledger,
            store.lake,
            Selection.from_dict(task["selection"]),
            workers=task["workers"],
            progress=told,
            config=load_config(settings.config),
        )
    told.tell("report", shares.to_json(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
