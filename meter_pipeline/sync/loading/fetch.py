"""Lands jobs: bodies by threads over keep-alive connections, raw rows to the lake, and what was derived from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from meter_pipeline.api import Job, JobBody, MeterClient, MeterConnectionError
from meter_pipeline.store.ledger.rows import JobRow, StrategyRow
from meter_pipeline.sync.containment import concerns_all

# A thread takes so many jobs at a time, of so many items together: handing over each by itself costs as much as it
# takes to fetch it. More would leave threads idle at the end.
_TOGETHER = 8
_TOGETHER_ITEMS = 800
# So many requests in a row without an answer: the API is gone, not these jobs.
_SILENCE = 3


@dataclass
class Fetched:
    """A job on its way: its row in the ledger, and its body or the error that came instead."""

    strategy: StrategyRow
    row: JobRow
    body: JobBody | None
    error: Exception | None

    @property
    def job(self) -> Job | None:
        """The job as its own record says."""
        return None if self.body is None else self.body.job


class NoAnswer(Exception):
    """The API has stopped to answer: several requests in a row got none, and no other in between did."""


def fetch(
    client: MeterClient,
    rows: Iterable[tuple[StrategyRow, JobRow]],
    workers: int,
    carried: MutableMapping[str, JobBody] | None = None,
    *,
    expected: int = 0,
) -> Generator[Fetched, None, None]:
    """Fetches bodies by `workers` threads and yields them in the order of `rows`, a few ahead of whoever takes them.

    Args:
        client: The API.
        rows: Jobs to fetch.
        workers: Threads.
        carried: Bodies that came with change sets, by job id; one that is whole is taken out and not fetched.
        expected: How many jobs there are, about: of many small ones a thread takes several at a time.

    Raises:
        MeterAuthError: The key is not accepted (any more).
        NoAnswer: The API is gone; the jobs that were not yielded were not fetched.
    """
    ahead: deque[Future[_Batch]] = deque()
    line = _Line(client, carried)
    most = max(1, min(_TOGETHER, expected // (workers * 4)))
    with ThreadPoolExecutor(workers, thread_name_prefix="meter-fetch") as pool:
        try:
            for some in _together(rows, most):
                ahead.append(pool.submit(line.bodies, some))
                if len(ahead) >= workers * 2:
                    yield from ahead.popleft().result().outcomes()
            while ahead:
                yield from ahead.popleft().result().outcomes()
        finally:
            for future in ahead:
                if not future.cancel():
                    future.add_done_callback(_close)


def _together(rows: Iterable[tuple[StrategyRow, JobRow]], most: int) -> Iterator[list[tuple[StrategyRow, JobRow]]]:
    """The rows in groups of small jobs; one of unknown size stands alone."""
    group: list[tuple[StrategyRow, JobRow]] = []
    items = 0
    for strategy, row in rows:
        size = _TOGETHER_ITEMS if row.item_count is None else row.item_count
        if group and (len(group) >= most or items + size > _TOGETHER_ITEMS):
            yield group
            group, items = [], 0
        group.append((strategy, row))
        items += size
    if group:
        yield group


@dataclass
class _Batch:
    """Jobs that one thread has asked for one after the other; `gone` when it gave up since the API is gone."""

    fetched: list[Fetched]
    gone: Exception | None = None

    def outcomes(self) -> Iterator[Fetched]:
        """The jobs in order."""
        yield from self.fetched
        if self.gone is not None:
            raise NoAnswer(str(self.gone))


class _Line:
    """The line to the API, which all threads share: how many requests in a row have got no answer."""

    def __init__(self, client: MeterClient, carried: MutableMapping[str, JobBody] | None) -> None:
        self._client, self._carried = client, carried
        self._silent = 0

    def bodies(self, rows: Sequence[tuple[StrategyRow, JobRow]]) -> _Batch:
        """Asks for bodies; only an error that concerns all jobs is raised."""
        batch = _Batch([])
        try:
            for strategy, row in rows:
                batch.fetched.append(fetched := self._ask(strategy, row))
                self._silent = self._silent + 1 if isinstance(fetched.error, MeterConnectionError) else 0
                if self._silent >= _SILENCE:
                    batch.gone = fetched.error
                    # It is the API that is gone: nothing is said against these jobs.
                    while batch.fetched and isinstance(batch.fetched[-1].error, MeterConnectionError):
                        batch.fetched.pop()
                    break
        except Exception:
            _close_all(batch)
            raise
        return batch

    def _ask(self, strategy: StrategyRow, row: JobRow) -> Fetched:
        try:
            return Fetched(strategy, row, self._body(row), None)
        except Exception as error:
            if concerns_all(error) and not isinstance(error, MeterConnectionError):
                raise
            return Fetched(strategy, row, None, error)

    def _body(self, row: JobRow) -> JobBody:
        body = self._carried.pop(row.job_id, None) if self._carried else None
        if body is not None:
            if sum(map(len, body.batches())) == body.job.item_count:
                return body
            body.close()
        return self._client.job_body(row.job_id)


def _close(future: Future[_Batch]) -> None:
    if not future.cancelled() and future.exception() is None:
        _close_all(future.result())


def _close_all(batch: _Batch) -> None:
    for fetched in batch.fetched:
        if fetched.body is not None:
            fetched.body.close()
