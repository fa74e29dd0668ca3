"""Windows of time that a reader wants, and which row groups can hold rows in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_UTC = pa.timestamp("us", tz="UTC")


class Window(NamedTuple):
    """The time from `start`, included, to `end`, excluded; both with a time zone."""

    start: datetime
    end: datetime

    def overlaps(self, first: datetime, last: datetime) -> bool:
        """Whether a moment from `first` to `last`, both included, can be in the window."""
        return self.start <= last and first < self.end


def merge(windows: Iterable[Window]) -> list[Window]:
    """The fewest windows that cover the same moments, in order."""
    merged: list[Window] = []
    for window in sorted(windows):
        if merged and window.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return merged


def row_groups(metadata: pq.FileMetaData, time: str, windows: Sequence[Window]) -> list[int]:
    """Numbers of the row groups whose statistics of the column `time` do not rule out every window."""
    column = metadata.schema.names.index(time)
    found = []
    for number in range(metadata.num_row_groups):
        statistics = metadata.row_group(number).column(column).statistics
        unknown = statistics is None or not statistics.has_min_max
        if unknown or any(window.overlaps(statistics.min, statistics.max) for window in windows):
            found.append(number)
    return found


def are_within(times: pa.ChunkedArray, windows: Sequence[Window]) -> pa.ChunkedArray:
    """A mask of the times that are in one of the windows; a missing time is in none."""
    mask = pa.chunked_array([pa.repeat(False, len(times))])
    for window in windows:
        start, end = (pa.scalar(moment.astimezone(timezone.utc), _UTC) for moment in window)
        is_inside = pc.and_(pc.greater_equal(times, start), pc.less(times, end))
        mask = pc.or_(mask, pc.fill_null(is_inside, False))
    return mask
