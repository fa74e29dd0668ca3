"""The lake: hive-partitioned Parquet in which whole jobs are replaced, one atomic file replacement at a time.

The last part of a partition is open: new rows are merged into it and the file is replaced. Past `PART_BYTES` it is
closed and a new part begins. A job never straddles two parts, so a plain glob is right at any moment for any engine,
no compaction is needed, and the number of files is bounded by strategies and months.

`tables` has the columns of the tables, `part_files` the files, `windows` what a reader of a span of time can leave out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.host.file_names import make_file_name
from meter_pipeline.host.scratch import Scratch, ScratchError
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake import part_files
from meter_pipeline.store.lake.files import Files, open_files
from meter_pipeline.store.lake.part_files import PART_BYTES
from meter_pipeline.store.lake.tables import (
    CHANGES,
    ORDER,
    RAW,
    RESULTS,
    SCHEMAS,
    follows,
    in_order,
    remove_jobs,
    results_schema,
    select_schema,
    split_by_month,
)
from meter_pipeline.store.lake.windows import Window, are_within, row_groups, touches_month
from meter_pipeline.store.times import moment, month_of

__all__ = [
    "CHANGES",
    "PART_BYTES",
    "RAW",
    "RESULTS",
    "SCHEMAS",
    "VERSION",
    "Lake",
    "in_order",
    "results_schema",
]

VERSION = 1
_MARKER = "lake.json"


class Lake:
    """Tables `raw`, `results` and `changes`, each partitioned by strategy and month."""

    def __init__(self, files: Files, scratch: Scratch | None = None) -> None:
        self.files = files
        self._scratch = scratch or Scratch()

    @classmethod
    def open(cls, url: str, scratch: Scratch | None = None) -> Lake:
        """Opens the lake at a folder or URL, and creates it if it does not exist.

        Args:
            url: The folder or URL.
            scratch: For temporary files; the system's own temporary folder when None.

        Raises:
            LakeError: It cannot be reached, written, or was made by a newer version.
        """
        lake = cls(open_files(url, scratch), scratch)
        if not lake.files.exists(_MARKER):
            lake._write_marker()
            return lake
        try:
            with pa.input_stream(lake.files.source(_MARKER)) as stream:
                version = int(json.loads(stream.read())["version"])
        except (ValueError, KeyError, TypeError, OSError):
            raise LakeError(f"{lake.files.uri(_MARKER)} is damaged: delete it if the lake is one of ours") from None
        if version > VERSION:
            raise LakeError(
                f"the lake {lake.files.url} is of version {version}, this program reads up to {VERSION}: upgrade it"
            )
        return lake

    def _write_marker(self) -> None:
        with self.files.writing(_MARKER) as file:
            file.write(json.dumps({"version": VERSION}).encode())

    # -- reading

    def parts(self, table: str, slug: str | None = None, month: str | None = None) -> list[str]:
        """Names of the Parquet files of a table, of one strategy, or of one month of it, in order."""
        folder = table if slug is None else part_files.folder_of(table, slug, month)
        return [name for name in self.files.list(folder) if name.endswith(".parquet")]

    def read(
        self,
        table: str,
        slug: str,
        columns: Sequence[str] | None = None,
        jobs: Iterable[str] | None = None,
        windows: Sequence[Window] | None = None,
    ) -> pa.Table:
        """Rows of a strategy as one Arrow table, part by part.

        Args:
            table: `raw`, `results` or `changes`.
            slug: The strategy.
            columns: Columns of the answer; all when `None`.
            jobs: Ids of the jobs whose rows are wanted; all when `None`.
            windows: Windows of the jobs' time; months, and row groups by their statistics, are skipped by them.
        """
        wanted = None if jobs is None else pa.array(sorted(jobs), pa.string())
        job, time, _ = ORDER[table]
        filtered_by = [job] if windows is None else [job, time]
        needed = None if columns is None else [*dict.fromkeys([*columns, *filtered_by])]
        names = self.parts(table, slug)
        near = [name for name in names if windows is None or touches_month(windows, part_files.month_of_part(name))]
        tables = []
        # Where all rows are at other times, the columns are read from any part.
        for name in near or names[-1:]:
            with part_files.reading_part(self.files, name) as file:
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
        schema = SCHEMAS[table]
        if columns is not None:
            schema = select_schema(table, [name for name in columns if name in schema.names])
        return schema.empty_table()

    def job_rows(self, table: str, slug: str, columns: Sequence[str], jobs: Mapping[str, str]) -> pa.Table:
        """Rows of some jobs, as `job_batches`, in one table."""
        return pa.Table.from_batches(self.job_batches(table, slug, columns, jobs), select_schema(table, columns))

    def job_batches(
        self, table: str, slug: str, columns: Sequence[str], jobs: Mapping[str, str]
    ) -> Iterator[pa.RecordBatch]:
        """Rows of some jobs, read from no more of the lake than may hold them.

        Args:
            table: `raw`, `results` or `changes`.
            slug: The strategy.
            columns: Columns of the table's own schema.
            jobs: Times of the jobs, ISO, by id: months, and row groups by their statistics, are skipped by them.
        """
        schema = select_schema(table, columns)
        job, time, _ = ORDER[table]
        names = [*dict.fromkeys([*columns, job])]
        for month in sorted({month_of(at) for at in jobs.values()}):
            times = {job_id: moment(at) for job_id, at in jobs.items() if month_of(at) == month}
            for part in self.parts(table, slug, month):
                with part_files.reading_part(self.files, part) as file:
                    groups = part_files.find_row_groups(file.metadata, time, times.values())
                    for batch in part_files.scan_jobs(file, table, times, names, groups):
                        yield pa.RecordBatch.from_arrays([batch[name] for name in columns], schema=schema)

    def job_ids(self, table: str, slug: str) -> set[str]:
        """Ids of the jobs with rows."""
        found: set[str] = set()
        for name in self.parts(table, slug):
            with part_files.reading_part(self.files, name) as file:
                found |= part_files.read_distinct(file, ORDER[table].job)
        return found

    def schemas(self, table: str, slug: str) -> Iterator[pa.Schema]:
        """The schema of each of a strategy's files; they differ only after a kill during a write."""
        for name in self.parts(table, slug):
            with part_files.reading_part(self.files, name) as file:
                yield file.schema_arrow

    def scan_part(self, table: str, name: str, jobs: Collection[str]) -> Iterator[pa.RecordBatch]:
        """Rows of some jobs of one part, in batches."""
        with part_files.reading_part(self.files, name) as file:
            yield from part_files.scan_jobs(file, table, jobs)

    @staticmethod
    def part(table: str, slug: str, month: str, numbers: dict[str, int]) -> str:
        """The name of the next part of a month, for `rewrite`; `numbers` counts the parts of each month."""
        numbers[month] = numbers.get(month, -1) + 1
        return part_files.name_part(table, slug, month, numbers[month])

    # -- writing

    def replace(self, table: str, slug: str, rows: pa.Table, jobs: set[str], *, thorough: bool) -> None:
        """Replaces all rows of `jobs` with `rows`.

        Args:
            table: `raw`, `results` or `changes`.
            slug: The strategy.
            rows: Rows of the table's schema, in any order; a job without rows is only removed.
            jobs: Ids of the jobs whose rows these are.
            thorough: Search every part for old rows. Needed when the jobs may have been written before; otherwise only
                the open part is touched, so that the cost follows what is new.
        """
        months = dict(split_by_month(table, in_order(table, rows)))
        if thorough:
            self._remove(table, slug, jobs, except_months=set(months))
        for month, new in months.items():
            self._merge(table, slug, month, new, jobs, thorough=thorough)

    def write_job(self, table: str, slug: str, time: str, job_id: str, rows: Iterable[pa.Table]) -> str | None:
        """Replaces all rows of a job that is too large for memory, which gets a part of its own.

        Args:
            table: `raw`, `results` or `changes`.
            slug: The strategy.
            time: The job's time, ISO.
            job_id: The job.
            rows: Its rows in order, piece by piece.

        Returns:
            The name of the part, `None` when there were no rows.
        """
        month = month_of(time)
        first, pieces = part_files.split_first(rows)
        if first is None:
            self._remove(table, slug, {job_id})
            return None
        name = part_files.name_next_part(self.parts(table, slug, month), table, slug, month)
        with part_files.writing_part(self.files, name, first.schema) as writer:
            part_files.write_pieces(writer, pieces)
            self._remove(table, slug, {job_id})
        return name

    def rewrite(
        self, table: str, slug: str, parts: Iterable[tuple[str, Iterable[pa.Table]]], schema: pa.Schema
    ) -> None:
        """Replaces a strategy's table: the new files are written beside the old ones and swapped in at the end.

        Args:
            table: `results` or `changes`.
            slug: The strategy.
            parts: Names of parts of `raw` with the rows that are derived from each, piece by piece.
            schema: The schema of every piece.
        """
        folder = part_files.folder_of(table, slug)
        staged = f".staged/{folder}"
        self.files.drop(staged)
        written = False
        for name, rows in parts:
            first, pieces = part_files.split_first(rows)
            if first is not None:
                written = True
                place = f"{staged}/{'/'.join(name.split('/')[-2:])}"
                with part_files.writing_part(self.files, place, schema) as writer:
                    part_files.write_pieces(writer, pieces)
        if written:
            self.files.swap(staged, folder)
        else:
            self.files.drop(folder)

    def drop(self, table: str, slug: str) -> None:
        """Deletes a strategy's files of a table."""
        self.files.drop(part_files.folder_of(table, slug))

    def sweep(self, slug: str) -> None:
        """Deletes what a killed writer of this strategy left unfinished."""
        for table in SCHEMAS:
            self.files.sweep(part_files.folder_of(table, slug))
            self.files.drop(f".staged/{part_files.folder_of(table, slug)}")

    def _merge(self, table: str, slug: str, month: str, rows: pa.Table, jobs: set[str], *, thorough: bool) -> None:
        """Writes rows of one month into its open part, or into a new part if the last one is closed."""
        names = self.parts(table, slug, month)
        if thorough:
            for name in names[:-1]:
                part_files.remove_jobs_from_part(self.files, table, name, jobs)
        old = part_files.read_open_part(self.files, names[-1]) if names else None
        if old is not None:
            # A large part is copied no more often than need be: the part takes the memory here, not the new rows.
            kept = remove_jobs(table, old, jobs)
            merged = pa.concat_tables([kept, rows])
            del old
            ordered = merged if follows(table, rows, kept) else in_order(table, merged)
            part_files.write_part(self.files, names[-1], ordered, rows.schema)
            return
        if names and thorough:
            part_files.remove_jobs_from_part(self.files, table, names[-1], jobs)
        part_files.write_part(self.files, part_files.name_next_part(names, table, slug, month), rows, rows.schema)

    def _remove(self, table: str, slug: str, jobs: set[str], except_months: Collection[str] = ()) -> None:
        """Removes the jobs' rows from every part but those of some months."""
        for name in self.parts(table, slug):
            if part_files.month_of_part(name) not in except_months:
                part_files.remove_jobs_from_part(self.files, table, name, jobs)

    # -- other files

    def keep_body(self, job_id: str, body: bytes) -> str:
        """Keeps a body that could not be parsed as items, for people to examine; returns its address."""
        name = f"unreadable/{make_file_name(job_id, '.body')}"
        with self.files.writing(name) as file:
            file.write(body)
        return self.files.uri(name)

    @contextmanager
    def spill_folder(self) -> Iterator[Path]:
        """A temporary folder for data that does not fit into memory; it is deleted when the block ends.

        Raises:
            LakeError: It cannot be created.
        """
        with ExitStack() as made:
            try:
                folder = made.enter_context(self._scratch.make_folder())
            except ScratchError as error:
                raise LakeError(str(error)) from None
            yield folder
