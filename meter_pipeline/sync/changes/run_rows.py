"""Compares runs, whose pages are one list: in memory, or on disk where their jobs do not fit into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.sync.changes.diff import ADDED, REMOVED, Counts, Row, Rows, Seen, changed_rows, sample_items
from meter_pipeline.sync.changes.fields import SAMPLE_ITEMS, ElementKeys
from meter_pipeline.sync.changes.in_memory import ITEMS, KEYS, Comparison
from meter_pipeline.sync.changes.numbers import NumberReader
from meter_pipeline.sync.changes.on_disk import item_rows, parse_pairs
from meter_pipeline.sync.changes.rejected import COPY, Rejected, read_rejected, rejected_keys
from meter_pipeline.sync.changes.runs import Run, RunStep
from meter_pipeline.sync.items.identity import Identity

if TYPE_CHECKING:
    import duckdb

_MEMORY = "128MB"
_PIECE_ITEMS = 5_000


@dataclass
class _Differences:
    """Items that differ, by the job that shows the difference and the job before: key, and what happened."""

    added: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    removed: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    changed: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def pairs(self) -> list[tuple[str, str]]:
        """Ids of both jobs, of all items that differ."""
        return [*dict.fromkeys([*self.added, *self.removed, *self.changed])]


class RunComparison(Comparison):
    """Compares runs that fit into memory, each job read at most once; arguments as of `Comparison`."""

    def run_rows(self, steps: Iterable[RunStep], counts: Counts) -> Rows:
        """Compares all runs and returns their rows, which are added to `counts`."""
        known = [step for step in steps if step.before]
        jobs = {job.job_id: job for step in known for job in step.jobs}
        stored = self._read({id_: job for id_, job in jobs.items() if id_ not in self._sides})
        rejected = read_rejected(self._stored, self._identity, jobs.values())
        found = [self._compare(step, rejected) for step in known]
        for differences in found:
            for (old, _), keys in (*differences.removed.items(), *differences.changed.items()):
                if old in stored:
                    stored[old].want(keys)
            for (_, new), keys in (*differences.added.items(), *differences.changed.items()):
                if new in stored:
                    stored[new].want(keys)
        self._read_items(stored)
        rows = Rows(counts, self._reader)
        for differences in found:
            for pair in differences.pairs():
                rows.append(jobs[pair[0]], jobs[pair[1]], self._rows_of(pair, differences))
        return rows

    def _rows_of(self, pair: tuple[str, str], differences: _Differences) -> Iterator[Row]:
        old, new = self._sides[pair[0]], self._sides[pair[1]]
        for key in differences.added.get(pair, ()):
            yield key, ADDED, None, None, new.text(key)
        for key in differences.removed.get(pair, ()):
            yield key, REMOVED, None, old.text(key), None
        changed = differences.changed.get(pair, [])
        keys = ElementKeys(self._identity, lambda: sample_items(old, new, changed))
        yield from changed_rows(changed, old.values(changed), new.values(changed), self._identity, keys)

    def _compare(self, step: RunStep, rejected: Rejected) -> _Differences:
        listed: dict[str, tuple[int, Seen, str]] = {}
        for number, run in enumerate(step.before):
            shown = self._show(run)
            if number and run.is_complete:
                gone = [key for key in listed if key not in shown and not rejected.may_have(run.jobs, key)]
                for key in gone:
                    del listed[key]
            listed.update((key, (number, job, hash_)) for key, (job, hash_) in shown.items())
        shown = self._show(step.run)
        found = _Differences()
        there_before = {
            key
            for job_id, groups in step.early.items()
            for key in self._sides[job_id].hash_by_key
            if all(rejected.may_have(group, key) for group in groups)
        }
        for key, (job, hash_) in shown.items():
            old = listed.get(key)
            if old is None:
                if key not in there_before:
                    found.added.setdefault((step.find_previous(job).job_id, job.job_id), []).append(key)
            elif old[2] != hash_:
                found.changed.setdefault((old[1].job_id, job.job_id), []).append(key)
        for key, (number, last, _) in listed.items():
            if key in shown:
                continue
            if step.is_removed(number, is_rejected=rejected.may_have(step.run.jobs, key)):
                found.removed.setdefault((last.job_id, step.find_remover(last).job_id), []).append(key)
        return found

    def _show(self, run: Run) -> dict[str, tuple[Seen, str]]:
        """The items of a run: of one that is on several pages the copy on the first page counts."""
        shown: dict[str, tuple[Seen, str]] = {}
        for job in reversed(run.pages):
            shown.update((key, (job, hash_)) for key, hash_ in self._sides[job.job_id].hash_by_key.items())
        return shown


def large_run_rows(
    lake: Lake, rows: PartSet, step: RunStep, identity: Identity, counts: Counts, reader: NumberReader
) -> Iterator[pa.Table]:
    """Rows of `changes` of one run, sorted, in several tables.

    Args:
        lake: Gives the folder to spill to.
        rows: The strategy's rows, with raw and typed ones of all jobs.
        step: The run and what it is compared with.
        identity: The identity by which the rows were keyed and hashed.
        counts: Counts of items and rows, which this function increases.
        reader: Reads values as numbers.
    """
    jobs = step.jobs
    with _compared(lake, rows, step, identity) as connection:
        found = connection.execute(
            "SELECT before, owner, key, o.item, n.item FROM delta "
            "LEFT JOIN items o ON o.job = old_job AND o.index = old_index "
            "LEFT JOIN items n ON n.job = new_job AND n.index = new_index ORDER BY owner, key"
        )
        keys: dict[tuple[int, int], ElementKeys] = {}
        for batch in found.to_arrow_reader(_PIECE_ITEMS):
            piece = Rows(counts, reader)
            items = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            for (before, owner), group in groupby(items, itemgetter(0, 1)):
                if (before, owner) not in keys:
                    keys[before, owner] = ElementKeys(identity, partial(_sample, connection.cursor(), before, owner))
                rows_of_items = item_rows([item[2:] for item in group], identity, keys[before, owner])
                piece.append(jobs[before], jobs[owner], rows_of_items)
            yield piece.table()


def _sample(connection: duckdb.DuckDBPyConnection, before: int, owner: int) -> Iterator[tuple[Any, Any]]:
    """Both states of some items that changed between two jobs, the same ones as in memory."""
    found = connection.execute(
        "SELECT o.item, n.item FROM delta JOIN items o ON o.job = old_job AND o.index = old_index "
        "JOIN items n ON n.job = new_job AND n.index = new_index WHERE before = ? AND owner = ? ORDER BY key LIMIT ?",
        [before, owner, SAMPLE_ITEMS],
    ).fetchall()
    return parse_pairs(found)


# Of an item on several pages the copy on the first page counts, of several runs the last one.
_DELTA = """
CREATE TABLE delta AS
WITH last_shown AS (
    SELECT key, {plain} AS plain, arg_max((job, hash, index, run), (run, -page)) AS found
    FROM keys JOIN jobs USING (job)
    WHERE run < {runs} GROUP BY key
),
listed AS (FROM last_shown WHERE {stays}),
shown AS (
    SELECT key, arg_min((job, hash, index), page) AS found
    FROM keys JOIN jobs USING (job)
    WHERE run = {runs} GROUP BY key
),
there_before AS (SELECT key FROM (SELECT job, key, {plain} AS plain FROM keys) WHERE {early}),
differing AS (
    SELECT
        coalesce(listed.key, shown.key) AS key, plain,
        listed.found[1] AS old_job, listed.found[3] AS old_index, listed.found[4] AS last_run,
        shown.found[1] AS new_job, shown.found[3] AS new_index
    FROM listed FULL JOIN shown ON listed.key = shown.key
    WHERE listed.found[2] IS DISTINCT FROM shown.found[2]
)
SELECT
    key, old_job, old_index, new_job, new_index,
    coalesce(new_job, o.remover) AS owner, coalesce(old_job, n.previous) AS before
FROM differing LEFT JOIN jobs o ON o.job = old_job LEFT JOIN jobs n ON n.job = new_job
WHERE CASE WHEN new_job IS NULL THEN ({is_complete} AND NOT {is_rejected}) OR (last_run = 0 AND {is_long})
    WHEN old_job IS NULL THEN key NOT IN (SELECT key FROM there_before) ELSE true END
"""


@contextmanager
def _compared(lake: Lake, rows: PartSet, step: RunStep, identity: Identity) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the keys that differ, and the items under these keys; a job is known by its place in the step."""
    import duckdb

    jobs = step.jobs
    numbers = {job.job_id: number for number, job in enumerate(jobs)}
    with lake.spill_folder() as folder, duckdb.connect(":memory:") as connection:
        quoted = str(folder).replace("'", "''")
        connection.execute(
            f"SET memory_limit = '{_MEMORY}'; SET temp_directory = '{quoted}'; SET threads = 1; "
            "SET preserve_insertion_order = false"
        )
        connection.register("incoming", _describe_jobs(step, numbers))
        connection.execute("CREATE TABLE jobs AS FROM incoming")
        connection.unregister("incoming")
        times = {job.job_id: job.time for job in jobs}
        keys = (_number_jobs(batch, numbers) for batch in rows.job_batches("results", KEYS, times))
        _fill(connection, "keys", keys, pa.schema([("job", pa.int64()), *_KEYED]))
        unknown = _fill_rejected(connection, rejected_keys(rows, identity, jobs), numbers)
        connection.execute(_spell_delta(step, numbers, unknown))
        connection.execute("DROP TABLE keys; DROP TABLE rejected")
        wanted = _read_wanted(connection, jobs)
        items = (
            _number_jobs(chosen, numbers)
            for batch in rows.job_batches("raw", ITEMS, {job.job_id: job.time for job in jobs if job.job_id in wanted})
            for chosen in _choose(batch, wanted)
        )
        _fill(connection, "items", items, pa.schema([("job", pa.int64()), *_RECEIVED]))
        yield connection


def _fill_rejected(
    connection: duckdb.DuckDBPyConnection, found: Iterable[tuple[str, set[str | None]]], numbers: Mapping[str, int]
) -> set[str]:
    """Creates a table of the keys of rejected items; returns the jobs that rejected one whose key cannot be read."""
    unknown = set()
    schema = pa.schema([("job", pa.int64()), ("plain", pa.string())])

    def batches() -> Iterator[pa.RecordBatch]:
        for job_id, keys in found:
            known = sorted(key for key in keys if key is not None)
            unknown.update([job_id] if len(known) < len(keys) else [])
            yield pa.record_batch([pa.array([numbers[job_id]] * len(known), pa.int64()), pa.array(known)], schema)

    _fill(connection, "rejected", batches(), schema)
    return unknown


def _spell_delta(step: RunStep, numbers: Mapping[str, int], unknown: set[str]) -> str:
    """The statement that finds the keys that differ."""

    def may_have(jobs: Iterable[Seen]) -> str:
        """The condition that one of some jobs may have rejected the item; see `Rejected.may_have`."""
        rejecting = {job.job_id for job in jobs if job.rejected}
        if rejecting & unknown:
            return "true"
        listed = ", ".join(str(numbers[job_id]) for job_id in sorted(rejecting))
        return f"plain IN (SELECT plain FROM rejected WHERE job IN ({listed}))" if rejecting else "false"  # noqa: S608

    stays = [
        f"(found[4] >= {number} OR {may_have(run.jobs)})"
        for number, run in enumerate(step.before)
        if number and run.is_complete
    ]
    early = [
        " AND ".join([f"job = {numbers[job_id]}", *map(may_have, groups)]) for job_id, groups in step.early.items()
    ]
    return _DELTA.format(
        runs=len(step.before),
        plain=f"regexp_replace(key, '{COPY}$', '')" if any(job.rejected for job in step.jobs) else "key",
        stays=" AND ".join(stays) or "true",
        early=" OR ".join(early) or "false",
        is_complete=step.is_complete,
        is_rejected=may_have(step.run.jobs),
        is_long=step.is_removed(0, is_rejected=True),
    )


_KEYED = (("key", pa.string()), ("hash", pa.string()), ("index", pa.int64()))
_RECEIVED = (("index", pa.int64()), ("item", pa.string()))


def _describe_jobs(step: RunStep, numbers: Mapping[str, int]) -> pa.Table:
    """What the comparison needs to know of each job."""
    described = []
    for place, run in enumerate((*step.before, step.run)):
        for page, job in enumerate(run.pages):
            is_new = place == len(step.before)
            described.append(
                {
                    "job": numbers[job.job_id],
                    "run": place,
                    "page": page,
                    "remover": None if is_new else numbers[step.find_remover(job).job_id],
                    "previous": numbers[step.find_previous(job).job_id] if is_new else None,
                }
            )
    return pa.Table.from_pylist(described)


def _number_jobs(batch: pa.RecordBatch, numbers: Mapping[str, int]) -> pa.RecordBatch:
    """The batch with the number of each row's job in place of its id, in the first column."""
    ids = pa.array(numbers, pa.string())
    return pa.RecordBatch.from_arrays(
        [pc.index_in(batch.column(0), ids), *batch.columns[1:]], names=["job", *batch.schema.names[1:]]
    )


def _fill(
    connection: duckdb.DuckDBPyConnection, name: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema
) -> None:
    """Creates a table from batches, whose columns come in the order of the schema."""
    cast = (pa.RecordBatch.from_arrays(batch.columns, names=schema.names).cast(schema) for batch in batches)
    connection.register("incoming", pa.RecordBatchReader.from_batches(schema, cast))
    connection.execute(f"CREATE TABLE {name} AS FROM incoming")
    connection.unregister("incoming")


def _read_wanted(connection: duckdb.DuckDBPyConnection, jobs: Sequence[Seen]) -> dict[str, pa.Array]:
    """Indexes of the items that differ, by job id."""
    found = connection.execute(
        "SELECT old_job AS job, old_index AS index FROM delta WHERE old_job IS NOT NULL UNION ALL "
        "SELECT new_job, new_index FROM delta WHERE new_job IS NOT NULL"
    ).to_arrow_table()
    grouped = found.group_by("job").aggregate([("index", "list")])
    return {
        jobs[number].job_id: indexes.values
        for number, indexes in zip(grouped["job"].to_pylist(), grouped["index_list"], strict=True)
    }


def _choose(batch: pa.RecordBatch, wanted: Mapping[str, pa.Array]) -> Iterator[pa.RecordBatch]:
    """The rows that are wanted, job by job."""
    for job_id in pc.unique(batch.column(0)).to_pylist():
        rows = batch.filter(pc.equal(batch.column(0), job_id))
        kept = rows.filter(pc.is_in(rows["item_index"], value_set=wanted[job_id]))
        if kept.num_rows:
            yield kept
