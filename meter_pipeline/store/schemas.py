"""The ledger's tables as the warehouse shows them: Arrow tables, times as timestamps, strategies by slug."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store import tables
from meter_pipeline.store.cadence import expected_interval
from meter_pipeline.store.ledger import Ledger
from meter_pipeline.store.rows import ScheduleRow

_UTC = pa.timestamp("us", tz="UTC")
_TYPES = {"INTEGER": pa.int64(), "BOOLEAN": pa.bool_(), "FLOAT": pa.float64()}
# What is of no use to a reader.
_HIDDEN = {"fields", "dirty", "target_id"}


def ledger_tables(ledger: Ledger) -> dict[str, pa.Table]:
    """Tables of the warehouse's schema `meter` that are copied from the ledger, by name."""
    slugs = {row.strategy_id: row.slug for row in ledger.strategies()}
    rows = {row.schedule_id: row for row in ledger.schedules()}
    versions = _arrow("versions", ledger.rows("versions"))
    return {
        "strategies": _arrow("strategies", ledger.rows("strategies")),
        "strategy_versions": _versions(versions, "strategy"),
        "schedules": _with_intervals(_with_slug(_arrow("schedules", ledger.rows("schedules")), slugs), rows),
        "schedule_versions": _versions(versions, "schedule"),
        "jobs": _with_slug(_arrow("jobs", ledger.rows("jobs")), slugs),
        "schedule_changes": _schedule_changes(ledger, slugs),
        "job_comparisons": _with_slug(_arrow("job_comparisons", ledger.rows("job_comparisons")), slugs).drop_columns(
            ["strategy_id"]
        ),
        "syncs": _arrow("syncs", ledger.rows("syncs")),
    }


def _schedule_changes(ledger: Ledger, slugs: dict[str, str]) -> pa.Table:
    table = _arrow("change_sets", ledger.rows("change_sets"))
    owners = {row.schedule_id: slugs.get(row.strategy_id or "") for row in ledger.schedules()}
    names = [owners.get(id_) for id_ in table["schedule_id"].to_pylist()]
    return table.add_column(1, "strategy", pa.array(names, pa.string()))


def _arrow(name: str, rows: Sequence[Any]) -> pa.Table:
    columns = tables.metadata.tables[name].columns
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays, names = [], []
    for column, cells in zip(columns, values, strict=True):
        if column.name in _HIDDEN:
            continue
        names.append(column.name)
        arrays.append(_array(column.name, str(column.type), cells))
    return pa.table(arrays, names)


def _array(name: str, kind: str, cells: Sequence[Any]) -> pa.Array:
    if name.endswith("_at"):
        # ISO texts with a `Z`, which the cast does not take.
        return pc.utf8_rtrim(pa.array(cells, pa.string()), "Z").cast(pa.timestamp("us")).cast(_UTC)
    return pa.array(cells, _TYPES.get(kind, pa.string()))


def _with_slug(table: pa.Table, slugs: dict[str, str]) -> pa.Table:
    names = [slugs.get(id_) for id_ in table["strategy_id"].to_pylist()]
    return table.add_column(1, "strategy", pa.array(names, pa.string()))


def _with_intervals(table: pa.Table, schedules: Mapping[str, ScheduleRow]) -> pa.Table:
    """With the longest time that lies between two runs of each schedule, in seconds."""
    seconds = [expected_interval(schedules[id_]) for id_ in table["schedule_id"].to_pylist()]
    return table.append_column("expected_interval_seconds", pa.array(seconds, pa.int64()))


def _versions(table: pa.Table, kind: str) -> pa.Table:
    chosen = table.filter(pc.equal(table["kind"], kind)).drop_columns(["kind"])
    return chosen.rename_columns([f"{kind}_id", *chosen.column_names[1:]])
