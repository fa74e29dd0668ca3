"""Prints what commands show: tables, one JSON document, plain lines, and progress on a terminal."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from meter_pipeline.commands.tables import Layout, draw_table, fold_line, to_json_value
from meter_pipeline.text.printable import json_text, printable

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress

# Progress in plain lines prints a line each time this many more percent are done.
_STEP_PERCENT = 10
# Assumed width of a terminal that does not report its own.
_DEFAULT_COLUMNS = 80
# Wider than any table: without a screen nothing is folded or shortened.
_UNBOUNDED_WIDTH = 10**9


def print_line(text: str = "") -> None:
    """Prints a line on stdout."""
    _write_line(sys.stdout, text)


def print_stderr(text: str) -> None:
    """Prints a line on stderr: progress, notes and errors."""
    _write_line(sys.stderr, text)


def _write_line(out: TextIO, text: str) -> None:
    """Prints one line; on a terminal a longer one is folded at spaces."""
    text = printable(text)
    if out.isatty():
        indent = " " * (len(text) - len(text.lstrip()) + 2)
        text = "\n".join(fold_line(text, _find_width(out), indent))
    out.write(text + "\n")
    out.flush()


def _find_width(out: TextIO) -> int | None:
    """Width of a line in cells, from COLUMNS or else the terminal; None without either."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    if not out.isatty():
        return None
    with suppress(OSError, ValueError):
        return os.get_terminal_size(out.fileno()).columns or _DEFAULT_COLUMNS
    return _DEFAULT_COLUMNS


def print_json(document: object) -> None:
    """Prints the one JSON document of `--json` on stdout, with every character of the data.

    Characters that a terminal would obey are written as JSON escapes.
    """
    sys.stdout.write(json_text(to_json_value(document), indent=2 if sys.stdout.isatty() else None) + "\n")
    sys.stdout.flush()


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str | None = None,
    *,
    prose: Sequence[str] = (),
    grouped: bool = True,
    vertical: bool = False,
    full_options: Sequence[str] = ("--json",),
    max_rows: int | None = None,
) -> None:
    """Prints a table on stdout, as wide as the screen; without a screen, complete.

    Args:
        columns: Headings.
        rows: Rows with a value for each column.
        title: A line above.
        prose: Columns whose text is wrapped at spaces instead of shortened.
        grouped: Whether integers are counts, printed with thousands separators, and not ids.
        vertical: Whether to print a line for each column of each row.
        full_options: Options of the command that print what a table omits.
        max_rows: Most rows on a screen.
    """
    from rich.console import Console

    width = _find_width(sys.stdout)
    layout = Layout(width, title, prose, grouped, vertical, full_options, max_rows)
    console = Console(file=sys.stdout, width=width or _UNBOUNDED_WIDTH, highlight=False)
    draw_table(console, columns, [list(row) for row in rows], layout)
    sys.stdout.flush()


def parse_time(text: str | None) -> datetime | None:
    """Parses a time that the ledger or a publication keeps as ISO text, so that it is printed like all other times."""
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints an uncaught exception as Python does, made safe for a terminal: its message may quote scraped text."""
    for piece in traceback.format_exception(kind, error, trace):
        sys.stderr.write(printable(piece, lines=True))


class LineProgress:
    """Progress as plain lines on stderr, for logs and pipes; prints nothing when `quiet`.

    Attributes:
        printed: The notes that were printed, so that no report repeats them.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.printed: set[str] = set()
        self._quiet, self._total, self._done, self._printed_percent = quiet, 0, 0, 0
        self._lock = threading.Lock()

    def total(self, jobs: int) -> None:
        """Adds `jobs` jobs that will be loaded."""
        self._total += jobs

    def advance(self, jobs: int) -> None:
        """Adds `jobs` jobs that are done."""
        with self._lock:
            self._done += jobs
            percent = 100 * self._done // max(self._total, 1)
            if percent >= self._printed_percent + _STEP_PERCENT:
                self._printed_percent = percent - percent % _STEP_PERCENT
                self.note(f"{self._done:,} of {self._total:,} jobs done")

    def note(self, text: str) -> None:
        """Prints a note as a line."""
        if not self._quiet:
            self.printed.add(text)
            print_stderr(text)


class BarProgress:
    """Progress as a bar on a terminal.

    Attributes:
        printed: The notes that were printed, so that no report repeats them.
    """

    def __init__(self, bar: RichProgress) -> None:
        self.printed: set[str] = set()
        self._bar, self._total = bar, 0
        self._task = bar.add_task("loading jobs", total=None)

    def total(self, jobs: int) -> None:
        """Adds `jobs` jobs that will be loaded."""
        self._total += jobs
        self._bar.update(self._task, total=self._total)

    def advance(self, jobs: int) -> None:
        """Adds `jobs` jobs that are done."""
        self._bar.advance(self._task, jobs)

    def note(self, text: str) -> None:
        """Prints a note above the bar."""
        self.printed.add(text)
        self._bar.console.print(printable(text), markup=False, highlight=False, overflow="ignore", crop=False)


@contextmanager
def open_progress(quiet: bool = False) -> Iterator[LineProgress | BarProgress]:
    """Yields a bar on a terminal, plain lines elsewhere, and silence when `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield LineProgress(quiet)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield BarProgress(bar)


def to_document(record: Any) -> Any:
    """Returns an API record as a JSON object, without its empty fields and the raw answer."""
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__ if name != "raw"}
    return {name: value for name, value in fields.items() if value is not None}
