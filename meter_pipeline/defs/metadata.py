"""Facts about what was loaded, in the forms that the Dagster UI draws: schemas, row counts, plots, links, samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import dagster as dg

Metadata = dict[str, Any]

_SAMPLE_ROWS, _SAMPLE_COLUMNS = 5, 6
_CELL = 32
# Of a longer text the UI shows a link to it alone, see `MarkdownMetadataEntry` of its code.
_INLINE = 999
_ADDRESS = re.compile(r"https?://[^/\s]+(?=/\S)")
_MARKUP = re.compile(r"[\\|`*\[\]~]|(?<!\w)_|_(?!\w)")


def table(
    name: str, *, rows: int | None = None, uri: str | None = None, columns: Sequence[dg.TableColumn] = ()
) -> Metadata:
    """Dagster's own entries for a table: its name in the warehouse, rows, place and columns."""
    facts: Metadata = {"dagster/table_name": name}
    if rows is not None:
        facts["dagster/row_count"] = rows
    if uri:
        facts["dagster/uri"] = uri
    if columns:
        facts["dagster/column_schema"] = dg.TableSchema(columns=list(columns))
    return facts


def link(url: str | None) -> dg.UrlMetadataValue | None:
    """A clickable link; `None` for what is no web address."""
    return dg.MetadataValue.url(url) if url and url.startswith(("http://", "https://")) else None


def moment(time: str | None) -> dg.TimestampMetadataValue | None:
    """An ISO time of the ledger, shown in the reader's own time zone."""
    if not time:
        return None
    parsed = datetime.fromisoformat(time.rstrip("Z"))
    return dg.MetadataValue.timestamp(parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc))


def sample(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue | None:
    """The first rows as a markdown table, cut to what fits a screen."""
    if not rows:
        return None
    names = list(dict.fromkeys(name for row in rows[:_SAMPLE_ROWS] for name in row))[:_SAMPLE_COLUMNS]
    return grid(names, [[row.get(name) for name in names] for row in rows[:_SAMPLE_ROWS]])


def grid(names: Sequence[str], rows: Iterable[Sequence[Any]], *, cell: int = _CELL) -> dg.MarkdownMetadataValue:
    """A markdown table of as many rows as the UI shows at once, and how many there are beyond.

    Args:
        names: The heads of the columns.
        rows: The rows; scraped text is taken as it is.
        cell: Most characters of a cell.
    """
    head = [_line(names, cell), "|" + " --- |" * len(names)]
    lines = [_line(row, cell) for row in rows]
    shown = min(len(lines), _INLINE // len(head[1]))
    while not fits(text := "\n".join([*head, *lines[:shown], *_more(len(lines) - shown)])) and shown > 1:
        shown -= 1
    return dg.MetadataValue.md(text)


def _line(row: Sequence[Any], cell: int) -> str:
    return "| " + " | ".join(_cell(value, cell) for value in row) + " |"


def _more(rows: int) -> list[str]:
    return ["", f"and {rows:,} more"] if rows else []


def fits(text: str) -> bool:
    """Whether the UI shows a markdown text on the page, and not at a click; it counts as browsers do."""
    return len(text.encode("utf-16-le", "replace")) // 2 <= _INLINE


def _cell(value: Any, most: int) -> str:
    text = (
        "" if value is None else value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    )
    # Scraped text is no markdown, and a lone surrogate has no UTF-8 form.
    text = " ".join(printable(text).split())
    # An address becomes a link that no cell can break: its path tells more than its beginning.
    address = _ADDRESS.match(text)
    text = _clip(text[address.end() :] if address and len(text) > address.end() else text, most)
    return plain(text)


def plain(text: str) -> str:
    """Text that markdown shows as it is."""
    return _MARKUP.sub(r"\\\g<0>", text).replace("<", "&lt;")


def printable(text: str) -> str:
    """Text that has a UTF-8 form: a lone surrogate has none."""
    return text.encode("utf-8", "replace").decode()


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def present(facts: Mapping[str, Any]) -> Metadata:
    """The entries that have a value."""
    return {name: value for name, value in facts.items() if value is not None}
