"""Rows of the lake's `raw` table for fetched items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from meter_pipeline.api import Job
from meter_pipeline.store.lake.lake import RAW
from meter_pipeline.store.times import iso, moment

# The time of a job without any, which the audit holds: its raw items need a partition all the same.
NO_TIME = "1970-01-01T00:00:00.000000Z"


def time_of(job: Job) -> str:
    """When a job's content was observed, in the ledger's form of times."""
    return iso(job.completed_at or job.started_at or job.created_at) or NO_TIME


def job_columns(jobs: Sequence[tuple[Job, npt.NDArray[np.int64]]]) -> list[pa.Array]:
    """The columns about a row's job: job_id, schedule_id, url, item_index, completed_at.

    Args:
        jobs: Jobs, each with the positions of its rows in the job, from 0.
    """
    counts = [len(positions) for _, positions in jobs]
    owner = pa.array(np.repeat(np.arange(len(jobs)), counts))
    times = [moment(time_of(job)) for job, _ in jobs]
    indexes = np.concatenate([positions for _, positions in jobs] or [np.empty(0, np.int64)])
    return [
        pa.array([job.job_id for job, _ in jobs], pa.string()).take(owner),
        pa.array([job.schedule_id for job, _ in jobs], pa.string()).take(owner),
        pa.array([job.url for job, _ in jobs], pa.string()).take(owner),
        pa.array(indexes, pa.int64()),
        pa.array(times, pa.timestamp("us", tz="UTC")).take(owner),
    ]


def raw_rows(jobs: Sequence[tuple[Job, npt.NDArray[np.int64]]], items: pa.Array) -> pa.Table:
    """Rows of the lake's `raw`; `items` are the texts of the items, the jobs those of `job_columns`."""
    *columns, times = job_columns(jobs)
    return pa.table([*columns, items, times], schema=RAW)


def item_texts(items: Sequence[bytes]) -> pa.Array:
    """Items as a column of text.

    Raises:
        ArrowInvalid: An item is not UTF-8.
    """
    return pa.array(items, pa.binary()).cast(pa.string())
