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
# Characters of the shortest entry: a bound on how many are tried.
_SHORTEST = 3
# Of a longer text the UI shows a link to it alone, see `MarkdownMetadataEntry` of its code.
_INLINE = 999
# Characters of a word: more of them are wider than the value column of an asset's page in a window of 1,280 pixels.
_WORD = 28
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
    """The first rows, an entry each, with as many of their fields as a glance takes in."""
    if not rows:
        return None
    names = list(dict.fromkeys(name for row in rows[:_SAMPLE_ROWS] for name in row))[:_SAMPLE_COLUMNS]
    return entries([[(name, row.get(name)) for name in names] for row in rows[:_SAMPLE_ROWS]])


def entries(rows: Iterable[Sequence[Any]], *, cell: int = _CELL, word: int = _WORD) -> dg.MarkdownMetadataValue:
    """A markdown list of as many rows as the UI shows at once, and how many there are beyond.

    No table: the value column of an asset's page is 270 pixels wide in a window of 1,280, and cuts off what cannot
    wrap. A list wraps.

    Args:
        rows: The parts of each entry; scraped text is taken as it is, and what is None or empty is left out. A part is
            a value, or a name and a value. The first value stands out.
        cell: Most characters of a part.
        word: Most characters of a word.
    """
    lines = [_entry(row, cell, word) for row in rows]
    shown = min(len(lines), _INLINE // _SHORTEST)
    while not fits(text := "\n".join([*lines[:shown], *_more(len(lines) - shown)])) and shown > 1:
        shown -= 1
    return dg.MetadataValue.md(text)


def _entry(row: Sequence[Any], cell: int, word: int) -> str:
    named = [part if isinstance(part, tuple) else ("", part) for part in row]
    parts = [(_cell(name, cell, word), text) for name, value in named if (text := _cell(value, cell, word))]
    told = [f"{name} {text}" if name else text for name, text in parts]
    if parts and not parts[0][0]:
        told[0] = f"**{told[0]}**"
    return f"- {' · '.join(told)}"


def _more(rows: int) -> list[str]:
    return ["", f"and {rows:,} more"] if rows else []


def fits(text: str) -> bool:
    """Whether the UI shows a markdown text on the page, and not at a click; it counts as browsers do."""
    return len(text.encode("utf-16-le", "replace")) // 2 <= _INLINE


def _cell(value: Any, most: int, word: int) -> str:
    # A word that is wider than the page would be cut off by it.
    return plain(re.sub(rf"\S{{{word + 1},}}", lambda long: _clip(long[0], word), brief(value, most)))


def brief(value: Any, most: int = _CELL) -> str:
    """A scraped value in one line of at most `most` characters; it is not escaped for markdown."""
    text = (
        "" if value is None else value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    )
    # A lone surrogate has no UTF-8 form.
    text = " ".join(printable(text).split())
    # An address becomes a link that no line can break: its path tells more than its beginning.
    address = _ADDRESS.match(text)
    return _clip(text[address.end() :] if address and len(text) > address.end() else text, most)


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
