"""Metadata in the forms that the Dagster UI draws: schemas, row counts, links, times, lists and samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import dagster as dg

Metadata = dict[str, Any]

_SAMPLE_ROWS, _SAMPLE_COLUMNS = 5, 6
_CELL = 32
# Characters of the shortest entry, which bounds how many entries can fit.
_SHORTEST = 3
# Maximum characters of a text that the UI shows inline; for a longer text it shows a link.
_INLINE = 999
# Maximum characters of a word: a longer one is wider than the value column of an asset's page at 1,280 pixels.
_WORD = 28
_ADDRESS = re.compile(r"https?://[^/\s]+(?=/\S)")
_MARKUP = re.compile(r"[\\|`*\[\]~]|(?<!\w)_|_(?!\w)")


def describe_table(
    name: str, *, rows: int | None = None, uri: str | None = None, columns: Sequence[dg.TableColumn] = ()
) -> Metadata:
    """Returns Dagster's reserved entries for a table: its name in the warehouse, rows, URI and columns."""
    facts: Metadata = {"dagster/table_name": name}
    if rows is not None:
        facts["dagster/row_count"] = rows
    if uri:
        facts["dagster/uri"] = uri
    if columns:
        facts["dagster/column_schema"] = dg.TableSchema(columns=list(columns))
    return facts


def make_link(url: str | None) -> dg.UrlMetadataValue | None:
    """Returns a clickable link; `None` if the text is not a web address."""
    return dg.MetadataValue.url(url) if url and url.startswith(("http://", "https://")) else None


def make_timestamp(time: str | None) -> dg.TimestampMetadataValue | None:
    """Returns an ISO time of the ledger as a timestamp, which the UI shows in the reader's time zone."""
    if not time:
        return None
    parsed = datetime.fromisoformat(time.rstrip("Z"))
    return dg.MetadataValue.timestamp(parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc))


def list_sample(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue | None:
    """Lists the first rows with their first fields; `None` without rows."""
    if not rows:
        return None
    names = list(dict.fromkeys(name for row in rows[:_SAMPLE_ROWS] for name in row))[:_SAMPLE_COLUMNS]
    return list_rows([[(name, row.get(name)) for name in names] for row in rows[:_SAMPLE_ROWS]])


def list_rows(rows: Iterable[Sequence[Any]], *, cell: int = _CELL, word: int = _WORD) -> dg.MarkdownMetadataValue:
    """Returns a markdown list of the rows, as many as the UI shows inline, and the number of the others.

    The value column of an asset's page is 270 pixels wide in a window of 1,280. It would cut off a table; a list wraps.

    Args:
        rows: The parts of each entry: a value, or a tuple of a name and a value. Scraped text is escaped. Parts
            that are None or empty are dropped. The first value is bold.
        cell: Maximum characters of a part.
        word: Maximum characters of a word.
    """
    lines = [_format_entry(row, cell, word) for row in rows]
    shown = min(len(lines), _INLINE // _SHORTEST)
    while not fits_inline(text := "\n".join([*lines[:shown], *_count_rest(len(lines) - shown)])) and shown > 1:
        shown -= 1
    return dg.MetadataValue.md(text)


def _format_entry(row: Sequence[Any], cell: int, word: int) -> str:
    named = [part if isinstance(part, tuple) else ("", part) for part in row]
    parts = [
        (_format_cell(name, cell, word), text) for name, value in named if (text := _format_cell(value, cell, word))
    ]
    texts = [f"{name} {text}" if name else text for name, text in parts]
    if parts and not parts[0][0]:
        texts[0] = f"**{texts[0]}**"
    return f"- {' · '.join(texts)}"


def _count_rest(rows: int) -> list[str]:
    return ["", f"and {rows:,} more"] if rows else []


def fits_inline(text: str) -> bool:
    """Returns whether the UI shows a markdown text inline; the length is in UTF-16 units, as in browsers."""
    return len(text.encode("utf-16-le", "replace")) // 2 <= _INLINE


def _format_cell(value: Any, most: int, word: int) -> str:
    # The page would cut off a word that is wider than its column.
    return escape_markdown(re.sub(rf"\S{{{word + 1},}}", lambda match: _clip(match[0], word), shorten(value, most)))


def shorten(value: Any, most: int = _CELL) -> str:
    """Returns a scraped value as one line of at most `most` characters, not escaped for markdown."""
    text = _spell(value)
    # A lone surrogate has no UTF-8 form.
    text = " ".join(replace_surrogates(text).split())
    # The UI makes a link of an address, which cannot wrap: its path is more useful than its host.
    address = _ADDRESS.match(text)
    return _clip(text[address.end() :] if address and len(text) > address.end() else text, most)


def _spell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        # A column has one scale for all its amounts: 19.650000000000 is 19.65.
        return f"{value.normalize():f}"
    if isinstance(value, str | date | time):
        return str(value)
    return json.dumps(value, default=str, ensure_ascii=False)


def escape_markdown(text: str) -> str:
    """Escapes text so that markdown shows it literally."""
    return _MARKUP.sub(r"\\\g<0>", text).replace("<", "&lt;")


def replace_surrogates(text: str) -> str:
    """Replaces lone surrogates, which have no UTF-8 form."""
    return text.encode("utf-8", "replace").decode()


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def drop_empty(facts: Mapping[str, Any]) -> Metadata:
    """Drops the entries whose value is None."""
    return {name: value for name, value in facts.items() if value is not None}
