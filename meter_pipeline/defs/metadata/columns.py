"""Table columns for the UI: each with DuckDB's name of its type and a description."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.config.settings import PROJECT
from meter_pipeline.defs.metadata.entries import escape_markdown, shorten

if TYPE_CHECKING:
    import pyarrow as pa

    from meter_pipeline.store.columns import Column
    from meter_pipeline.store.ledger.rows import StrategyRow

# Longer types are those of nested fields; the warehouse shows them in full.
_TYPE = 120
# Maximum characters of a field's name and of an example value.
_NAME, _EXAMPLE = 80, 60
# Maximum characters of the reason why a field stays text.
_REASON = 200
_SOURCES = PROJECT / "models" / "staging" / "_meter__sources.yml"
_KEPT_IN = {"schedule_changes": "change_sets"}
_TYPES = {int: "BIGINT", bool: "BOOLEAN", float: "DOUBLE"}
# Columns that no table of the ledger has.
_COMPUTED = {
    "version": "BIGINT",
    "item_index": "BIGINT",
    "expected_interval_seconds": "BIGINT",
    "is_current": "BOOLEAN",
    "valid_from": "TIMESTAMPTZ",
    "valid_to": "TIMESTAMPTZ",
    "old_number": "DOUBLE",
    "new_number": "DOUBLE",
    "relative_change": "DOUBLE",
}
_RESULTS = {
    "_meter_job_id": "Id of the job at Meter.",
    "_meter_schedule_id": "Id of the schedule; null for a job that was run by hand.",
    "_meter_url": "Page that was scraped.",
    "_meter_item_index": "Position of the item in its job, from 0.",
    "_meter_completed_at": "When the job ended.",
    "_meter_item_key": "Key of the item within its target.",
    "_meter_item_hash": "Hash of the item: equal items have equal hashes.",
}


def list_meter_columns(name: str) -> list[dg.TableColumn]:
    """Returns the columns of a table of the schema `meter`, with the descriptions of the dbt project's sources."""
    types = _ledger_types(_KEPT_IN.get(name, name)) | _COMPUTED
    return [
        dg.TableColumn(
            name=column,
            type="TIMESTAMPTZ" if column.endswith("_at") else types.get(column, "VARCHAR"),
            description=description,
        )
        for column, description in _read_descriptions().get(name, {}).items()
    ]


def list_results_columns(strategy: StrategyRow, rows: pa.Table | None = None) -> list[dg.TableColumn]:
    """Returns the columns of a strategy's results: the `_meter_*` columns, then one for each scraped field.

    Args:
        strategy: The strategy, with its columns.
        rows: Rows of its latest job, if any; they show how often a field has a value, with an example.
    """
    import pyarrow as pa

    from meter_pipeline.store.lake.lake import RESULTS

    fields = {column.name: column for column in strategy.columns}
    schema = pa.schema([*RESULTS, *(pa.field(name, column.type) for name, column in fields.items())])
    reasons = strategy.text_reasons
    described = _RESULTS | {name: _describe_field(column, rows, reasons) for name, column in fields.items()}
    return [
        dg.TableColumn(name=name, type=kind, description=described.get(name))
        for name, kind in zip(schema.names, map(_spell_type, schema.types), strict=True)
    ]


def _describe_field(column: Column, rows: pa.Table | None, reasons: Mapping[str, str]) -> str:
    """Returns the field's name as received, how many items of the latest job have it, one of its values, and why it
    stays text, if there is a reason.
    """
    from meter_pipeline.store.derived import explain_text

    text, reason = _describe_values(column, rows), explain_text(column, reasons)
    return f"{text.removesuffix('.')}. Stays text: {escape_markdown(shorten(reason, _REASON))}." if reason else text


def _describe_values(column: Column, rows: pa.Table | None) -> str:
    from meter_pipeline.store.derived import describe_part

    about = f"{describe_part(column).capitalize()}, read from field" if column.part else "Field"
    text = f"{about} “{escape_markdown(shorten(column.field, _NAME))}”"
    if rows is None or column.name not in rows.column_names:
        return f"{text}."
    values = rows[column.name]
    present = len(values) - values.null_count
    text = f"{text}, in {present:,} of {len(values):,} items of the latest job"
    if not present:
        return text
    example = shorten(values[values.is_valid().index(True).as_py()].as_py(), _EXAMPLE)
    return f"{text}, for example {escape_markdown(example) or 'an empty text'}"


# The same few types, in every strategy's columns; a connection takes 20 ms.
@lru_cache(maxsize=4_096)
def _spell_type(kind: pa.DataType) -> str:
    """Returns the type as DuckDB spells it, cut to a line's length."""
    import duckdb
    import pyarrow as pa

    with duckdb.connect() as connection:
        (found,) = connection.from_arrow(pa.table({"column": pa.array([], kind)})).types
    spelled = "TIMESTAMPTZ" if str(found) == "TIMESTAMP WITH TIME ZONE" else str(found)
    return spelled if len(spelled) <= _TYPE else f"{spelled[: _TYPE - 1]}…"


def _ledger_types(table: str) -> dict[str, str]:
    from meter_pipeline.store.ledger import tables

    found = tables.metadata.tables.get(table)
    if found is None:
        return {}
    return {column.name: _TYPES.get(column.type.python_type, "VARCHAR") for column in found.columns}


@cache
def _read_descriptions() -> Mapping[str, Mapping[str, str]]:
    """Reads the description of each column of each table from the dbt project."""
    import yaml

    (source,) = yaml.safe_load(_SOURCES.read_text(encoding="utf-8"))["sources"]
    return {
        table["name"]: {column["name"]: column["description"] for column in table["columns"]}
        for table in source["tables"]
    }
