"""Lands jobs: bodies by threads over keep-alive connections, raw rows to the lake, and what was derived from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from meter_pipeline.api import Job, JobBody, MeterAuthError, MeterClient, MeterError
from meter_pipeline.store.lake import RAW
from meter_pipeline.store.rows import JobRow, StrategyRow
from meter_pipeline.store.tables import iso, moment

# Of a job without any time, which the audit holds: its raw items need a partition all the same.
NO_TIME = "1970-01-01T00:00:00.000000Z"
ROW_ITEMS = 20_000


@dataclass
class Fetched:
    """A job on its way: its row in the ledger, and its body or the error that came instead."""

    strategy: StrategyRow
    row: JobRow
    body: JobBody | None
    error: MeterError | None

    @property
    def job(self) -> Job | None:
        """The job as its own record says."""
        return None if self.body is None else self.body.job


def fetch(
    client: MeterClient,
    rows: Iterable[tuple[StrategyRow, JobRow]],
    workers: int,
    carried: MutableMapping[str, JobBody] | None = None,
) -> Generator[Fetched, None, None]:
    """Fetches bodies by `workers` threads and yields them in the order of `rows`, a few ahead of whoever takes them.

    Args:
        client: The API.
        rows: Jobs to fetch.
        workers: Threads.
        carried: Bodies that came with change sets, by job id; one that is whole is taken out and not fetched.

    Raises:
        MeterAuthError: The key is not accepted (any more).
    """
    ahead: deque[tuple[StrategyRow, JobRow, Future[JobBody]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="meter-fetch") as pool:
        try:
            for strategy, row in rows:
                ahead.append((strategy, row, pool.submit(_body, client, row, carried)))
                if len(ahead) >= workers * 2:
                    yield _outcome(*ahead.popleft())
            while ahead:
                yield _outcome(*ahead.popleft())
        finally:
            for _, _, future in ahead:
                if not future.cancel():
                    future.add_done_callback(_close)


def _body(client: MeterClient, row: JobRow, carried: MutableMapping[str, JobBody] | None) -> JobBody:
    body = carried.pop(row.job_id, None) if carried else None
    if body is not None:
        if sum(map(len, body.batches())) == body.job.item_count:
            return body
        body.close()
    return client.job_body(row.job_id)


def _outcome(strategy: StrategyRow, row: JobRow, future: Future[JobBody]) -> Fetched:
    try:
        return Fetched(strategy, row, future.result(), None)
    except MeterAuthError:
        raise
    except MeterError as error:
        return Fetched(strategy, row, None, error)


def _close(future: Future[JobBody]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()


def time_of(job: Job) -> str:
    """When a job's content was seen, as the ledger keeps times."""
    return iso(job.completed_at or job.started_at or job.created_at) or NO_TIME


def job_columns(jobs: Sequence[tuple[Job, int]], start: int = 0) -> list[pa.Array]:
    """What the rows of jobs say of their job: job_id, schedule_id, url, item_index, completed_at.

    Args:
        jobs: Jobs, each with how many rows it has.
        start: The index of the first item, for a job in pieces.
    """
    counts = [count for _, count in jobs]
    owner = pa.array(np.repeat(np.arange(len(jobs)), counts))
    times = [moment(time_of(job)) for job, _ in jobs]
    indexes = np.concatenate([np.arange(start, start + count) for count in counts] or [np.empty(0, np.int64)])
    return [
        pa.array([job.job_id for job, _ in jobs], pa.string()).take(owner),
        pa.array([job.schedule_id for job, _ in jobs], pa.string()).take(owner),
        pa.array([job.url for job, _ in jobs], pa.string()).take(owner),
        pa.array(indexes, pa.int64()),
        pa.array(times, pa.timestamp("us", tz="UTC")).take(owner),
    ]


def raw_rows(jobs: Sequence[tuple[Job, int]], items: pa.Array, start: int = 0) -> pa.Table:
    """Rows of the lake's `raw` for items of jobs; the arguments are those of `job_columns`, and the items' texts."""
    *columns, times = job_columns(jobs, start)
    return pa.table([*columns, items, times], schema=RAW)


def item_texts(items: Sequence[bytes]) -> pa.Array:
    """Items as a column.

    Raises:
        ArrowInvalid: One is not UTF-8.
    """
    return pa.array(items, pa.binary()).cast(pa.string())
