"""Items inside of others: where a job's items wrap a list, the elements of the list are the items.

The lake keeps such wrappers as they were received in its table `received`. Its table `raw`, which everything else is
derived from, has the elements, each cut out byte by byte. An item without the array is an item itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from meter_pipeline.api.syntax import Malformed, elements, raw_members
from meter_pipeline.config.field_paths import Path, parse_path
from meter_pipeline.store.lake.lake import RAW
from meter_pipeline.store.lake.tables import find_runs
from meter_pipeline.sync.items.raw import item_texts

# Elements in a table of rows.
_PIECE = 10_000


def take_out(received: Sequence[bytes], path: str | None) -> list[bytes]:
    """The items of received ones, which are valid JSON: elements of the array at a path; all of them without one."""
    if path is None:
        return list(received)
    names = parse_path(path)
    return [element for item in received for element in _take_out(item, names)]


def _take_out(item: bytes, names: Path) -> list[bytes]:
    try:
        inner = item
        for name in names:
            inner = bytes(raw_members(inner)[name]).strip()
        return [element.strip() for element in elements(inner)]
    except (KeyError, Malformed):
        # A field is missing, or what should be an object or the array is something else.
        return [item]


class Unwrapping:
    """Makes rows of `raw` from rows of `received`.

    Args:
        path: Path of the array; None if every received item is an item.

    Attributes:
        counts: Number of items by job, as far as rows were made.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self.counts: Counter[str] = Counter()

    def tables(self, received: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Rows of `raw`, piece by piece; the rows of a job must be adjacent."""
        for batch in received:
            for job_id, start, end in find_runs(batch["job_id"]):
                for row in range(start, end) if self._path is not None else ():
                    yield from self._elements(batch, row, job_id)
                if self._path is None:
                    self.counts[job_id] += end - start
                    yield pa.Table.from_batches([batch.slice(start, end - start)], RAW)

    def _elements(self, batch: pa.RecordBatch, row: int, job_id: str) -> Iterator[pa.Table]:
        found = take_out(batch["item"].slice(row, 1).cast(pa.binary()).to_pylist(), self._path)
        for start in range(0, len(found), _PIECE):
            piece = found[start : start + _PIECE]
            first = self.counts[job_id]
            self.counts[job_id] += len(piece)
            owner = pa.array(np.full(len(piece), row))
            made = {name: batch[name].take(owner) for name in ("job_id", "schedule_id", "url", "completed_at")}
            made |= {"item_index": pa.array(np.arange(first, first + len(piece))), "item": item_texts(piece)}
            yield pa.table([made[name] for name in RAW.names], schema=RAW)
