"""Columns of the tables as the UI lists them: types as DuckDB names them, and what each column holds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.config.settings import PROJECT
from meter_pipeline.defs.metadata import brief, plain

if TYPE_CHECKING:
    import pyarrow as pa

    from meter_pipeline.store.ledger.rows import StrategyRow

# Longer ones are of nested fields, which the warehouse itself tells better.
_TYPE = 120
# Most characters of a field's name and of an example of its values.
_NAME, _EXAMPLE = 80, 60
_SOURCES = PROJECT / "models" / "staging" / "_meter__sources.yml"
_KEPT_IN = {"schedule_changes": "change_sets"}
_TYPES = {"INTEGER": "BIGINT", "BOOLEAN": "BOOLEAN", "FLOAT": "DOUBLE"}
# Those that no table of the ledger has.
_OTHERS = {
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


def meter_columns(name: str) -> list[dg.TableColumn]:
    """The columns of a table of the warehouse's schema `meter`, described as the dbt project describes its sources."""
    types = _ledger_types(_KEPT_IN.get(name, name)) | _OTHERS
    return [
        dg.TableColumn(
            name=column,
            type="TIMESTAMPTZ" if column.endswith("_at") else types.get(column, "VARCHAR"),
            description=description,
        )
        for column, description in _described().get(name, {}).items()
    ]


def results_columns(strategy: StrategyRow, rows: pa.Table | None = None) -> list[dg.TableColumn]:
    """The columns of a strategy's results: ours, then one for each field, described by what was received.

    Args:
        strategy: Knows its columns.
        rows: Those of its latest job, if any: they say how often a field has a value, and give an example.
    """
    import pyarrow as pa

    from meter_pipeline.store.lake.lake import RESULTS

    fields = {column.name: column for column in strategy.columns}
    schema = pa.schema([*RESULTS, *(pa.field(name, column.type) for name, column in fields.items())])
    described = _RESULTS | {name: _field(column.field, name, rows) for name, column in fields.items()}
    return [
        dg.TableColumn(name=name, type=kind, description=described.get(name))
        for name, kind in zip(schema.names, _sql_types(schema), strict=True)
    ]


def _field(field: str, column: str, rows: pa.Table | None) -> str:
    """The field's name as received, in how many items of the latest job it has a value, and one of its values."""
    said = f"Field “{plain(brief(field, _NAME))}”"
    if rows is None or column not in rows.column_names:
        return f"{said}."
    values = rows[column]
    there = len(values) - values.null_count
    said = f"{said}, in {there:,} of {len(values):,} items of the latest job"
    if not there:
        return said
    example = brief(values[values.is_valid().index(True).as_py()].as_py(), _EXAMPLE)
    return f"{said}, for example {plain(example) or 'an empty text'}"


def _sql_types(schema: pa.Schema) -> list[str]:
    import duckdb

    # By place: DuckDB does not tell names apart by case.
    numbered = schema.empty_table().rename_columns([f"c{place}" for place in range(len(schema))])
    with duckdb.connect() as connection:
        found = [str(kind) for kind in connection.from_arrow(numbered).types]
    kinds = ["TIMESTAMPTZ" if kind == "TIMESTAMP WITH TIME ZONE" else kind for kind in found]
    return [kind if len(kind) <= _TYPE else f"{kind[: _TYPE - 1]}…" for kind in kinds]


def _ledger_types(table: str) -> dict[str, str]:
    from meter_pipeline.store.ledger import tables

    found = tables.metadata.tables.get(table)
    return {} if found is None else {one.name: _TYPES.get(str(one.type), "VARCHAR") for one in found.columns}


@cache
def _described() -> Mapping[str, Mapping[str, str]]:
    """What each column of each table holds."""
    import yaml

    (source,) = yaml.safe_load(_SOURCES.read_text(encoding="utf-8"))["sources"]
    return {
        table["name"]: {column["name"]: column["description"] for column in table["columns"]}
        for table in source["tables"]
    }
