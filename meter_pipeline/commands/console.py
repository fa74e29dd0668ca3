"""What the command line shows: tables, one JSON document, plain lines, and progress on a terminal."""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

# A plain-line progress says something about this often, in percent.
_STEP = 10


class Progress(Protocol):
    """What the engine tells while it works."""

    def total(self, jobs: int) -> None:
        """`jobs` more jobs are to be loaded."""

    def advance(self, jobs: int) -> None:
        """`jobs` jobs are done."""

    def note(self, text: str) -> None:
        """Something worth a line."""


def say(text: str = "") -> None:
    """A line on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """A line on stderr: progress, notes and errors."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def emit(document: object) -> None:
    """The one JSON document of `--json` on stdout."""
    say(json.dumps(_plain(document), ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def _plain(value: object) -> object:
    """`value` in JSON's own types: numbers that JSON lacks become null, unknown types their text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        # A lone surrogate has no UTF-8 form.
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Iterable):
        return [_plain(inner) for inner in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return str(value)


def show(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """A table on stdout, numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        values = [row[place] for row in cells if row[place] is not None]
        numeric = bool(values) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell(value)) for value in row))
    # Piped output is not cut to the width of a terminal that is not there.
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    if title is not None:
        console.print(Text(title, style="bold"))
    console.print(table)


def cell(value: object) -> str:
    """One value as text for a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, (dict, list)):
        return json.dumps(_plain(value), ensure_ascii=False)
    return str(_plain(value))


class Shown(Progress, Protocol):
    """Progress that remembers its notes, so that none of them is said twice."""

    told: set[str]


class Lines:
    """Progress as plain lines on stderr, for logs and pipes; silent when `quiet`."""

    def __init__(self, quiet: bool = False) -> None:
        self.told: set[str] = set()
        self._quiet, self._total, self._done, self._told = quiet, 0, 0, 0
        self._lock = threading.Lock()

    def total(self, jobs: int) -> None:
        """`jobs` more jobs are to be loaded."""
        self._total += jobs

    def advance(self, jobs: int) -> None:
        """`jobs` jobs are done."""
        with self._lock:
            self._done += jobs
            percent = 100 * self._done // max(self._total, 1)
            if percent >= self._told + _STEP:
                self._told = percent - percent % _STEP
                self.note(f"{self._done:,} of {self._total:,} jobs done")

    def note(self, text: str) -> None:
        """Something worth a line."""
        if not self._quiet:
            self.told.add(text)
            tell(text)


class Bar:
    """Progress as a bar on a terminal."""

    def __init__(self, bar: RichProgress) -> None:
        self.told: set[str] = set()
        self._bar, self._total = bar, 0
        self._task = bar.add_task("loading jobs", total=None)

    def total(self, jobs: int) -> None:
        """`jobs` more jobs are to be loaded."""
        self._total += jobs
        self._bar.update(self._task, total=self._total)

    def advance(self, jobs: int) -> None:
        """`jobs` jobs are done."""
        self._bar.advance(self._task, jobs)

    def note(self, text: str) -> None:
        """Something worth a line."""
        self.told.add(text)
        self._bar.console.print(text, markup=False, highlight=False)


@contextmanager
def progress(quiet: bool = False) -> Iterator[Shown]:
    """A bar on a terminal, plain lines elsewhere, nothing when `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield Lines(quiet)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
        yield Bar(bar)


def record(value: Any) -> Any:
    """An API record as a JSON object, times in ISO format, without the raw answer."""
    fields = {name: getattr(value, name) for name in value.__dataclass_fields__ if name != "raw"}
    return {name: inner for name, inner in fields.items() if inner is not None}
