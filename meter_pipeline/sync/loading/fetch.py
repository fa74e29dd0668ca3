"""Fetches the bodies of jobs: in threads over keep-alive connections, a few ahead of whoever loads them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from meter_pipeline.api import Job, JobBody, MeterClient, MeterConnectionError
from meter_pipeline.store.ledger.rows import JobRow, StrategyRow
from meter_pipeline.sync.ahead import run_ahead
from meter_pipeline.sync.breaker import OUTAGES, CircuitBreaker, describe_outage
from meter_pipeline.sync.containment import concerns_all
from meter_pipeline.sync.loading.gate import Gate

# A thread fetches at most this many jobs, of this many items together, in one call: handing each small job over by
# itself costs as much as fetching it. Larger groups would leave threads idle at the end.
_GROUP_JOBS = 8
_GROUP_ITEMS = 800


@dataclass
class Fetched:
    """The outcome of fetching one job: its row in the ledger, and its body or the error that came instead."""

    strategy: StrategyRow
    row: JobRow
    body: JobBody | None
    error: Exception | None

    @property
    def job(self) -> Job | None:
        """The job's record as its body has it; None without a body."""
        return None if self.body is None else self.body.job


class NoAnswer(Exception):
    """The API no longer answers, or answers with errors of its own alone."""


def fetch(
    client: MeterClient,
    rows: Iterable[tuple[StrategyRow, JobRow]],
    workers: int,
    carried: MutableMapping[str, JobBody] | None = None,
    *,
    expected: int = 0,
) -> Generator[Fetched, None, None]:
    """Fetches bodies in `workers` threads and yields them in the order of `rows`.

    Args:
        client: The API.
        rows: Jobs to fetch.
        workers: Most threads; fewer work while the server answers at once.
        carried: Bodies that came with change sets, by job id; a complete one is removed and used, not fetched again.
        expected: About how many jobs there are: when there are many small ones, a thread fetches several in one call.

    Raises:
        MeterAuthError: The key is not accepted (any more).
        NoAnswer: The API is gone; the jobs that were not yielded were not fetched.
    """
    most = max(1, min(_GROUP_JOBS, expected // (workers * 4)))
    fetcher = _Fetcher(client, carried, Gate(workers))
    batches = run_ahead(
        fetcher.fetch, _group(rows, most), workers, name="meter-fetch", depth=workers * 2, discard=_Batch.close
    )
    with closing(batches):
        for _, batch in batches:
            yield from batch.outcomes()


def _group(rows: Iterable[tuple[StrategyRow, JobRow]], most: int) -> Iterator[list[tuple[StrategyRow, JobRow]]]:
    """The rows in groups of small jobs; a job of unknown size is a group by itself."""
    group: list[tuple[StrategyRow, JobRow]] = []
    items = 0
    for strategy, row in rows:
        size = _GROUP_ITEMS if row.item_count is None else row.item_count
        if group and (len(group) >= most or items + size > _GROUP_ITEMS):
            yield group
            group, items = [], 0
        group.append((strategy, row))
        items += size
    if group:
        yield group


@dataclass
class _Batch:
    """Jobs that a thread fetched one after the other; `gone` is set when it stopped because the API is gone."""

    fetched: list[Fetched]
    gone: Exception | None = None

    def outcomes(self) -> Iterator[Fetched]:
        """The jobs in order."""
        yield from self.fetched
        if self.gone is not None:
            raise NoAnswer(describe_outage(self.gone))

    def close(self) -> None:
        """Closes the bodies."""
        for fetched in self.fetched:
            if fetched.body is not None:
                fetched.body.close()


class _Fetcher:
    """Fetches groups of jobs. Threads share one, with its circuit breaker and gate."""

    def __init__(self, client: MeterClient, carried: MutableMapping[str, JobBody] | None, gate: Gate) -> None:
        self._client, self._carried, self._gate = client, carried, gate
        self._breaker = CircuitBreaker(client.schedules)

    def fetch(self, rows: Sequence[tuple[StrategyRow, JobRow]]) -> _Batch:
        """Fetches the bodies of `rows`; raises only errors that concern all jobs, such as a refused key."""
        with self._gate:
            return self._fetch(rows)

    def _fetch(self, rows: Sequence[tuple[StrategyRow, JobRow]]) -> _Batch:
        batch = _Batch([])
        try:
            for strategy, row in rows:
                batch.fetched.append(fetched := self._fetch_job(strategy, row))
                if self._breaker.record(fetched.error):
                    batch.gone = fetched.error
                    # The API is gone, which says nothing about these jobs: they stay as they were.
                    while batch.fetched and isinstance(batch.fetched[-1].error, OUTAGES):
                        batch.fetched.pop()
                    break
        except Exception:
            batch.close()
            raise
        return batch

    def _fetch_job(self, strategy: StrategyRow, row: JobRow) -> Fetched:
        try:
            return Fetched(strategy, row, self._body(row), None)
        except Exception as error:
            if concerns_all(error) and not isinstance(error, MeterConnectionError):
                raise
            return Fetched(strategy, row, None, error)

    def _body(self, row: JobRow) -> JobBody:
        body = self._carried.pop(row.job_id, None) if self._carried else None
        if body is not None:
            if body.count() == body.job.item_count:
                return body
            body.close()
        began, busy = time.perf_counter(), time.thread_time()
        body = self._client.job_body(row.job_id)
        worked = time.thread_time() - busy
        self._gate.record(time.perf_counter() - began - worked, worked)
        return body
