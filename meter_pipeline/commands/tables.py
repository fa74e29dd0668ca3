"""Tables for people: no word or number is ever broken.

On a screen a table is as wide as the screen: text is shortened with an ellipsis where columns can be read all the same,
columns that say least are left out, and a line below says which. Where there is no screen (a pipe, a file), everything
is there and whole.
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

# Between two columns, in cells of the screen (a wide character takes two).
_GAP = 2
# A column of text is left out rather than made narrower than this.
_READABLE = 16
# Single words up to this length are not shortened: ids, slugs, states.
_LONGEST_WORD = 36
_LONGEST_HEADING = 32
# What a column of text is given before a column that matters less is shown.
_COMFORTABLE = 40
# Fractions up to this many digits are aligned at the point.
_LONGEST_FRACTION = 8
# Of one value of an upright row.
_MOST_LINES = 8
_SHORTENED = "some values are shortened"
_UPRIGHT = "--vertical"
_WORDS = re.compile("[^ ]* *")
_JSON_WORDS = re.compile("[^ ,]*,* *")
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HASH = re.compile("[0-9a-fA-F]{32,}")


@dataclass(frozen=True)
class Layout:
    """How a table is shown.

    Attributes:
        width: Cells of the screen; None where there is none.
        title: A line above.
        prose: Names of columns whose text is wrapped at spaces instead of shortened.
        grouped: Whether integers are counts, written with thousands separators, and not ids.
        vertical: Whether each row is shown upright, a line for each column. A single row that does not fit is, anyway.
        whole: Options of the command that show what a table leaves out, for the line below.
        most: Most rows on a screen.
    """

    width: int | None = None
    title: str | None = None
    prose: Sequence[str] = ()
    grouped: bool = True
    vertical: bool = False
    whole: Sequence[str] = ()
    most: int | None = None


def plain(value: object) -> object:
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
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return str(value)


def cell(value: object, *, grouped: bool = True) -> str:
    """One value as text: times in UTC without fractions of a second, nested values as JSON, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if grouped else str(value)
    if isinstance(value, (float, Decimal)):
        return str(value)
    if isinstance(value, datetime):
        return f"{value if value.tzinfo is None else value.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, time):
        return value.isoformat(timespec="seconds")
    if isinstance(value, (Mapping, list, tuple)):
        return json_text(plain(value))
    return str(plain(value))


class Column:
    """A column of a table with its texts, and how wide it wants to be.

    Args:
        place: Its place among the columns.
        name: Its heading.
        values: Its values, row by row.
        layout: How the table is shown.
    """

    def __init__(self, place: int, name: str, values: Sequence[object], layout: Layout) -> None:
        present = [value for value in values if value is not None]
        self.place = place
        self.name = printable(name)
        self.is_number = bool(present) and all(_is_number(value) for value in present)
        self.is_prose = name in layout.prose
        self.is_empty = not present
        self._is_text = any(isinstance(value, (str, bytes, Mapping, list, tuple)) for value in present)
        texts = [printable(cell(value, grouped=layout.grouped)) for value in values]
        self.texts = _aligned(texts) if self.is_number else texts

    @cached_property
    def widest_value(self) -> int:
        """Cells of its longest text."""
        return max(map(_cells, self.texts), default=0)

    @cached_property
    def widest(self) -> int:
        """Cells that show all of it."""
        return max(self.widest_value, _cells(self.name))

    @cached_property
    def narrowest(self) -> int:
        """Fewest cells that it can be read in: numbers, times and short words are whole, and so is the heading."""
        heading = max((_cells(word) for word in self.name.split(" ")), default=0)
        value = self.widest_value
        if self._is_text and not (self._is_words and value <= _LONGEST_WORD):
            value = min(value, _READABLE)
        return max(value, min(heading, _LONGEST_HEADING))

    @property
    def comfortable(self) -> int:
        """Cells that it is given before a less important column is shown."""
        return max(self.narrowest, min(self.widest, _COMFORTABLE))

    @property
    def importance(self) -> tuple[int, int, int]:
        """Sorts columns, the most important first: the reader's order, then ids, then our own columns, empty ones."""
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
        """Its name, in words that fit."""
        return " ".join(shortened(word, width) for word in self.name.split(" "))

    def shown(self, width: int) -> list[str]:
        """Its texts, each in at most `width` cells."""
        if self.is_number:
            return [text.rjust(width) for text in self.texts]
        if self.is_prose:
            return [_worded(text, width) for text in self.texts]
        return [shortened(text, width) for text in self.texts]


def draw(console: Console, names: Sequence[str], rows: Sequence[Sequence[object]], layout: Layout) -> None:
    """Prints a table, or upright rows, and what of it is not shown."""
    from rich.text import Text

    left = 0
    if layout.width is not None and layout.most is not None and len(rows) > layout.most:
        rows, left = rows[: layout.most], len(rows) - layout.most
    if layout.title is not None:
        console.print(Text(printable(layout.title), style="bold"), soft_wrap=True)
    if not names:
        return
    columns = [Column(place, name, [row[place] for row in rows], layout) for place, name in enumerate(map(str, names))]
    is_upright = _is_upright(columns, rows, layout)
    notes = _upright(console, columns, rows, layout) if is_upright else _table(console, columns, layout)
    if left:
        notes.append(f"{left:,} more rows")
    if notes and (ways := [way for way in layout.whole if not (is_upright and way == _UPRIGHT)]):
        notes.append("use " + " or ".join([*([", ".join(ways[:-1])] if ways[1:] else []), ways[-1]]))
    if not rows:
        notes = ["no rows"]
    if notes:
        console.print(Text("\n".join(folded("; ".join(notes), layout.width)), style="dim"), soft_wrap=True)


def _is_upright(columns: Sequence[Column], rows: Sequence[object], layout: Layout) -> bool:
    if layout.vertical or layout.width is None or len(rows) != 1:
        return layout.vertical and bool(rows)
    return sum(column.widest + _GAP for column in columns) - _GAP > layout.width and not any(
        column.is_prose for column in columns
    )


def _table(console: Console, columns: Sequence[Column], layout: Layout) -> list[str]:
    """Prints the columns side by side; returns what is not shown of them."""
    chosen = list(columns) if layout.width is None else _chosen(columns, layout.width)
    widths = [column.widest for column in chosen]
    if layout.width is not None:
        widths = _widths(chosen, layout.width)
    headings = [column.heading(width) for column, width in zip(chosen, widths, strict=True)]
    texts = [column.shown(width) for column, width in zip(chosen, widths, strict=True)]
    if layout.width is None:
        _print_plainly(console, chosen, [headings, ["─" * width for width in widths], *zip(*texts, strict=True)])
    else:
        _print(console, chosen, widths, headings, list(zip(*texts, strict=True)))
    notes = []
    if hidden := [column.name for column in columns if column not in chosen]:
        noun = "column" if len(hidden) == 1 else "columns"
        notes.append(f"{len(hidden)} {noun} not shown: {', '.join(hidden)}")
    short = any(
        column.widest_value > width for column, width in zip(chosen, widths, strict=True) if not column.is_prose
    )
    if short and layout.whole:
        notes.append(_SHORTENED)
    return notes


def _chosen(columns: Sequence[Column], room: int) -> list[Column]:
    """The columns that fit, the most important first; what matters less must not make others narrow."""
    chosen: list[Column] = []
    for column in sorted(columns, key=lambda column: column.importance):
        candidates = [*chosen, column]
        is_main = column.importance[0] == 0
        wanted = [other.narrowest if is_main else other.comfortable for other in candidates]
        if not chosen or sum(wanted) + _GAP * (len(wanted) - 1) <= room:
            chosen = candidates
    return sorted(chosen, key=lambda column: column.place)


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    """Cells for each column: all get what they need, and the rest goes to the narrowest ones that want more."""
    widths = [min(column.narrowest, room) for column in columns]
    spare = room - sum(widths) - _GAP * (len(columns) - 1)
    while spare > 0:
        wanting = [place for place, column in enumerate(columns) if widths[place] < column.widest]
        if not wanting:
            break
        widths[min(wanting, key=widths.__getitem__)] += 1
        spare -= 1
    return widths


def _print_plainly(console: Console, columns: Sequence[Column], lines: Iterable[Sequence[str]]) -> None:
    """Prints lines whose texts are whole: there may be millions, and nothing is to be folded or coloured."""
    for line in lines:
        pads = [" " * (column.widest - _cells(text)) for column, text in zip(columns, line, strict=True)]
        texts = [
            pad + text if column.is_number else text + pad
            for column, text, pad in zip(columns, line, pads, strict=True)
        ]
        console.file.write((" " * _GAP).join(texts).rstrip() + "\n")


def _print(
    console: Console,
    columns: Sequence[Column],
    widths: Sequence[int],
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
    """Prints a table without the blanks that fill its last column."""
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


def _upright(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[object]], layout: Layout
) -> list[str]:
    """Prints each row as a line for each column; returns what is not shown of them."""
    from rich.text import Text

    names = max(_cells(column.name) for column in columns)
    room = None
    if layout.width is not None:
        names = min(names, layout.width // 2)
        room = max(layout.width - names - _GAP, 1)
    is_whole = True
    for place in range(len(rows)):
        if len(rows) > 1:
            console.print(Text(f"record {place + 1:,}", style="bold"))
        for column in columns:
            text = column.texts[place].strip()
            lines, is_all = ([text], True) if room is None else _lines(text, room)
            is_whole = is_whole and is_all
            name = shortened(column.name, names)
            head = name + " " * (names - _cells(name) + _GAP)
            for line in lines:
                console.print(Text.assemble((head, "dim"), line), soft_wrap=True)
                head = " " * len(head)
    return [] if is_whole or not layout.whole else [_SHORTENED]


def _lines(text: str, room: int) -> tuple[list[str], bool]:
    """`text` in lines of whole words, the first few of them, and whether that is all; JSON has its own words."""
    lines = [""]
    pieces = [piece for piece in (_JSON_WORDS if text[:1] in ("{", "[") else _WORDS).findall(text) if piece]
    for piece in pieces:
        if lines[-1] and _cells(lines[-1] + piece.rstrip()) > room:
            lines.append("")
        lines[-1] += shortened(piece.rstrip(), room) + piece[len(piece.rstrip()) :]
    is_all = len(lines) <= _MOST_LINES and all(_cells(piece.rstrip()) <= room for piece in pieces)
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], shortened(f"{lines[_MOST_LINES - 1]} …", room)]
    return [line.rstrip() for line in lines], is_all


def folded(text: str, width: int | None, indent: str = "") -> list[str]:
    """`text` in lines of `width` cells, broken at spaces alone; those after the first begin with `indent`."""
    if width is None or len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` cells, with an ellipsis: words at its end go whole, a long word loses its middle."""
    from rich.cells import set_cell_size

    if _cells(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    if " " in text.strip() or not text.isascii():
        head = set_cell_size(text, width - 1).rstrip()
        end = head.rfind(" ")
        return (head[:end].rstrip() if 2 * end >= len(head) else head) + "…"
    end = (width - 1) // 3
    return text[: width - 1 - end] + "…" + text[len(text) - end :]


def _worded(text: str, width: int) -> str:
    """`text` in words of at most `width` cells."""
    return " ".join(shortened(word, width) for word in text.split(" "))


def _cells(text: str) -> int:
    """Cells of a screen that `text` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _aligned(texts: Sequence[str]) -> list[str]:
    """Numbers with their decimal points below each other."""
    fractions = [len(text) - text.find(".") if "." in text else 0 for text in texts]
    widest = max(fractions, default=0)
    if widest > _LONGEST_FRACTION + 1:
        return list(texts)
    return [text + " " * (widest - fraction) for text, fraction in zip(texts, fractions, strict=True)]
