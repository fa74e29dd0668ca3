"""The rows of one strategy, read from the parts that count."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store.errors import DamagedError
from meter_pipeline.store.lake import part_files
from meter_pipeline.store.lake.files import Files
from meter_pipeline.store.lake.tables import ORDER, SCHEMAS, select_schema
from meter_pipeline.store.lake.windows import Window, are_within, row_groups
from meter_pipeline.store.parts import Part
from meter_pipeline.store.times import moment


class PartSet:
    """The parts of one strategy; a job's rows of a table are in one part or in consecutive ones."""

    def __init__(self, files: Files, slug: str, parts: Iterable[Part]) -> None:
        self._files = files
        self._slug = slug
        self._parts: dict[str, list[Part]] = {table: [] for table in SCHEMAS}
        for part in parts:
            self._parts[part.table].append(part)
        for listed in self._parts.values():
            listed.sort(key=lambda part: part.place)

    def of(self, table: str) -> tuple[Part, ...]:
        """The parts of a table, in order of time."""
        return tuple(self._parts[table])

    def files(self, table: str) -> list[str]:
        """Addresses of the files of a table, for other engines; none of them changes."""
        return [self._files.uri(part.name) for part in self.of(table)]

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        jobs: Collection[str] | None = None,
        windows: Sequence[Window] | None = None,
        schema: pa.Schema | None = None,
    ) -> pa.Table:
        """Rows as one Arrow table, part by part.

        Args:
            table: `raw`, `results`, `changes` or `profiles`.
            columns: Columns of the answer; all when `None`.
            jobs: Ids of the jobs whose rows are wanted; all when `None`.
            windows: Windows of the jobs' time; parts, and row groups by their statistics, are skipped by them.
            schema: The schema of the answer where there is no part; that of the table's common columns when `None`.
        """
        wanted = None if jobs is None else pa.array(sorted(jobs), pa.string())
        job, time, _ = ORDER[table]
        filtered_by = [job] if windows is None else [job, time]
        needed = None if columns is None else [*dict.fromkeys([*columns, *filtered_by])]
        parts = self.of(table)
        near = [part for part in parts if windows is None or _touches(part, windows)]
        tables = []
        # Where all rows are at other times, the columns are read from any part.
        for part in near or parts[-1:]:
            with part_files.reading_part(self._files, part) as file:
                if windows is None:
                    rows = file.read(needed)
                else:
                    rows = file.read_row_groups(row_groups(file.metadata, time, windows), needed)
                    rows = rows.filter(are_within(rows[time], windows))
            if wanted is not None:
                rows = rows.filter(pc.is_in(rows[job], value_set=wanted))
            tables.append(rows if columns is None else rows.select(list(columns)))
        if tables:
            return pa.concat_tables(tables)
        empty = (schema or SCHEMAS[table]).empty_table()
        return empty if columns is None else empty.select([name for name in columns if name in empty.column_names])

    def job_rows(self, table: str, columns: Sequence[str], jobs: Mapping[str, str]) -> pa.Table:
        """Rows of some jobs, as `job_batches`, in one table."""
        return pa.Table.from_batches(self.job_batches(table, columns, jobs), select_schema(table, columns))

    def job_batches(self, table: str, columns: Sequence[str], jobs: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
        """Rows of some jobs in some of the table's common columns, read from no more parts than may hold them.

        Args:
            table: `raw`, `results`, `changes` or `profiles`.
            columns: Columns of the table's own schema.
            jobs: Times of the jobs, ISO 8601, by id: parts, and row groups by their statistics, are skipped by them.
        """
        schema = select_schema(table, columns)
        names = [*dict.fromkeys([*columns, ORDER[table].job])]
        for batch in self.scan(table, jobs, names):
            yield pa.RecordBatch.from_arrays([batch[name] for name in columns], schema=schema)

    def scan(
        self, table: str, jobs: Mapping[str, str], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of some jobs, as `job_batches`, with all columns if none are given; the rows of a job are adjacent.

        Parts may overlap in time, so jobs come in the order of time only within a part.
        """
        for part in self.of(table):
            yield from self._scan_part(part, jobs, columns)

    def _scan_part(
        self, part: Part, jobs: Mapping[str, str], columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        times = set(jobs.values())
        if not part.may_hold(times):
            return
        moments = [moment(time) for time in times]
        with part_files.reading_part(self._files, part) as file:
            groups = part_files.find_row_groups(file.metadata, ORDER[part.table].time, moments)
            yield from part_files.scan_jobs(file, part.table, jobs, columns, groups)

    def job_ids(self, table: str) -> set[str]:
        """Ids of the jobs with rows."""
        found: set[str] = set()
        for part in self.of(table):
            with part_files.reading_part(self._files, part) as file:
                found |= part_files.read_distinct(file, ORDER[table].job)
        return found

    def find_damaged(self) -> list[Part]:
        """The parts that are missing or damaged; every part is read.

        Raises:
            LakeError: The lake itself cannot be read.
        """
        damaged = []
        self._files.forget()
        for listed in self._parts.values():
            for part in listed:
                try:
                    with part_files.reading_part(self._files, part) as file:
                        for _ in file.iter_batches():
                            pass
                except DamagedError:
                    damaged.append(part)
        return damaged


def _touches(part: Part, windows: Sequence[Window]) -> bool:
    """Whether rows of a part can be in one of the windows."""
    first, last = moment(part.first_at), moment(part.last_at)
    return any(window.overlaps(first, last) for window in windows)
