"""Facts about what was loaded, in the forms that the Dagster UI draws: schemas, row counts, plots, links, samples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import pyarrow as pa

    from meter_pipeline.store.rows import StrategyRow

Metadata = dict[str, Any]

_SAMPLE_ROWS = 5
_SAMPLE_COLUMNS = 8
_CELL = 80


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


def arrow_columns(schema: pa.Schema) -> list[dg.TableColumn]:
    """The columns of an Arrow schema."""
    return [dg.TableColumn(name=field.name, type=_clip(str(field.type))) for field in schema]


def results_columns(strategy: StrategyRow) -> list[dg.TableColumn]:
    """The columns of a strategy's results: ours, then one for each field, with the field's name as it was received."""
    from meter_pipeline.store.lake import RESULTS

    fields = [
        dg.TableColumn(
            name=column.name, type=_clip(str(column.type)), description=f"field {_printable(column.field)!r}"
        )
        for column in strategy.columns
    ]
    return arrow_columns(RESULTS) + fields


def link(url: str | None) -> dg.UrlMetadataValue | None:
    """A clickable link; `None` for what is no web address."""
    return dg.MetadataValue.url(url) if url and url.startswith(("http://", "https://")) else None


def sample(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue | None:
    """The first rows as a markdown table, cut to what fits a screen."""
    if not rows:
        return None
    names = list(dict.fromkeys(name for row in rows[:_SAMPLE_ROWS] for name in row))[:_SAMPLE_COLUMNS]
    return grid(names, [[row.get(name) for name in names] for row in rows[:_SAMPLE_ROWS]])


def grid(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> dg.MarkdownMetadataValue:
    """A markdown table."""
    lines = [names, ["---"] * len(names), *rows]
    return dg.MetadataValue.md("\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines))


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
    # Scraped text is no markdown, and a lone surrogate has no UTF-8 form.
    text = " ".join(_printable(text).split())
    return _clip(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _clip(text: str) -> str:
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def present(facts: Mapping[str, Any]) -> Metadata:
    """The entries that have a value."""
    return {name: value for name, value in facts.items() if value is not None}
