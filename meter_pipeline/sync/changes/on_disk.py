"""Compares jobs too large for memory: DuckDB joins their keys and sorts their items, and spills to disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from meter_pipeline.store.item_json import parse_items
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.sync.changes.diff import ADDED, REMOVED, Counts, Row, Rows, Seen, changed_rows
from meter_pipeline.sync.changes.fields import SAMPLE_ITEMS, ElementKeys
from meter_pipeline.sync.changes.in_memory import ITEMS, KEYS
from meter_pipeline.sync.changes.numbers import NumberReader
from meter_pipeline.sync.items.identity import Identity

if TYPE_CHECKING:
    import duckdb

_MEMORY = "128MB"
_PIECE_ITEMS = 5_000
# Items that are parsed at a time, which takes several times the memory of their texts.
_PARSED_ITEMS = 500
_DIFFERING = (
    "SELECT key, old_item, new_item FROM delta LEFT JOIN old_items USING (old_index) "
    "LEFT JOIN new_items USING (new_index) ORDER BY key"
)
# The items that `diff` takes as a sample, too: DuckDB orders texts by code point, as Python does.
_SAMPLE = (
    "SELECT old_item, new_item FROM delta JOIN old_items USING (old_index) JOIN new_items USING (new_index) "  # noqa: S608
    f"ORDER BY key LIMIT {SAMPLE_ITEMS}"
)


def large_rows(
    lake: Lake, rows: PartSet, previous: Seen, job: Seen, identity: Identity, counts: Counts, reader: NumberReader
) -> Iterator[pa.Table]:
    """Rows of `changes` of one job, sorted, in several tables.

    Args:
        lake: Gives the folder to spill to.
        rows: The strategy's rows, with raw and typed ones of both jobs.
        previous: The job before it on its target.
        job: The job.
        identity: The identity by which their rows were keyed and hashed.
        counts: Counts of items and rows, which this function increases.
        reader: Reads values as numbers.
    """
    with _delta(lake, rows, previous, job) as connection:
        # A cursor of its own: the other result is read piece by piece meanwhile.
        sample = connection.cursor()
        keys = ElementKeys(identity, lambda: parse_pairs(sample.execute(_SAMPLE).fetchall()))
        found = connection.execute(_DIFFERING)
        for batch in found.to_arrow_reader(_PIECE_ITEMS):
            piece = Rows(counts, reader)
            items = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
            piece.append(previous, job, item_rows(items, identity, keys))
            yield piece.table()


def item_rows(items: Sequence[tuple[str, str | None, str | None]], identity: Identity, keys: ElementKeys) -> list[Row]:
    """Rows of items that differ between two jobs, in the order of the lake's rows: by key and field.

    Args:
        items: Keys of the items, and their texts before and after; None where there is none.
        identity: The identity of the items.
        keys: What elements of arrays are matched by.
    """
    rows: list[Row] = [(key, ADDED, None, None, new) for key, old, new in items if old is None]
    rows += [(key, REMOVED, None, old, None) for key, old, new in items if new is None]
    both = [item for item in items if None not in item]
    for start in range(0, len(both), _PARSED_ITEMS):
        changed, old, new = zip(*both[start : start + _PARSED_ITEMS], strict=True)
        rows += changed_rows(changed, _parse(old), _parse(new), identity, keys)
    return sorted(rows, key=itemgetter(0))


def parse_pairs(texts: Sequence[tuple[str, str]]) -> Iterator[tuple[Any, Any]]:
    """Items of the lake before and after, parsed."""
    return zip(*map(_parse, zip(*texts, strict=True)), strict=True)


def _parse(texts: Iterable[str]) -> list[Any]:
    """Items of the lake, parsed."""
    return parse_items([text.encode() for text in texts])


@contextmanager
def _delta(lake: Lake, rows: PartSet, previous: Seen, job: Seen) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the keys that differ and the items of both jobs under these keys."""
    import duckdb

    with lake.spill_folder() as folder, duckdb.connect(":memory:") as connection:
        quoted = str(folder).replace("'", "''")
        connection.execute(
            f"SET memory_limit = '{_MEMORY}'; SET temp_directory = '{quoted}'; SET threads = 1; "
            "SET preserve_insertion_order = false"
        )
        for side, seen in (("old", previous), ("new", job)):
            batches = rows.job_batches("results", KEYS, {seen.job_id: seen.time})
            _fill(connection, f"{side}_keys", batches, "_meter_item_key AS key, _meter_item_hash AS hash, "
                  f"_meter_item_index AS {side}_index")  # fmt: skip
        connection.execute(
            "CREATE TABLE delta AS SELECT coalesce(o.key, n.key) AS key, old_index, new_index "
            "FROM old_keys o FULL JOIN new_keys n ON o.key = n.key WHERE o.hash IS DISTINCT FROM n.hash; "
            "DROP TABLE old_keys; DROP TABLE new_keys"
        )
        for side, seen in (("old", previous), ("new", job)):
            wanted = connection.execute(f"SELECT {side}_index AS i FROM delta WHERE i IS NOT NULL").fetchnumpy()["i"]  # noqa: S608
            batches = _chosen(rows.job_batches("raw", ITEMS, {seen.job_id: seen.time}), np.sort(np.asarray(wanted)))
            _fill(connection, f"{side}_items", batches, f"item_index AS {side}_index, item AS {side}_item")
        yield connection


def _fill(connection: duckdb.DuckDBPyConnection, name: str, batches: Iterator[pa.RecordBatch], select: str) -> None:
    """Creates a table from batches of one schema."""
    names = ITEMS if name.endswith("_items") else KEYS
    types = {"item_index": pa.int64(), "_meter_item_index": pa.int64()}
    schema = pa.schema([(column, types.get(column, pa.string())) for column in names])
    reader = pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in batches))
    connection.register("incoming", reader)
    connection.execute(f"CREATE TABLE {name} AS SELECT {select} FROM incoming")  # noqa: S608
    connection.unregister("incoming")


def _chosen(batches: Iterator[pa.RecordBatch], wanted: npt.NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    """The rows whose item index is in `wanted`."""
    indexes = pa.array(wanted, pa.int64())
    for batch in batches:
        kept = batch.filter(pc.is_in(batch["item_index"], value_set=indexes))
        if kept.num_rows:
            yield kept
