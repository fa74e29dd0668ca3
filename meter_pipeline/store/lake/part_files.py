"""Reading and writing single parts, the lake's Parquet files.

<table>/strategy=<slug>/<owner>-<time><random>.parquet

The owner is the ledger that lists the part. Names are never used twice.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from meter_pipeline.store.errors import DamagedError, LakeError
from meter_pipeline.store.lake.files import Files
from meter_pipeline.store.lake.tables import ORDER
from meter_pipeline.store.parts import Part
from meter_pipeline.store.times import iso

# A part of this size (bytes) is complete: it is merged with no other, and a longer load begins another one.
PART_BYTES = 64 * 2**20
# A row group ends by its rows, or by what it unpacks to (bytes): readers hold one in memory.
ROW_GROUP_ROWS = 65_536
ROW_GROUP_BYTES = 16 * 2**20
# A part whose first row group has no more rows is written without dictionaries.
_FEW_ROWS = 4_096
# Rows that are read at a time.
_BATCH_ROWS = 16_384
ENDING = ".parquet"


def name_part(table: str, slug: str, owner: str) -> str:
    """A new name for a part; the names of a process sort by time."""
    return f"{folder_of(table, slug)}/{owner}-{time.time_ns():016x}{secrets.token_hex(4)}{ENDING}"


def folder_of(table: str, slug: str) -> str:
    """The folder of a strategy's parts of a table."""
    return f"{table}/strategy={slug}"


def owner_of(name: str) -> str:
    """The ledger that a part was written for."""
    return name.rsplit("/", 1)[-1].partition("-")[0]


# The strategies of a sync have few schemas beside their results'.
@lru_cache(maxsize=64)
def digest_schema(schema: pa.Schema) -> str:
    """A digest of a schema: its columns, their types, and its own metadata."""
    metadata = {
        key.decode(): value.decode() for key, value in (schema.metadata or {}).items() if key != b"ARROW:schema"
    }
    spelled = json.dumps([[(field.name, _spell(field.type)) for field in schema], sorted(metadata.items())])
    return hashlib.blake2b(spelled.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


def _spell(kind: pa.DataType) -> str:
    """A type as text. Names within lists and maps are left out: Parquet has others than Arrow, and a file's stay."""
    if pa.types.is_list(kind):
        return f"list<item: {_spell(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{_spell(kind.key_type)}, {_spell(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {_spell(field.type)}' for field in kind)}>"
    return str(kind)


# -- reading -----------------------------------------------------------------------------------------------------------


@contextmanager
def reading_part(files: Files, part: Part) -> Iterator[pq.ParquetFile]:
    """A part that is open for reading.

    Raises:
        DamagedError: It is missing or damaged, found while it was opened or within the block.
        LakeError: It cannot be read now.
    """
    source = None
    try:
        source = files.source(part.name, part.bytes)
        # Not mapped into memory: a mapping would count as memory in use.
        with pq.ParquetFile(source, memory_map=False, pre_buffer=False) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        # A broken connection while a large object is read is no damage.
        is_damage = isinstance(error, (pa.ArrowInvalid, FileNotFoundError)) or (
            isinstance(source, (str, pa.BufferReader)) and error.errno is None
        )
        if not is_damage:
            raise LakeError(f"{files.uri(part.name)} cannot be read: {reason}") from error
        raise DamagedError(
            f"{files.uri(part.name)} is missing or damaged ({reason}): run `meter-pipeline sync "
            f"--strategy {part.name.split('/')[1].removeprefix('strategy=')} --again` to load its jobs again"
        ) from error


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


def read_distinct(file: pq.ParquetFile, column: str, row_groups: Sequence[int] | None = None) -> set[str]:
    """The distinct values of a text column, read in batches: there may be millions of equal ones."""
    found: set[str] = set()
    for batch in file.iter_batches(columns=[column], row_groups=row_groups):
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


def write_parts(
    files: Files, table: str, slug: str, owner: str, pieces: Iterable[pa.Table], schema: pa.Schema
) -> Iterator[Part]:
    """Writes rows to new parts, each of `PART_BYTES` or more but the last; all rows of a job are in one part.

    Args:
        files: Where to.
        table: `raw`, `rejected`, `results`, `changes` or `profiles`.
        slug: The strategy.
        owner: The ledger that will list them.
        pieces: The rows in order, each piece of the schema; the rows of a job are adjacent.
        schema: The schema.
    """
    groups = _gather(pieces)
    group = next(groups, None)
    while group is not None:
        part = _NewPart(table, schema)
        name = name_part(table, slug, owner)
        with files.writing(name) as file:
            # What a dictionary saves in few rows, compression saves as well, and in half the time.
            is_small = group.num_rows <= _FEW_ROWS
            options = {"compression": "zstd", "write_statistics": True, "use_dictionary": not is_small}
            with pq.ParquetWriter(file, schema, **options) as writer:
                while group is not None:
                    taken = group if file.tell() < PART_BYTES else part.rest_of_job(group)
                    if taken.num_rows:
                        writer.write_table(taken, row_group_size=ROW_GROUP_ROWS)
                        part.add(taken)
                    if taken.num_rows < group.num_rows:
                        group = group.slice(taken.num_rows)
                        break
                    group = next(groups, None)
            size = file.tell()
        yield part.describe(name, size)


class _NewPart:
    """What is known of a part while it is written."""

    def __init__(self, table: str, schema: pa.Schema) -> None:
        self._table = table
        self._schema = schema
        self._rows = 0
        self._times: list[datetime] = []
        self._last_job: str | None = None

    def add(self, rows: pa.Table) -> None:
        """Notes rows that were written."""
        order = ORDER[self._table]
        span = pc.min_max(rows[order.time])
        self._times += [span["min"].as_py(), span["max"].as_py()]
        self._last_job = rows[order.job][-1].as_py()
        self._rows += rows.num_rows

    def rest_of_job(self, rows: pa.Table) -> pa.Table:
        """The first of these rows, as far as they belong to the job of the last row that was written."""
        others = pc.not_equal(rows[ORDER[self._table].job], self._last_job)
        end = pc.index(others, True).as_py()
        return rows if end < 0 else rows.slice(0, end)

    def describe(self, name: str, size: int) -> Part:
        """The finished part."""
        first, last = (str(iso(bound(self._times))) for bound in (min, max))
        return Part(name, self._table, self._rows, size, first, last, digest_schema(self._schema))


def _gather(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows in row groups, each in one chunk, so that the same rows give the same bytes however they came."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for piece in pieces:
        start = 0
        while start < piece.num_rows:
            some = piece.slice(start, _room(piece, ROW_GROUP_ROWS - rows))
            start += some.num_rows
            waiting.append(some)
            rows, size = rows + some.num_rows, size + some.nbytes
            if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
                yield pa.concat_tables(waiting).combine_chunks()
                waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _room(piece: pa.Table, rows: int) -> int:
    """How many rows of a piece go into a row group that takes `rows` more: fewer where rows are large."""
    width = max(piece.nbytes // piece.num_rows, 1)
    return max(min(rows, ROW_GROUP_BYTES // width), 1)
