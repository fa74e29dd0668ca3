"""The next state of a strategy's rows: parts are written beside those that count, until one commit exchanges them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake import part_files
from meter_pipeline.store.lake.files import Files
from meter_pipeline.store.lake.part_files import PART_BYTES
from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.store.lake.tables import ORDER, SCHEMAS, find_runs, in_order
from meter_pipeline.store.parts import Part, PartsChange
from meter_pipeline.store.times import iso, month_of, now

# What a small file costs besides its rows, in bytes: smaller ones are merged as if they had this size.
_SMALL_BYTES = 32 * 2**10
# Rows that wait in memory to be written with those of the next call (bytes).
_WAITING_BYTES = 32 * 2**20


class Draft(PartSet):
    """The parts of one strategy as they will count after the next commit; reading sees what was written.

    Rows given to `append` wait in memory, so that those of a whole load make one part.
    """

    def __init__(self, files: Files, slug: str, parts: Iterable[Part], owner: str, swept_at: str | None = None) -> None:
        super().__init__(files, slug, parts)
        self._owner, self._swept_at = owner, swept_at
        self._current = {part.name: part for listed in self._parts.values() for part in listed}
        self._waiting: dict[str, list[pa.Table]] = {table: [] for table in SCHEMAS}
        self._months: dict[str, set[str]] = {table: set() for table in SCHEMAS}
        self._written: list[str] = []
        self._began_at: str | None = None
        self._is_offered = False

    def of(self, table: str) -> tuple[Part, ...]:
        """The parts of a table, in order of time, those of waiting rows included."""
        self._write_waiting(table, merge=False)
        return super().of(table)

    def scan(
        self, table: str, jobs: Mapping[str, str], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """As `PartSet.scan`, with the rows that wait."""
        # They are read in memory: written now, the next merge would write them once more.
        sources = [(part.first_at, self._scan_part(part, jobs, columns)) for part in self._parts[table]]
        sources += [(_span(table, rows)[0], _scan_rows(table, rows, jobs, columns)) for rows in self._waiting[table]]
        for _, batches in sorted(sources, key=lambda source: source[0]):
            yield from batches

    # -- changes

    def append(self, table: str, rows: pa.Table) -> None:
        """Adds rows in any order; no job of theirs may have rows already."""
        if not rows.num_rows:
            return
        ordered = in_order(table, rows)
        self._months[table] |= _months_of(table, ordered)
        self._waiting[table].append(ordered)
        if sum(some.nbytes for some in self._waiting[table]) > _WAITING_BYTES:
            self._write_waiting(table, merge=False)

    def write(self, table: str, pieces: Iterable[pa.Table], schema: pa.Schema) -> None:
        """Adds rows that do not fit into memory; they come in order, and no job of theirs may have rows already."""
        self._months[table] |= {month for part in self._write(table, pieces, schema) for month in part.months()}

    def remove(self, table: str, jobs: Mapping[str, str]) -> None:
        """Removes the rows of jobs; `jobs` has their times, ISO 8601, by id."""
        if not jobs:
            return
        times = set(jobs.values())
        self._months[table] |= {month_of(time) for time in times}
        for part in tuple(self._parts[table]):
            if part.may_hold(times):
                self._remove_from(part, table, set(jobs))
        removed = pa.array(sorted(jobs), pa.string())
        rest = [rows.filter(pc.invert(pc.is_in(rows[ORDER[table].job], removed))) for rows in self._waiting[table]]
        self._waiting[table] = [rows for rows in rest if rows.num_rows]

    def replace(self, table: str, pieces: Iterable[pa.Table], schema: pa.Schema) -> None:
        """Replaces all rows of a table by others, which come in order and may be read from the table itself."""
        old = self.of(table)
        self._months[table] |= {month for part in old for month in part.months()}
        self.write(table, pieces, schema)
        for part in old:
            self._leave_out(part)

    def exchange(self, table: str, jobs: Mapping[str, str], pieces: Iterable[pa.Table], schema: pa.Schema) -> None:
        """Replaces the rows of jobs by others, which come in order and may be read from the table itself."""
        old, times = self.of(table), set(jobs.values())
        self._months[table] |= {month_of(time) for time in times}
        self.write(table, pieces, schema)
        for part in old:
            if part.may_hold(times):
                self._remove_from(part, table, set(jobs))

    def drop(self, table: str) -> None:
        """Removes all rows of a table."""
        self._waiting[table] = []
        for part in super().of(table):
            self._months[table] |= set(part.months())
            self._leave_out(part)

    def leave_out_damaged(self) -> list[Part]:
        """Leaves out the parts that cannot be read, and returns them."""
        damaged = self.find_damaged()
        for part in damaged:
            self._months[part.table] |= set(part.months())
            self._leave_out(part)
        return damaged

    def merge(self) -> None:
        """Writes waiting rows, and merges small parts."""
        for table in SCHEMAS:
            self._write_waiting(table, merge=True)

    # -- the commit

    def change(self) -> PartsChange:
        """How the manifest is to change; from then on a commit may make it count, so `discard` deletes no file."""
        for table in SCHEMAS:
            self._write_waiting(table, merge=False)
        parts = {part.name: part for listed in self._parts.values() for part in listed}
        self._is_offered = True
        return PartsChange(
            added=[part for name, part in parts.items() if name not in self._current],
            removed=[name for name in self._current if name not in parts],
            months={table: frozenset(months) for table, months in self._months.items() if months},
            began_at=self._began_at,
            swept_at=self._swept_at,
        )

    def settle(self) -> None:
        """Notes that the change was committed."""
        self._current = {part.name: part for listed in self._parts.values() for part in listed}
        self._delete(name for name in self._written if name not in self._current)
        self._begin()

    def discard(self) -> None:
        """Goes back to the parts that counted, and deletes what was written since, if no commit can have used it.

        Where a commit broke off, it may have happened all the same: its files stay, and are swept if it has not.
        """
        for table in SCHEMAS:
            self._parts[table] = []
        for part in self._current.values():
            self._parts[part.table].append(part)
        if not self._is_offered:
            self._delete(self._written)
        self._begin()

    def _delete(self, names: Iterable[str]) -> None:
        """Deletes files whose names nobody else knows."""
        # What cannot be deleted now is swept later.
        with suppress(LakeError, OSError):
            self._files.delete(names)

    def _begin(self) -> None:
        self._is_offered = False
        self._written = []
        self._began_at = None
        for table in SCHEMAS:
            self._waiting[table] = []
            self._months[table] = set()

    # -- files

    def _write(self, table: str, pieces: Iterable[pa.Table], schema: pa.Schema) -> list[Part]:
        self._began_at = self._began_at or now()
        written = []
        for part in part_files.write_parts(self._files, table, self._slug, self._owner, pieces, schema):
            self._written.append(part.name)
            written.append(part)
        self._list(table, written)
        return written

    def _write_waiting(self, table: str, *, merge: bool) -> None:
        """Writes waiting rows, together with the parts that they would be merged with anyway."""
        waiting, self._waiting[table] = self._waiting[table], []
        # Rows in memory take several times the bytes of a file; what is guessed here, the next merge puts right.
        size = sum(rows.nbytes for rows in waiting) // 8
        merged = choose_to_merge(self._parts[table], size) if merge else []
        if not waiting and len(merged) < 2:
            return
        schema = waiting[0].schema if waiting else None
        # Each of them is in order already.
        ordered = in_order(table, pa.concat_tables(waiting)) if len(waiting) > 1 else waiting[0] if waiting else None
        self._write(table, self._merged(table, merged, ordered), schema or self._schema_of(merged[0]))
        for part in merged:
            self._leave_out(part)

    def _merged(self, table: str, parts: Sequence[Part], rows: pa.Table | None) -> Iterator[pa.Table]:
        """The rows of parts and further rows, in order."""
        sources: list[tuple[str, str, Iterator[pa.Table]]] = [
            (part.first_at, part.last_at, self._pieces(part)) for part in parts
        ]
        if rows is not None:
            sources.append((*_span(table, rows), iter([rows])))
        sources.sort(key=lambda source: source[:2])
        if all(before[1] < after[0] for before, after in pairwise(sources)):
            for _, _, pieces in sources:
                yield from pieces
        else:
            streams = [_by_job(table, pieces) for _, _, pieces in sources]
            yield from (run for _, run in heapq.merge(*streams, key=lambda found: found[0]))

    def _pieces(self, part: Part) -> Iterator[pa.Table]:
        with part_files.reading_part(self._files, part) as file:
            for number in range(file.metadata.num_row_groups):
                yield file.read_row_group(number)

    def _schema_of(self, part: Part) -> pa.Schema:
        with part_files.reading_part(self._files, part) as file:
            return file.schema_arrow

    def _remove_from(self, part: Part, table: str, jobs: set[str]) -> None:
        """Replaces a part by one without the rows of some jobs, if it has any."""
        with part_files.reading_part(self._files, part) as file:
            held = part_files.read_distinct(file, ORDER[table].job)
            if not held & jobs:
                return
            rest = part_files.scan_jobs(file, table, held - jobs)
            self._write(table, (pa.Table.from_batches([batch]) for batch in rest), file.schema_arrow)
        self._leave_out(part)

    def _list(self, table: str, parts: Iterable[Part]) -> None:
        self._parts[table] = sorted([*self._parts[table], *parts], key=lambda part: part.place)

    def _leave_out(self, part: Part) -> None:
        self._parts[part.table] = [other for other in self._parts[part.table] if other.name != part.name]


def choose_to_merge(parts: Iterable[Part], waiting: int) -> list[Part]:
    """The parts to merge, so that each part that is left is at least as large as all smaller ones together.

    The number of parts is then logarithmic in a strategy's size, and so is how often a row is written.

    Args:
        parts: The parts of a table.
        waiting: Size of the rows to be written with them, in bytes as they will be in the file; 0 if there are none.
    """
    smallest_first = sorted(
        (part for part in parts if part.bytes < PART_BYTES), key=lambda part: (part.bytes, part.name)
    )
    total, count = waiting, 0
    for number, part in enumerate(smallest_first, start=1):
        if total and part.bytes < max(total, _SMALL_BYTES):
            count = number
        total += part.bytes
    return smallest_first[:count]


def _span(table: str, rows: pa.Table) -> tuple[str, str]:
    """The times of the first and the last of rows in order, ISO 8601."""
    times = rows[ORDER[table].time]
    return str(iso(times[0].as_py())), str(iso(times[-1].as_py()))


def _scan_rows(
    table: str, rows: pa.Table, jobs: Iterable[str], columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """Rows of some jobs."""
    kept = rows.filter(pc.is_in(rows[ORDER[table].job], pa.array(sorted(jobs), pa.string())))
    yield from (kept if columns is None else kept.select(columns)).to_batches()


def _by_job(table: str, pieces: Iterable[pa.Table]) -> Iterator[tuple[tuple[object, str], pa.Table]]:
    """Runs of rows of one job, each with what orders jobs: time and id."""
    order = ORDER[table]
    for piece in pieces:
        for job_id, start, end in find_runs(piece[order.job].combine_chunks()):
            yield (piece[order.time][start].as_py(), job_id), piece.slice(start, end - start)


def _months_of(table: str, rows: pa.Table) -> set[str]:
    """The months of rows in order."""
    times = rows[ORDER[table].time]
    ends = {month_of(times[place].as_py()) for place in (0, -1)}
    if len(ends) == 1:
        return ends
    days = pc.unique(pc.floor_temporal(times, unit="month"))
    return {month_of(day) for day in days.to_pylist()}
