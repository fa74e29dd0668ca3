"""Writes strategies side by side: while one waits for the disk, another is parsed. Each one's batches stay in order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from threading import BoundedSemaphore
from types import TracebackType

from meter_pipeline.sync.containment import Trouble, concerns_all, explain
from meter_pipeline.sync.loading.fetch import Fetched
from meter_pipeline.sync.loading.loader import BATCH_BYTES, Load
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
        self._broken: Trouble | None = None

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
        if self._broken is not None:
            slug, trouble = self._load.report.slug, self._broken
            report.problems.append(Problem("", slug, "known", trouble.reason, is_ours=trouble.is_ours))
            self._progress.note(f"{slug}: {trouble.reason}")
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
            if self._broken is None:
                self._write_or_divide(batch, last=last)
                self._progress.advance(len(batch))
        except Exception as error:
            # Nothing of this strategy can be written; the others go on.
            self._broken = explain(error)
        finally:
            for fetched in batch:
                if fetched.body is not None:
                    fetched.body.close()
            self._slots.release()
            if last:
                self._load.release()

    def _write_or_divide(self, batch: Sequence[Fetched], *, last: bool) -> None:
        """Writes a batch; one that fails is divided, down to the job that is to blame, which is given up."""
        failure = self._attempt(batch, last=last)
        if failure is None:
            return
        if len(batch) == 1:
            self._load.give_up(batch[0].row, explain(failure), last=last)
            self._load = self._load.resumed()
            return
        half = len(batch) // 2
        self._write_or_divide(batch[:half], last=False)
        self._write_or_divide(batch[half:], last=last)

    def _attempt(self, batch: Sequence[Fetched], *, last: bool) -> Exception | None:
        """Writes a batch; returns the error that a job of it must have brought, with everything as it was before."""
        load = self._load
        counts, problems = replace(load.report), list(load.problems)
        try:
            load.write(batch, last=last)
        except Exception as error:
            if concerns_all(error) or not batch:
                raise
            failure = error
        else:
            return None
        # What the failed batch has counted is counted again.
        vars(load.report).update(vars(counts))
        load.problems[:] = problems
        self._load = load.resumed()
        # Where not even this can be done, no job is to blame.
        self._load.write([], last=False)
        return failure
