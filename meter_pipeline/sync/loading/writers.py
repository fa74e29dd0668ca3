"""Writes strategies side by side: while one waits for the disk, another is parsed. Each one's batches stay in order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import BoundedSemaphore
from types import TracebackType

from meter_pipeline.sync.containment import Trouble, concerns_all, explain, refusal_explained
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.fetch import Fetched
from meter_pipeline.sync.loading.loader import StrategyLoader
from meter_pipeline.sync.report import Problem, Progress, SyncReport


class Writers:
    """Threads that write batches; a strategy whose files cannot be written does not stop the others.

    Args:
        report: Gets the reports and problems of the strategies.
        progress: Gets the number of jobs done.
        limits: How many threads write, and how large batches are.
    """

    def __init__(self, report: SyncReport, progress: Progress, limits: Limits) -> None:
        self._pool = ThreadPoolExecutor(limits.writers, thread_name_prefix="meter-write")
        # Bounds the memory: fetching waits while this many batches are being written.
        self._slots = BoundedSemaphore(limits.writers)
        self._report = report
        self._progress = progress
        self._batch_bytes = limits.batch_bytes
        self._writers: list[StrategyWriter] = []

    def __enter__(self) -> Writers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        for writer in self._writers:
            writer.settle(self._report)

    def begin(self, loader: StrategyLoader) -> StrategyWriter:
        """Begins to write a strategy, whose claim is given up after its last batch."""
        self._report.strategies[loader.report.slug] = loader.report
        writer = StrategyWriter(self._pool, self._slots, self._progress, loader, self._batch_bytes)
        self._writers.append(writer)
        return writer


class StrategyWriter:
    """Gathers one strategy's fetched jobs into batches and has them written one after the other."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        slots: BoundedSemaphore,
        progress: Progress,
        loader: StrategyLoader,
        batch_bytes: int,
    ) -> None:
        self._pool = pool
        self._slots = slots
        self._progress = progress
        self._loader = loader
        self._batch_bytes = batch_bytes
        self._batch: list[Fetched] = []
        self._bytes = 0
        self._before: Future[None] | None = None
        self._broken: Trouble | None = None

    def add(self, fetched: Fetched) -> None:
        """Adds a fetched job to the batch; a full batch is written first."""
        if self._bytes >= self._batch_bytes:
            self._submit(last=False)
        self._batch.append(fetched)
        self._bytes += 0 if fetched.body is None else fetched.body.size

    def finish(self) -> None:
        """Writes the last batch."""
        self._submit(last=True)

    def settle(self, report: SyncReport) -> None:
        """Reports what went wrong, after all batches are written, and gives up the claim."""
        self._loader.release()
        report.problems += self._loader.problems
        if self._broken is not None:
            slug, trouble = self._loader.report.slug, self._broken
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
                with refusal_explained("given up in this sync", "sync again"):
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
                self._loader.release()

    def _write_or_divide(self, batch: Sequence[Fetched], *, last: bool) -> None:
        """Writes a batch; a batch that fails is divided down to the job at fault, which is given up."""
        failure = self._attempt(batch, last=last)
        if failure is None:
            return
        if len(batch) == 1:
            self._loader.give_up(batch[0].row, explain(failure))
            if last:
                self._loader.write([], last=True)
            return
        half = len(batch) // 2
        self._write_or_divide(batch[:half], last=False)
        self._write_or_divide(batch[half:], last=last)

    def _attempt(self, batch: Sequence[Fetched], *, last: bool) -> Exception | None:
        """Writes a batch; returns the error if a job of it must be at fault, with everything as it was before."""
        try:
            self._loader.write(batch, last=last)
        except Exception as error:
            if concerns_all(error) or not batch:
                raise
            failure = error
        else:
            return None
        # If not even an empty batch can be written, no job is at fault.
        self._loader.write([], last=False)
        return failure
