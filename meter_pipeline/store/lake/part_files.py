"""The lake's Parquet files, called parts: their names, and reading and writing one of them.

<table>/strategy=<slug>/month=<YYYY-MM>/part-00000.parquet
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.files import Files
from meter_pipeline.store.lake.tables import ORDER

# A part is closed by its size (bytes),
PART_BYTES = 16 * 2**20
# by what it unpacks to (bytes), since merging into it means reading it whole,
PART_UNPACKED_BYTES = 64 * 2**20
# and by its rows: values that repeat take no room in the file, but all of it in memory.
PART_ROWS = 200_000
ROW_GROUP_ROWS = 65_536
# Rows that are read at a time.
_BATCH_ROWS = 16_384


# -- names -------------------------------------------------------------------------------------------------------------


def folder_of(table: str, slug: str, month: str | None = None) -> str:
    """The folder of a strategy's parts of a table, or of one month of them."""
    folder = f"{table}/strategy={slug}"
    return folder if month is None else f"{folder}/month={month}"


def name_part(table: str, slug: str, month: str, number: int) -> str:
    """The name of a part."""
    return f"{folder_of(table, slug, month)}/part-{number:05}.parquet"


def name_next_part(names: Sequence[str], table: str, slug: str, month: str) -> str:
    """The name of the part after those of a month, given by name in order."""
    number = 1 + int(names[-1].split("/")[-1][5:10]) if names else 0
    return name_part(table, slug, month, number)


def month_of_part(name: str) -> str:
    """The month of a part, `YYYY-MM`."""
    return name.split("/")[-2].removeprefix("month=")


# -- reading -----------------------------------------------------------------------------------------------------------


@contextmanager
def reading_part(files: Files, name: str) -> Iterator[pq.ParquetFile]:
    """A part that is open for reading.

    Raises:
        LakeError: It is damaged or unreadable, found while it was opened or within the block.
    """
    try:
        # Not mapped into memory: a mapping would count, and keep a replaced file alive.
        with pq.ParquetFile(files.source(name), memory_map=False, pre_buffer=False) as file:
            yield file
    except (pa.ArrowInvalid, pa.ArrowIOError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise LakeError(
            f"{files.uri(name)} is damaged or unreadable ({reason}): delete it and run `meter-pipeline sync "
            f"--strategy {name.split('/')[1].removeprefix('strategy=')} --again` to load its jobs again"
        ) from error


def read_open_part(files: Files, name: str) -> pa.Table | None:
    """The rows of a part that takes more rows, `None` of a closed one."""
    if files.size(name) >= PART_BYTES:
        return None
    with reading_part(files, name) as file:
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(number).total_byte_size for number in groups)
        if size >= PART_UNPACKED_BYTES or file.metadata.num_rows >= PART_ROWS:
            return None
        return file.read()


def scan_jobs(
    file: pq.ParquetFile,
    table: str,
    jobs: Collection[str],
    columns: Sequence[str] | None = None,
    row_groups: Sequence[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Rows of some jobs of a part, in batches that are not empty; of some columns and row groups, if given."""
    job = ORDER[table].job
    wanted = pa.array(sorted(jobs), pa.string())
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=row_groups, columns=columns):
        kept = batch.filter(pc.is_in(batch[job], value_set=wanted))
        if kept.num_rows:
            yield kept


def read_distinct(file: pq.ParquetFile, column: str) -> set[str]:
    """The distinct values of a text column, read in batches: there may be millions of equal ones."""
    found: set[str] = set()
    for batch in file.iter_batches(columns=[column]):
        found.update(pc.unique(batch[column]).to_pylist())
    return found


def find_row_groups(metadata: pq.FileMetaData, time: str, moments: Iterable[datetime]) -> list[int]:
    """Numbers of the row groups that may hold rows of some moments, by the statistics of the column `time`."""
    column = metadata.schema.names.index(time)
    wanted = list(moments)
    found = []
    for number in range(metadata.num_row_groups):
        statistics = metadata.row_group(number).column(column).statistics
        unknown = statistics is None or not statistics.has_min_max
        if unknown or any(statistics.min <= moment <= statistics.max for moment in wanted):
            found.append(number)
    return found


# -- writing -----------------------------------------------------------------------------------------------------------


@contextmanager
def writing_part(files: Files, name: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A writer of a part, which replaces an old one of that name when the block ends well."""
    with (
        files.writing(name) as file,
        pq.ParquetWriter(file, schema, compression="zstd", write_statistics=True) as writer,
    ):
        yield writer


def write_part(files: Files, name: str, rows: pa.Table, schema: pa.Schema) -> None:
    """Writes a part from rows in memory."""
    with writing_part(files, name, schema) as writer:
        for start in range(0, rows.num_rows, ROW_GROUP_ROWS) or [0]:
            # Combined, so that the same rows give the same bytes however they came together.
            writer.write_table(rows.slice(start, ROW_GROUP_ROWS).combine_chunks(), row_group_size=ROW_GROUP_ROWS)


def write_pieces(writer: pq.ParquetWriter, pieces: Iterable[pa.Table]) -> None:
    """Writes pieces of rows, gathered into row groups of at least half of `ROW_GROUP_ROWS`."""
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


def split_first(pieces: Iterable[pa.Table]) -> tuple[pa.Table | None, Iterator[pa.Table]]:
    """The first piece, `None` if there is none, and an iterator over all pieces, the first one included."""
    rest = iter(pieces)
    first = next(rest, None)
    return first, rest if first is None else chain([first], rest)


def remove_jobs_from_part(files: Files, table: str, name: str, jobs: set[str]) -> None:
    """Rewrites a part without the rows of some jobs, if it has any.

    A part may end up empty, but does not vanish: a reader that has listed it finds it.
    """
    with reading_part(files, name) as file:
        held = read_distinct(file, ORDER[table].job)
        if not held & jobs:
            return
        with writing_part(files, name, file.schema_arrow) as writer:
            batches = scan_jobs(file, table, held - jobs)
            write_pieces(writer, (pa.Table.from_batches([batch]) for batch in batches))
