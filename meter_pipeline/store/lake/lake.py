"""The lake: hive-partitioned Parquet in which whole jobs are replaced, one atomic file replacement at a time.

    <table>/strategy=<slug>/month=<YYYY-MM>/part-00000.parquet

The last part of a partition is open: new rows are merged into it and the file is replaced. Past `PART_BYTES` it is
closed and a new part begins. A job never straddles two parts, so a plain glob is right at any moment for any engine,
there is nothing to compact, and the number of files is bounded by strategies and months.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import chain, groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from meter_pipeline.host.file_names import make_file_name
from meter_pipeline.host.scratch import Scratch, ScratchError
from meter_pipeline.store.columns import Column
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.files import Files, open_files
from meter_pipeline.store.lake.windows import Window, are_within, row_groups, touches_month
from meter_pipeline.store.times import moment, month_of

VERSION = 1
PART_BYTES = 16 * 2**20
# A part is also closed by what it unpacks to, since merging into it means reading it whole.
PART_UNPACKED_BYTES = 64 * 2**20
# And by its rows: what they repeat takes no room in the file, but all of it in memory.
PART_ROWS = 200_000
ROW_GROUP_ROWS = 65_536
_MARKER = "lake.json"
_UTC = pa.timestamp("us", tz="UTC")

RAW = pa.schema(
    [
        ("job_id", pa.string()),
        ("schedule_id", pa.string()),
        ("url", pa.string()),
        ("item_index", pa.int64()),
        ("item", pa.string()),
        ("completed_at", _UTC),
    ]
)
RESULTS = pa.schema(
    [
        ("_meter_job_id", pa.string()),
        ("_meter_schedule_id", pa.string()),
        ("_meter_url", pa.string()),
        ("_meter_item_index", pa.int64()),
        ("_meter_completed_at", _UTC),
        ("_meter_item_key", pa.string()),
        ("_meter_item_hash", pa.string()),
    ]
)
CHANGES = pa.schema(
    [
        ("job_id", pa.string()),
        ("previous_job_id", pa.string()),
        ("schedule_id", pa.string()),
        ("url", pa.string()),
        ("parameters", pa.string()),
        ("item_key", pa.string()),
        ("kind", pa.string()),
        ("field", pa.string()),
        ("old_value", pa.string()),
        ("new_value", pa.string()),
        ("observed_at", _UTC),
    ]
)
# Per table: the column of the job, of its time, and those that order the rows of a job.
_ORDER = {
    "raw": ("job_id", "completed_at", ("item_index",)),
    "results": ("_meter_job_id", "_meter_completed_at", ("_meter_item_index",)),
    "changes": ("job_id", "observed_at", ("item_key", "field")),
}
SCHEMAS = {"raw": RAW, "results": RESULTS, "changes": CHANGES}


def results_schema(columns: Iterable[Column]) -> pa.Schema:
    """The schema of one strategy's results: what every row has, then the strategy's own columns."""
    return pa.schema([*RESULTS, *(pa.field(column.name, column.type) for column in columns)])


class Lake:
    """Tables `raw`, `results` and `changes`, each partitioned by strategy and month."""

    def __init__(self, files: Files, scratch: Scratch | None = None) -> None:
        self.files = files
        self._scratch = scratch or Scratch()

    @classmethod
    def open(cls, url: str, scratch: Scratch | None = None) -> Lake:
        """Opens the lake at a folder or URL, and makes it if there is none.

        Args:
            url: The folder or URL.
            scratch: For temporary files; in the system's own folder for them when None.

        Raises:
            LakeError: It cannot be reached, written, or was made by a newer version.
        """
        lake = cls(open_files(url, scratch), scratch)
        if not lake.files.exists(_MARKER):
            lake._mark()
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

    def _mark(self) -> None:
        with self.files.writing(_MARKER) as file:
            file.write(json.dumps({"version": VERSION}).encode())

    # -- reading

    def parts(self, table: str, slug: str | None = None, month: str | None = None) -> list[str]:
        """Names of the Parquet files of a table, of one strategy, or of one month of it."""
        folder = table if slug is None else _folder(table, slug) if month is None else _folder(table, slug, month)
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
            jobs: Ids of the jobs whose rows are wanted.
            windows: Windows of the job's time; months, and row groups by their statistics, are left out by them.
        """
        wanted = None if jobs is None else pa.array(sorted(jobs), pa.string())
        job, time, _ = _ORDER[table]
        also = [job] if windows is None else [job, time]
        needed = None if columns is None else [*dict.fromkeys([*columns, *also])]
        names = self.parts(table, slug)
        near = [name for name in names if windows is None or touches_month(windows, _month_of(name))]
        tables = []
        # Of a strategy with rows at other times, any part tells the columns.
        for name in near or names[-1:]:
            with self._reader(name) as file:
                if windows is None:
                    part = file.read(needed)
                else:
                    part = file.read_row_groups(row_groups(file.metadata, time, windows), needed)
                    part = part.filter(are_within(part[time], windows))
            if wanted is not None:
                part = part.filter(pc.is_in(part[job], value_set=wanted))
            tables.append(part if columns is None else part.select(list(columns)))
        if not tables:
            schema = SCHEMAS[table]
            return (
                schema if columns is None else pa.schema([schema.field(c) for c in columns if c in schema.names])
            ).empty_table()
        return pa.concat_tables(tables)

    def job_rows(self, table: str, slug: str, columns: Sequence[str], jobs: Mapping[str, str]) -> pa.Table:
        """Rows of some jobs, as `job_batches`, in one table."""
        return pa.Table.from_batches(self.job_batches(table, slug, columns, jobs), self._columns(table, columns))

    def job_batches(
        self, table: str, slug: str, columns: Sequence[str], jobs: Mapping[str, str]
    ) -> Iterator[pa.RecordBatch]:
        """Rows of some jobs, read from no more of the lake than may hold them.

        Args:
            table: `raw`, `results` or `changes`.
            slug: The strategy.
            columns: Columns of the table's own schema.
            jobs: Times of the jobs, ISO, by id: months, and row groups by their statistics, are left out by them.
        """
        schema = self._columns(table, columns)
        job, time, _ = _ORDER[table]
        for month in sorted({month_of(at) for at in jobs.values()}):
            inside = {id_: moment(at) for id_, at in jobs.items() if month_of(at) == month}
            wanted = pa.array(sorted(inside), pa.string())
            for name in self.parts(table, slug, month):
                with self._reader(name) as file:
                    groups = _groups(file.metadata, time, inside.values())
                    names = [*dict.fromkeys([*columns, job])]
                    for batch in file.iter_batches(batch_size=16_384, row_groups=groups, columns=names):
                        kept = batch.filter(pc.is_in(batch[job], value_set=wanted))
                        if kept.num_rows:
                            yield pa.RecordBatch.from_arrays([kept[c] for c in columns], schema=schema)

    @staticmethod
    def _columns(table: str, columns: Sequence[str]) -> pa.Schema:
        return pa.schema([SCHEMAS[table].field(name) for name in columns])

    def job_ids(self, table: str, slug: str) -> set[str]:
        """Ids of the jobs with rows."""
        column = _ORDER[table][0]
        found: set[str] = set()
        for name in self.parts(table, slug):
            with self._reader(name) as file:
                found |= _distinct(file, column)
        return found

    def schemas(self, table: str, slug: str) -> Iterator[pa.Schema]:
        """The schemas of a strategy's files; one and the same, but after a kill in mid-write."""
        for name in self.parts(table, slug):
            with self._reader(name) as file:
                yield file.schema_arrow

    def scan_part(self, table: str, name: str, jobs: Collection[str]) -> Iterator[pa.RecordBatch]:
        """Rows of some jobs of one part, in batches."""
        job = _ORDER[table][0]
        wanted = pa.array(sorted(jobs), pa.string())
        with self._reader(name) as file:
            for batch in file.iter_batches(batch_size=16_384):
                kept = batch.filter(pc.is_in(batch[job], value_set=wanted))
                if kept.num_rows:
                    yield kept

    @staticmethod
    def part(table: str, slug: str, month: str, numbers: dict[str, int]) -> str:
        """The name of the next part of a month, for `rewrite`; `numbers` counts them."""
        numbers[month] = numbers.get(month, -1) + 1
        return f"{_folder(table, slug, month)}/{_part(numbers[month])}"

    # -- writing

    def replace(self, table: str, slug: str, rows: pa.Table, jobs: set[str], *, thorough: bool) -> None:
        """Puts `rows`, all rows of `jobs`, in the place of whatever rows of these jobs there are.

        Args:
            table: `raw`, `results` or `changes`.
            slug: The strategy.
            rows: Rows of the table's schema, in any order; a job without rows is only taken out.
            jobs: Ids of the jobs whose rows these are.
            thorough: Look for old rows in every part. Needed when the jobs may have been written before; where that
                cannot be, only the open part is touched, so that the cost follows what is new.
        """
        slices = dict(_months(table, in_order(table, rows)))
        if thorough:
            self._remove(table, slug, jobs, keep=set(slices))
        for month, part in slices.items():
            self._merge(table, slug, month, part, jobs, thorough=thorough)

    def write_job(self, table: str, slug: str, time: str, job_id: str, rows: Iterable[pa.Table]) -> str | None:
        """Writes one job too large for memory as a part of its own, in the place of what rows of it there are.

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
        pieces = iter(rows)
        first = next(pieces, None)
        if first is None:
            self._remove(table, slug, {job_id}, keep=set())
            return None
        name = self._next(self.parts(table, slug, month), table, slug, month)
        with self._writing(name, first.schema) as writer:
            _write(writer, chain([first], pieces))
            self._remove(table, slug, {job_id}, keep=set())
        return name

    def rewrite(
        self, table: str, slug: str, parts: Iterable[tuple[str, Iterable[pa.Table]]], schema: pa.Schema
    ) -> None:
        """Writes a strategy's table anew beside the old one and puts it in its place at the end.

        Args:
            table: `results` or `changes`.
            slug: The strategy.
            parts: Names of parts of `raw` with the rows that are derived from each, piece by piece.
            schema: The schema of every piece.
        """
        folder = _folder(table, slug)
        staged = f".staged/{folder}"
        self.files.drop(staged)
        written = False
        for name, rows in parts:
            pieces = iter(rows)
            first = next(pieces, None)
            if first is not None:
                written = True
                with self._writing(f"{staged}/{'/'.join(name.split('/')[-2:])}", schema) as writer:
                    _write(writer, chain([first], pieces))
        if written:
            self.files.swap(staged, folder)
        else:
            self.files.drop(folder)

    def drop(self, table: str, slug: str) -> None:
        """Removes a strategy's files of a table."""
        self.files.drop(_folder(table, slug))

    def sweep(self, slug: str) -> None:
        """Removes what a writer of this strategy that was killed left half written."""
        for table in SCHEMAS:
            self.files.sweep(_folder(table, slug))
            self.files.drop(f".staged/{_folder(table, slug)}")

    def keep_body(self, job_id: str, body: bytes) -> str:
        """Keeps a body that could not be read as items, for people to look at; returns where."""
        name = f"unreadable/{make_file_name(job_id, '.body')}"
        with self.files.writing(name) as file:
            file.write(body)
        return self.files.uri(name)

    @contextmanager
    def spill_folder(self) -> Iterator[Path]:
        """A temporary folder for what does not fit into memory, while the block runs.

        Raises:
            LakeError: It cannot be made.
        """
        with ExitStack() as made:
            try:
                folder = made.enter_context(self._scratch.make_folder())
            except ScratchError as error:
                raise LakeError(str(error)) from None
            yield folder

    # -- parts

    def _merge(self, table: str, slug: str, month: str, rows: pa.Table, jobs: set[str], *, thorough: bool) -> None:
        names = self.parts(table, slug, month)
        if thorough:
            for name in names[:-1]:
                self._filter_part(table, name, jobs)
        old = self._open_part(names[-1]) if names else None
        if old is not None:
            # A large part is copied no more often than need be: what takes memory here is the part, not the new rows.
            kept = _without(table, old, jobs)
            merged = pa.concat_tables([kept, rows])
            del old
            follows = not kept.num_rows or not rows.num_rows or _place(table, kept, -1) < _place(table, rows, 0)
            self._write_part(names[-1], merged if follows else in_order(table, merged), rows.schema)
            return
        if names and thorough:
            self._filter_part(table, names[-1], jobs)
        self._write_part(self._next(names, table, slug, month), rows, rows.schema)

    def _remove(self, table: str, slug: str, jobs: set[str], keep: set[str]) -> None:
        """Takes the jobs out of every part, except in the months of `keep`, where `_merge` does it."""
        for name in self.parts(table, slug):
            if _month_of(name) not in keep:
                self._filter_part(table, name, jobs)

    def _filter_part(self, table: str, name: str, jobs: set[str]) -> None:
        job = _ORDER[table][0]
        with self._reader(name) as file:
            held = _distinct(file, job)
            if not held & jobs:
                return
            schema = file.schema_arrow
            # A part may end up empty, but does not vanish: a reader that has listed it finds it.
            wanted = pa.array(sorted(held - jobs), pa.string())
            batches = (b.filter(pc.is_in(b[job], value_set=wanted)) for b in file.iter_batches(batch_size=16_384))
            with self._writing(name, schema) as writer:
                _write(writer, (pa.Table.from_batches([batch]) for batch in batches if batch.num_rows))

    def _open_part(self, name: str) -> pa.Table | None:
        """The rows of a part that takes more, `None` of a closed one."""
        if self.files.size(name) >= PART_BYTES:
            return None
        with self._reader(name) as file:
            groups = range(file.metadata.num_row_groups)
            size = sum(file.metadata.row_group(i).total_byte_size for i in groups)
            if size >= PART_UNPACKED_BYTES or file.metadata.num_rows >= PART_ROWS:
                return None
            return file.read()

    @staticmethod
    def _next(names: Sequence[str], table: str, slug: str, month: str) -> str:
        number = 1 + int(names[-1].split("/")[-1][5:10]) if names else 0
        return f"{_folder(table, slug, month)}/{_part(number)}"

    def _write_part(self, name: str, rows: pa.Table, schema: pa.Schema) -> None:
        with self._writing(name, schema) as writer:
            for start in range(0, rows.num_rows, ROW_GROUP_ROWS) or [0]:
                # In one piece, so that the same rows give the same bytes however they came together.
                writer.write_table(rows.slice(start, ROW_GROUP_ROWS).combine_chunks(), row_group_size=ROW_GROUP_ROWS)

    @contextmanager
    def _writing(self, name: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        with (
            self.files.writing(name) as file,
            pq.ParquetWriter(file, schema, compression="zstd", write_statistics=True) as writer,
        ):
            yield writer

    @contextmanager
    def _reader(self, name: str) -> Iterator[pq.ParquetFile]:
        try:
            # Not mapped into memory: a mapping would count, and keep a replaced file alive.
            with pq.ParquetFile(self.files.source(name), memory_map=False, pre_buffer=False) as file:
                yield file
        except (pa.ArrowInvalid, pa.ArrowIOError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise LakeError(
                f"{self.files.uri(name)} is damaged or unreadable ({reason}): delete it and run `meter-pipeline sync "
                f"--strategy {name.split('/')[1].removeprefix('strategy=')} --again` to load its jobs again"
            ) from error


def _distinct(file: pq.ParquetFile, column: str) -> set[str]:
    """The distinct values of a text column; not all of them at once, there may be millions of equal ones."""
    found: set[str] = set()
    for batch in file.iter_batches(columns=[column]):
        found.update(pc.unique(batch[column]).to_pylist())
    return found


def _write(writer: pq.ParquetWriter, pieces: Iterable[pa.Table]) -> None:
    """Writes rows gathered into row groups of a fair size."""
    waiting: list[pa.Table] = []
    rows = 0
    for piece in pieces:
        waiting.append(piece)
        rows += piece.num_rows
        if rows >= ROW_GROUP_ROWS // 2:
            writer.write_table(pa.concat_tables(waiting).combine_chunks())
            waiting, rows = [], 0
    if rows:
        writer.write_table(pa.concat_tables(waiting).combine_chunks())


def _months(table: str, ordered: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Months and their rows, from rows in order of time."""
    times = ordered[_ORDER[table][1]]
    if not ordered.num_rows:
        return
    first, last = (month_of(times[i].as_py()) for i in (0, -1))
    if first == last:
        yield first, ordered
        return
    start = 0
    for month, run in groupby(pc.strftime(times, format="%Y-%m").to_pylist()):
        count = len(list(run))
        yield month, ordered.slice(start, count)
        start += count


def in_order(table: str, rows: pa.Table) -> pa.Table:
    """Rows of a table in the order of its files: by time, job, and within a job."""
    job, time, rest = _ORDER[table]
    keys = rows.select([time, job, *rest])
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    if np.array_equal(order.to_numpy(), np.arange(len(order))):
        return rows
    return rows.take(order)


def _place(table: str, rows: pa.Table, row: int) -> tuple[datetime, str]:
    """Time and job of a row, by which rows are ordered first."""
    job, time, _ = _ORDER[table]
    return rows[time][row].as_py(), rows[job][row].as_py()


def _without(table: str, rows: pa.Table, jobs: set[str]) -> pa.Table:
    theirs = pc.is_in(rows[_ORDER[table][0]], value_set=pa.array(sorted(jobs), pa.string()))
    # Mostly there are none, and nothing to be copied.
    return rows.filter(pc.invert(theirs)) if pc.any(theirs).as_py() else rows


def _groups(metadata: pq.FileMetaData, time: str, moments: Iterable[datetime]) -> list[int]:
    """Row groups that may hold rows of some moments."""
    column = metadata.schema.names.index(time)
    looked_for = list(moments)
    found = []
    for number in range(metadata.num_row_groups):
        statistics = metadata.row_group(number).column(column).statistics
        unknown = statistics is None or not statistics.has_min_max
        if unknown or any(statistics.min <= moment <= statistics.max for moment in looked_for):
            found.append(number)
    return found


def _folder(table: str, slug: str, month: str | None = None) -> str:
    folder = f"{table}/strategy={slug}"
    return folder if month is None else f"{folder}/month={month}"


def _month_of(name: str) -> str:
    """The month of a part."""
    return name.split("/")[-2].removeprefix("month=")


def _part(number: int) -> str:
    return f"part-{number:05}.parquet"
