"""The ledger's tables as the warehouse shows them: Arrow tables, times as timestamps, strategies by slug."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store.ledger import tables
from meter_pipeline.store.ledger.intervals import expected_interval
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import ScheduleRow

_UTC = pa.timestamp("us", tz="UTC")
_TYPES = {"INTEGER": pa.int64(), "BOOLEAN": pa.bool_(), "FLOAT": pa.float64()}
# Columns that are of no use to a reader.
_HIDDEN = {"fields", "dirty", "target_id"}
# Columns about a sync's end, which are read from its report.
_ENDINGS = {"exit_code": pa.int64(), "ended_by": pa.string(), "problem": pa.string()}
# The ledger's tables that the warehouse's tables are made from.
READ = ("strategies", "schedules", "versions", "jobs", "change_sets", "job_comparisons", "syncs")


def ledger_tables(ledger: Ledger) -> dict[str, pa.Table]:
    """Tables of the warehouse's schema `meter` that are copied from the ledger, by name, as of one moment."""
    return tables_of(ledger.snapshot(READ))


def tables_of(rows: Mapping[str, Sequence[Any]]) -> dict[str, pa.Table]:
    """The tables of `ledger_tables`, from rows of the ledger's tables, which must be all of `READ`."""
    slugs = {row.strategy_id: row.slug for row in rows["strategies"]}
    schedules = [ScheduleRow(**row._mapping) for row in rows["schedules"]]
    owners = {row.schedule_id: slugs.get(row.strategy_id or "") for row in schedules}
    versions = _arrow("versions", rows["versions"])
    change_sets = _arrow("change_sets", rows["change_sets"])
    return {
        "strategies": _arrow("strategies", rows["strategies"]),
        "strategy_versions": _versions(versions, "strategy"),
        "schedules": _with_intervals(_with_slug(_arrow("schedules", rows["schedules"]), slugs), schedules),
        "schedule_versions": _versions(versions, "schedule"),
        "jobs": _with_slug(_arrow("jobs", rows["jobs"]), slugs),
        "schedule_changes": _with_slug(change_sets, owners, "schedule_id"),
        "job_comparisons": _with_slug(_arrow("job_comparisons", rows["job_comparisons"]), slugs).drop_columns(
            ["strategy_id"]
        ),
        "syncs": _with_endings(_arrow("syncs", rows["syncs"])),
    }


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
        # ISO texts with a `Z`, which the cast does not accept.
        return pc.utf8_rtrim(pa.array(cells, pa.string()), "Z").cast(pa.timestamp("us")).cast(_UTC)
    return pa.array(cells, _TYPES.get(kind, pa.string()))


def _with_slug(table: pa.Table, slugs: Mapping[str, str | None], owner: str = "strategy_id") -> pa.Table:
    """Adds the slug of the strategy that the id in the column `owner` belongs to."""
    names = [slugs.get(id_) for id_ in table[owner].to_pylist()]
    return table.add_column(1, "strategy", pa.array(names, pa.string()))


def _with_intervals(table: pa.Table, schedules: Sequence[ScheduleRow]) -> pa.Table:
    """Adds the longest time between two runs of each schedule, in seconds."""
    seconds = [expected_interval(schedule) for schedule in schedules]
    return table.append_column("expected_interval_seconds", pa.array(seconds, pa.int64()))


def _with_endings(syncs: pa.Table) -> pa.Table:
    """Adds what ended each sync, its exit code and its problem; null if it still runs or was killed."""
    reports = [json.loads(text) if text else {} for text in syncs["report"].to_pylist()]
    for place, (name, kind) in enumerate(_ENDINGS.items(), 3):
        syncs = syncs.add_column(place, name, pa.array([report.get(name) for report in reports], kind))
    return syncs


def _versions(table: pa.Table, kind: str) -> pa.Table:
    chosen = table.filter(pc.equal(table["kind"], kind)).drop_columns(["kind"])
    return chosen.rename_columns([f"{kind}_id", *chosen.column_names[1:]])
