"""The ledger's tables as the warehouse shows them: Arrow rows, times as timestamps, strategies by slug."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, func, select

from meter_pipeline.store.ledger import tables
from meter_pipeline.store.ledger.batches import read_batches, schema_of, type_of
from meter_pipeline.store.ledger.intervals import expected_interval
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import ScheduleRow

# Columns that are of no use to a reader.
_HIDDEN = {"strategies": ("fields", "readings", "version"), "jobs": ("target_id", "revision")}
# Columns about a sync's end, which are read from its report.
_ENDINGS = {"exit_code": pa.int64(), "ended_by": pa.string(), "problem": pa.string()}
#: The ledger's small tables that the warehouse's tables are made from.
READ = ("strategies", "schedules", "versions", "change_sets", "job_comparisons", "findings", "syncs")
_LEDGER_JOBS = schema_of(tables.jobs, _HIDDEN["jobs"])
#: The columns of `meter.jobs`.
JOBS = _LEDGER_JOBS.insert(1, pa.field("strategy", pa.string()))


def read_ledger_table(ledger: Ledger, name: str) -> pa.Table:
    """The rows of `meter.strategies`, `meter.schedules` or `meter.jobs` as they are now."""
    with ledger.reading_state() as connection:
        rows = {table: list(connection.execute(select(tables.metadata.tables[table]))) for table in READ}
        if name != "jobs":
            return tables_of(rows)[name]
        slugs = {row.strategy_id: row.slug for row in rows["strategies"]}
        return pa.Table.from_batches(list(job_batches(connection, slugs)), JOBS)


def job_batches(connection: Connection, slugs: Mapping[str, str], since: int | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of `meter.jobs`, in batches.

    Args:
        connection: A transaction of the ledger.
        slugs: Slugs by strategy id.
        since: A revision: only jobs that have changed after it; all when None.
    """
    ids, names = pa.array(slugs.keys(), pa.string()), pa.array(slugs.values(), pa.string())
    where = "true" if since is None else f"revision > {since:d}"
    for batch in read_batches(connection, tables.jobs, _LEDGER_JOBS, where):
        owners = names.take(pc.index_in(batch["strategy_id"], ids))
        yield pa.RecordBatch.from_arrays([batch.column(0), owners, *batch.columns[1:]], schema=JOBS)


def count_jobs(connection: Connection) -> int:
    """Number of the ledger's jobs."""
    return int(connection.execute(select(func.count()).select_from(tables.jobs)).scalar_one())


def tables_of(rows: Mapping[str, Sequence[Any]]) -> dict[str, pa.Table]:
    """The small tables of the schema `meter` by name, from rows of all the ledger's tables of `READ`."""
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
        "schedule_changes": _with_slug(change_sets, owners, "schedule_id"),
        "job_comparisons": _with_slug(_arrow("job_comparisons", rows["job_comparisons"]), slugs).drop_columns(
            ["strategy_id"]
        ),
        "findings": _findings(_with_slug(_arrow("findings", rows["findings"]), slugs)),
        "syncs": _with_endings(_arrow("syncs", rows["syncs"])),
    }


def _arrow(name: str, rows: Sequence[Any]) -> pa.Table:
    columns = tables.metadata.tables[name].columns
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    hidden = _HIDDEN.get(name, ())
    shown = [(column, cells) for column, cells in zip(columns, values, strict=True) if column.name not in hidden]
    return pa.table([_array(type_of(column), cells) for column, cells in shown], [column.name for column, _ in shown])


def _array(kind: pa.DataType, cells: Sequence[Any]) -> pa.Array:
    if pa.types.is_timestamp(kind):
        # ISO texts with a `Z`, which the cast does not accept.
        return pc.utf8_rtrim(pa.array(cells, pa.string()), "Z").cast(pa.timestamp("us")).cast(kind)
    return pa.array(cells, kind)


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


def _findings(table: pa.Table) -> pa.Table:
    places = pc.sort_indices(table, sort_keys=[("job_id", "ascending"), ("position", "ascending")])
    return table.take(places).drop_columns(["strategy_id"])


def _versions(table: pa.Table, kind: str) -> pa.Table:
    chosen = table.filter(pc.equal(table["kind"], kind)).drop_columns(["kind"])
    return chosen.rename_columns([f"{kind}_id", *chosen.column_names[1:]])
