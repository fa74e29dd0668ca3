"""What the command line shows: tables, one JSON document, plain lines, and progress on a terminal."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from meter_pipeline.commands.tables import Layout, draw, folded, plain
from meter_pipeline.commands.tables import cell as cell
from meter_pipeline.text.printable import json_text, printable

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress

# A plain-line progress says something about this often, in percent.
_STEP = 10
# Of a terminal that does not say how wide it is.
_COLUMNS = 80
# Wider than any table: nothing is folded or cut where there is no screen.
_ENDLESS = 10**9


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
    _line(sys.stdout, text)


def tell(text: str) -> None:
    """A line on stderr: progress, notes and errors."""
    _line(sys.stderr, text)


def _line(out: TextIO, text: str) -> None:
    """Prints one line; on a terminal, a longer one is folded at its spaces."""
    text = printable(text)
    if out.isatty():
        indent = " " * (len(text) - len(text.lstrip()) + 2)
        text = "\n".join(folded(text, _screen(out), indent))
    out.write(text + "\n")
    out.flush()


def _screen(out: TextIO) -> int | None:
    """Cells of a line: what COLUMNS says, or the terminal; None where there is neither."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    if not out.isatty():
        return None
    with suppress(OSError, ValueError):
        return os.get_terminal_size(out.fileno()).columns or _COLUMNS
    return _COLUMNS


def emit(document: object) -> None:
    """The one JSON document of `--json` on stdout: it keeps every character, and none that a terminal obeys is bare."""
    sys.stdout.write(json_text(plain(document), indent=2 if sys.stdout.isatty() else None) + "\n")
    sys.stdout.flush()


def show(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str | None = None,
    *,
    prose: Sequence[str] = (),
    grouped: bool = True,
    vertical: bool = False,
    whole: Sequence[str] = ("--json",),
    most: int | None = None,
) -> None:
    """A table on stdout, as wide as the screen; without one, everything that the rows hold.

    Args:
        columns: Headings.
        rows: Rows with a value for each column.
        title: A line above.
        prose: Columns whose text is wrapped at spaces instead of shortened.
        grouped: Whether integers are counts, and not ids: they get thousands separators.
        vertical: Whether each row is shown upright, a line for each column.
        whole: Options of the command that show what a table leaves out.
        most: Most rows on a screen.
    """
    from rich.console import Console

    width = _screen(sys.stdout)
    layout = Layout(width, title, prose, grouped, vertical, whole, most)
    console = Console(file=sys.stdout, width=width or _ENDLESS, highlight=False)
    draw(console, columns, [list(row) for row in rows], layout)
    sys.stdout.flush()


def read_time(text: str | None) -> datetime | None:
    """A time that the ledger or a publication keeps as ISO text, as a time that is shown like all others."""
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints what Python prints of an uncaught exception, whose message may quote anything."""
    for piece in traceback.format_exception(kind, error, trace):
        sys.stderr.write(printable(piece, lines=True))


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
        self._bar.console.print(printable(text), markup=False, highlight=False, overflow="ignore", crop=False)


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
