"""Draws tables for people, and never breaks a word or a number.

On a screen a table is as wide as the screen: long text is shortened with an ellipsis, the least important columns are
omitted, and a line below names them. Without a screen (in a pipe or a file) a table is complete.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from meter_pipeline.text.printable import json_text, printable

if TYPE_CHECKING:
    from rich.console import Console

# Cells between two columns; a wide character fills two cells of the screen.
_GAP = 2
# A column of text is omitted rather than made narrower than this, in cells.
_READABLE = 16
# Single words of at most this many cells are never shortened: ids, slugs, states.
_MAX_WORD = 36
_MAX_HEADING = 32
# A column of text gets this many cells before a less important column is added.
_COMFORTABLE = 40
# Numbers with at most this many decimals are aligned at the decimal point.
_MAX_DECIMALS = 8
# Lines of one value in a vertical row.
_MAX_LINES = 8
_SHORTENED = "some values are shortened"
_VERTICAL = "--vertical"
_WORDS = re.compile("[^ ]* *")
_JSON_WORDS = re.compile("[^ ,]*,* *")
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HASH = re.compile("[0-9a-fA-F]{32,}")


@dataclass(frozen=True)
class Layout:
    """How a table is drawn.

    Attributes:
        width: Cells of the screen; None without a screen.
        title: A line above.
        prose: Names of columns whose text is wrapped at spaces instead of shortened.
        grouped: Whether integers are counts, printed with thousands separators, and not ids.
        vertical: Whether to print a line for each column of each row; a single row that is too wide always is.
        full_options: Options of the command that print what a table omits, for the line below.
        max_rows: Most rows on a screen.
    """

    width: int | None = None
    title: str | None = None
    prose: Sequence[str] = ()
    grouped: bool = True
    vertical: bool = False
    full_options: Sequence[str] = ()
    max_rows: int | None = None


def to_json_value(value: object) -> object:
    """Converts `value` to JSON's types: numbers that JSON lacks become null, unknown types become text."""
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
        return {str(key): to_json_value(inner) for key, inner in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Iterable):
        return [to_json_value(inner) for inner in value]
    if is_dataclass(value) and not isinstance(value, type):
        return to_json_value(asdict(value))
    return str(value)


def format_cell(value: object, *, grouped: bool = True) -> str:
    """Formats one value: times in UTC without fractions of a second, nested values as JSON, null as an empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if grouped else str(value)
    if isinstance(value, Decimal) and value.is_finite():
        return _format_decimal(value)
    if isinstance(value, (float, Decimal)):
        return str(value)
    if isinstance(value, datetime):
        return f"{value if value.tzinfo is None else value.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, time):
        return value.isoformat(timespec="seconds")
    if isinstance(value, (Mapping, list, tuple)):
        return json_text(to_json_value(value))
    return str(to_json_value(value))


def _format_decimal(value: Decimal) -> str:
    """A decimal without the zeros that only its column's scale adds beyond the cents: 9.800000000000 is 9.80."""
    whole, point, decimals = f"{value:f}".partition(".")
    return f"{whole}{point}{decimals[:2]}{decimals[2:].rstrip('0')}"


class Column:
    """A column of a table: its formatted values, and the widths that suit it.

    Args:
        place: Position among the columns, from 0.
        name: Heading.
        values: A value for each row.
        layout: How the table is drawn.
    """

    def __init__(self, place: int, name: str, values: Sequence[object], layout: Layout) -> None:
        present = [value for value in values if value is not None]
        self.place = place
        self.name = printable(name)
        self.is_number = bool(present) and all(_is_number(value) for value in present)
        self.is_prose = name in layout.prose
        self.is_empty = not present
        self._is_text = any(isinstance(value, (str, bytes, Mapping, list, tuple)) for value in present)
        texts = [printable(format_cell(value, grouped=layout.grouped)) for value in values]
        self.texts = _align_decimals(texts) if self.is_number else texts

    @cached_property
    def widest_value(self) -> int:
        """Cells of the longest value."""
        return max(map(_count_cells, self.texts), default=0)

    @cached_property
    def widest(self) -> int:
        """Cells that the whole column needs."""
        return max(self.widest_value, _count_cells(self.name))

    @cached_property
    def narrowest(self) -> int:
        """Fewest cells in which the column is readable: numbers, times, short words and the heading are complete."""
        heading = max((_count_cells(word) for word in self.name.split(" ")), default=0)
        value = self.widest_value
        if self._is_text and not (self._is_words and value <= _MAX_WORD):
            value = min(value, _READABLE)
        return max(value, min(heading, _MAX_HEADING))

    @property
    def comfortable(self) -> int:
        """Cells that the column gets before a less important column is added."""
        return max(self.narrowest, min(self.widest, _COMFORTABLE))

    @property
    def importance(self) -> tuple[int, int, int]:
        """Sort key, the most important first: columns in their order, then ids, columns of this package, empty ones."""
        if self.is_empty and self.place:
            return 3, self.widest, self.place
        if self.name.startswith("_"):
            return 2, self.widest, self.place
        if self._consists_of(_HASH) or (self.place and self._consists_of(_UUID)):
            return 1, 0, self.place
        return 0, 0, self.place

    @cached_property
    def _is_words(self) -> bool:
        return not any(" " in text or text.startswith(("http://", "https://")) for text in self.texts)

    def _consists_of(self, form: re.Pattern[str]) -> bool:
        return not self.is_number and all(form.fullmatch(text) for text in self.texts if text)

    def heading(self, width: int) -> str:
        """The heading, each word in at most `width` cells."""
        return " ".join(shorten(word, width) for word in self.name.split(" "))

    def fit(self, width: int) -> list[str]:
        """The values, each in at most `width` cells; words of prose, which is wrapped later."""
        if self.is_number:
            return [text.rjust(width) for text in self.texts]
        if self.is_prose:
            return [_shorten_words(text, width) for text in self.texts]
        return [shorten(text, width) for text in self.texts]


def draw_table(console: Console, names: Sequence[str], rows: Sequence[Sequence[object]], layout: Layout) -> None:
    """Prints a table, or its rows vertically, and a line about what is omitted."""
    from rich.text import Text

    omitted = 0
    if layout.width is not None and layout.max_rows is not None and len(rows) > layout.max_rows:
        rows, omitted = rows[: layout.max_rows], len(rows) - layout.max_rows
    if layout.title is not None:
        console.print(Text(printable(layout.title), style="bold"), soft_wrap=True)
    if not names:
        return
    columns = [Column(place, name, [row[place] for row in rows], layout) for place, name in enumerate(map(str, names))]
    is_vertical = _is_vertical(columns, rows, layout)
    notes = (
        _draw_vertically(console, columns, rows, layout)
        if is_vertical
        else _draw_horizontally(console, columns, layout)
    )
    if omitted:
        notes.append(f"{omitted:,} more {'row' if omitted == 1 else 'rows'}")
    if notes and (options := [name for name in layout.full_options if not (is_vertical and name == _VERTICAL)]):
        notes.append("use " + " or ".join([*([", ".join(options[:-1])] if options[1:] else []), options[-1]]))
    if not rows:
        notes = ["no rows"]
    if notes:
        console.print(Text("\n".join(fold_line("; ".join(notes), layout.width)), style="dim"), soft_wrap=True)


def _is_vertical(columns: Sequence[Column], rows: Sequence[object], layout: Layout) -> bool:
    if layout.vertical or layout.width is None or len(rows) != 1:
        return layout.vertical and bool(rows)
    return sum(column.widest + _GAP for column in columns) - _GAP > layout.width and not any(
        column.is_prose for column in columns
    )


def _draw_horizontally(console: Console, columns: Sequence[Column], layout: Layout) -> list[str]:
    """Prints the columns side by side; returns notes about what is omitted."""
    chosen = list(columns) if layout.width is None else _choose_columns(columns, layout.width)
    widths = [column.widest for column in chosen]
    if layout.width is not None:
        widths = _choose_widths(chosen, layout.width)
    headings = [column.heading(width) for column, width in zip(chosen, widths, strict=True)]
    texts = [column.fit(width) for column, width in zip(chosen, widths, strict=True)]
    if layout.width is None:
        _print_complete(console, chosen, [headings, ["─" * width for width in widths], *zip(*texts, strict=True)])
    else:
        _print_grid(console, chosen, widths, headings, list(zip(*texts, strict=True)))
    notes = []
    if hidden := [column.name for column in columns if column not in chosen]:
        noun = "column" if len(hidden) == 1 else "columns"
        notes.append(f"{len(hidden)} {noun} not shown: {', '.join(hidden)}")
    is_shortened = any(
        column.widest_value > width for column, width in zip(chosen, widths, strict=True) if not column.is_prose
    )
    if is_shortened and layout.full_options:
        notes.append(_SHORTENED)
    return notes


def _choose_columns(columns: Sequence[Column], width: int) -> list[Column]:
    """Returns the columns that fit, the most important first; less important ones must not make others narrow."""
    chosen: list[Column] = []
    for column in sorted(columns, key=lambda column: column.importance):
        candidates = [*chosen, column]
        is_main = column.importance[0] == 0
        wanted = [other.narrowest if is_main else other.comfortable for other in candidates]
        if not chosen or sum(wanted) + _GAP * (len(wanted) - 1) <= width:
            chosen = candidates
    return sorted(chosen, key=lambda column: column.place)


def _choose_widths(columns: Sequence[Column], width: int) -> list[int]:
    """Returns cells for each column: first what each needs, then more for the narrowest that want more."""
    widths = [min(column.narrowest, width) for column in columns]
    spare = width - sum(widths) - _GAP * (len(columns) - 1)
    while spare > 0:
        wanting = [place for place, column in enumerate(columns) if widths[place] < column.widest]
        if not wanting:
            break
        widths[min(wanting, key=widths.__getitem__)] += 1
        spare -= 1
    return widths


def _print_complete(console: Console, columns: Sequence[Column], lines: Iterable[Sequence[str]]) -> None:
    """Prints complete lines without rich, which is slow: there may be millions, and none is folded or coloured."""
    for line in lines:
        pads = [" " * (column.widest - _count_cells(text)) for column, text in zip(columns, line, strict=True)]
        texts = [
            pad + text if column.is_number else text + pad
            for column, text, pad in zip(columns, line, pads, strict=True)
        ]
        console.file.write((" " * _GAP).join(texts).rstrip() + "\n")


def _print_grid(
    console: Console,
    columns: Sequence[Column],
    widths: Sequence[int],
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
    """Prints a table without trailing blanks."""
    from rich import box, table
    from rich.text import Text

    grid = table.Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0), border_style="dim"
    )  # fmt: skip
    for column, width, heading in zip(columns, widths, headings, strict=True):
        head = Text(heading, justify="right" if column.is_number else "left")
        grid.add_column(head, width=max(width, 1), header_style="bold")
    for row in rows:
        grid.add_row(*map(Text, row))
    with console.capture() as captured:
        console.print(grid, crop=False)
    console.file.write("".join(line.rstrip() + "\n" for line in captured.get().split("\n")[:-1]))


def _draw_vertically(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[object]], layout: Layout
) -> list[str]:
    """Prints a line for each column of each row; returns notes about what is omitted."""
    from rich.text import Text

    names = max(_count_cells(column.name) for column in columns)
    room = None
    if layout.width is not None:
        names = min(names, layout.width // 2)
        room = max(layout.width - names - _GAP, 1)
    is_complete = True
    for place in range(len(rows)):
        if len(rows) > 1:
            console.print(Text(f"record {place + 1:,}", style="bold"))
        for column in columns:
            text = column.texts[place].strip()
            lines, is_complete_text = ([text], True) if room is None else _wrap(text, room)
            is_complete = is_complete and is_complete_text
            name = shorten(column.name, names)
            head = name + " " * (names - _count_cells(name) + _GAP)
            for line in lines:
                console.print(Text.assemble((head, "dim"), line), soft_wrap=True)
                head = " " * len(head)
    return [] if is_complete or not layout.full_options else [_SHORTENED]


def _wrap(text: str, room: int) -> tuple[list[str], bool]:
    """Wraps `text` at words, JSON at commas too; returns the first few lines, and whether they are complete."""
    lines = [""]
    pieces = [piece for piece in (_JSON_WORDS if text[:1] in ("{", "[") else _WORDS).findall(text) if piece]
    for piece in pieces:
        if lines[-1] and _count_cells(lines[-1] + piece.rstrip()) > room:
            lines.append("")
        lines[-1] += shorten(piece.rstrip(), room) + piece[len(piece.rstrip()) :]
    is_complete_text = len(lines) <= _MAX_LINES and all(_count_cells(piece.rstrip()) <= room for piece in pieces)
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], shorten(f"{lines[_MAX_LINES - 1]} …", room)]
    return [line.rstrip() for line in lines], is_complete_text


def fold_line(text: str, width: int | None, indent: str = "") -> list[str]:
    """Folds `text` into lines of `width` cells, only at spaces; lines after the first begin with `indent`."""
    if width is None or len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def shorten(text: str, width: int) -> str:
    """Shortens `text` to `width` cells with an ellipsis: last words are dropped, a long word loses its middle."""
    from rich.cells import set_cell_size

    if _count_cells(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    if " " in text.strip() or not text.isascii():
        head = set_cell_size(text, width - 1).rstrip()
        end = head.rfind(" ")
        return (head[:end].rstrip() if 2 * end >= len(head) else head) + "…"
    end = (width - 1) // 3
    return text[: width - 1 - end] + "…" + text[len(text) - end :]


def _shorten_words(text: str, width: int) -> str:
    """Shortens each word of `text` to `width` cells."""
    return " ".join(shorten(word, width) for word in text.split(" "))


def _count_cells(text: str) -> int:
    """Cells of the screen that `text` fills."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _align_decimals(texts: Sequence[str]) -> list[str]:
    """Pads numbers so that their decimal points are below each other."""
    fractions = [len(text) - text.find(".") if "." in text else 0 for text in texts]
    widest = max(fractions, default=0)
    if widest > _MAX_DECIMALS + 1:
        return list(texts)
    return [text + " " * (widest - fraction) for text, fraction in zip(texts, fractions, strict=True)]
