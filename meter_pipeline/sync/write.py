"""Writes strategies side by side: while one waits for the disk, another is parsed. Each one's batches stay in order."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import BoundedSemaphore
from types import TracebackType

import pyarrow as pa

from meter_pipeline.store.errors import StoreError
from meter_pipeline.sync.land import Fetched
from meter_pipeline.sync.load import BATCH_BYTES, Load
from meter_pipeline.sync.report import Problem, Progress, SyncReport

# Two keep the disk busy; more only wait for the interpreter, and hold batches in memory meanwhile.
WRITERS = 2


class Writers:
    """Threads that write batches; a strategy whose files cannot be written does not stop the others."""

    def __init__(self, report: SyncReport, progress: Progress) -> None:
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="meter-write")
        # Bounds the memory: whoever fetches waits when this many batches are in the works.
        self._slots = BoundedSemaphore(WRITERS)
        self._report = report
        self._progress = progress
        self._all: list[Writing] = []

    def __enter__(self) -> Writers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        for writing in self._all:
            writing.settle(self._report)

    def begin(self, load: Load) -> Writing:
        """Takes on a strategy, whose claim is given up after its last batch."""
        self._report.strategies[load.report.slug] = load.report
        writing = Writing(self._pool, self._slots, self._progress, load)
        self._all.append(writing)
        return writing


class Writing:
    """One strategy's fetched jobs on their way to its files."""

    def __init__(self, pool: ThreadPoolExecutor, slots: BoundedSemaphore, progress: Progress, load: Load) -> None:
        self._pool = pool
        self._slots = slots
        self._progress = progress
        self._load = load
        self._batch: list[Fetched] = []
        self._bytes = 0
        self._before: Future[None] | None = None
        self._error: Exception | None = None

    def add(self, fetched: Fetched) -> None:
        """Takes a fetched job; hands over what has come together when that is enough."""
        if self._bytes >= BATCH_BYTES:
            self._submit(last=False)
        self._batch.append(fetched)
        self._bytes += 0 if fetched.body is None else fetched.body.size

    def finish(self) -> None:
        """Hands over what is left."""
        self._submit(last=True)

    def settle(self, report: SyncReport) -> None:
        """Tells what went wrong, when all batches are written, and gives up the claim."""
        self._load.release()
        report.problems += self._load.problems
        if self._error is not None:
            report.problems.append(Problem("", self._load.report.slug, "known", str(self._error)))
            self._progress.note(f"{self._load.report.slug}: {self._error}")
        if self._before is not None:
            self._before.result()

    def _submit(self, *, last: bool) -> None:
        batch, self._batch, self._bytes = self._batch, [], 0
        if self._before is not None:
            wait([self._before])
        self._slots.acquire()
        self._before = self._pool.submit(self._write, batch, last)

    def _write(self, batch: list[Fetched], last: bool) -> None:
        try:
            if self._error is None:
                self._load.write(batch, last=last)
                self._progress.advance(len(batch))
        except (StoreError, pa.ArrowException) as error:
            self._error = error
        finally:
            for fetched in batch:
                if fetched.body is not None:
                    fetched.body.close()
            self._slots.release()
            if last:
                self._load.release()
