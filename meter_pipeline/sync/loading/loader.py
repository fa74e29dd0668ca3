"""Loads one strategy's jobs under its claim: raw rows, verdicts, typed rows, changes, and last the ledger.

Jobs are gathered into batches of a few megabytes. A kill at any point leaves the strategy marked as dirty and the jobs
of the batch uncommitted: the next sync loads them again, see `recovery`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from meter_pipeline.store import columns
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.sync.containment import Trouble
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.results import paused_collection
from meter_pipeline.sync.items.texts import Texts
from meter_pipeline.sync.loading.fetch import Fetched
from meter_pipeline.sync.loading.job import CompletedJob, read_body, read_large_body
from meter_pipeline.sync.loading.outcomes import (
    Outcome,
    completed_outcome,
    count_outcomes,
    count_released,
    released_update,
    unfinished_outcome,
    unreadable_outcome,
    unreadable_update,
)
from meter_pipeline.sync.loading.recovery import has_no_accepted_job, recover, recover_files
from meter_pipeline.sync.loading.rows import TypedBatch, remove_raw, write_changes, write_raw, write_typed
from meter_pipeline.sync.loading.state import ItemMemory, LoadContext, StrategyState
from meter_pipeline.sync.loading.updates import JobUpdate, commit_updates
from meter_pipeline.sync.report import Problem, StrategyReport


@dataclass(frozen=True)
class _WrittenBatch:
    """A batch whose rows are in the lake and not committed yet."""

    typed: TypedBatch
    kinds: dict[str, int]


class StrategyLoader:
    """Writes and commits the fetched jobs of one strategy while its claim is held.

    Args:
        context: The strategy, and where its rows go.
        claim: The strategy's claim, given up by `release`.
        is_first: Whether the strategy has no accepted job yet.
        report: What is added to; a new report without.

    Attributes:
        report: Counts of committed jobs.
        problems: Jobs that were held, or could not be loaded.
    """

    def __init__(
        self, context: LoadContext, claim: Claim, *, is_first: bool, report: StrategyReport | None = None
    ) -> None:
        strategy = context.strategy
        self._context = context
        self._claim = claim
        self._state = StrategyState(
            columns.load(strategy.fields), item_rules.load(strategy.identity), is_first=is_first
        )
        self._memory = ItemMemory()
        self._is_recovered = False
        self.report = report or StrategyReport(strategy.strategy_id, strategy.slug, strategy.name)
        self.problems: list[Problem] = []

    @property
    def texts(self) -> Texts:
        """The items of the jobs that are in memory."""
        return self._memory.texts

    def write(self, batch: Sequence[Fetched], *, last: bool) -> None:
        """Writes a batch of fetched jobs and commits them; after the `last` batch the strategy's files are complete.

        Raises:
            StoreError: The lake or the ledger cannot be written; the jobs stay as the ledger has them.
        """
        self._repair()
        outcomes: list[Outcome] = []
        jobs: list[CompletedJob] = []
        for fetched in batch:
            if fetched.body is not None and fetched.body.job.is_completed:
                jobs.append(self._read(fetched))
            elif (outcome := self._settle(fetched)) is not None:
                outcomes.append(outcome)
        jobs.sort(key=lambda job: job.place)
        written = self._write_rows(jobs) if jobs else None
        duplicates = {} if written is None else written.typed.duplicates
        outcomes += [self._loaded(job, duplicates.get(job.job.job_id)) for job in jobs]
        self._forget_items(is_last=last)
        state = self._state if written is None else written.typed.state
        self._commit([outcome.update for outcome in outcomes if outcome.update is not None], state, is_last=last)
        self._state = replace(state, is_first=state.is_first and not any(job.accepted for job in jobs))
        if written is not None:
            self._note_written(written)
        self.problems += count_outcomes(outcomes, self.report)

    def accept(self, held: Sequence[CompletedJob]) -> None:
        """Accepts held jobs, whose raw rows are in the lake already.

        Raises:
            StoreError: The lake or the ledger cannot be written; the jobs stay held.
        """
        self._repair()
        with paused_collection():
            typed = self._type(held)
            kinds = self._compare(held, typed.state)
        updates = [released_update(job, typed.duplicates.get(job.job.job_id)) for job in held]
        # The rows that a killed load may have left are for the next load to find.
        self._commit(updates, typed.state, is_last=not self._context.strategy.dirty)
        self._note_written(_WrittenBatch(typed, kinds))
        count_released(held, self.report)

    def resumed(self) -> StrategyLoader:
        """A loader to go on with after `write` has failed: it starts from the ledger, and looks for leftover rows."""
        context = self._context
        strategy = context.ledger.strategy(context.strategy_id) or context.strategy
        context = replace(context, strategy=strategy, may_have_rows=True)
        loader = StrategyLoader(context, self._claim, is_first=has_no_accepted_job(context), report=self.report)
        loader.problems = self.problems
        return loader

    def give_up(self, row: JobRow, trouble: Trouble, *, last: bool) -> None:
        """Commits a job that cannot be loaded as unreadable, and removes any rows of it. Use `resumed` afterwards."""
        context = self._context
        self.report.unreadable += 1
        self.problems.append(Problem(row.job_id, context.slug, "unreadable", trouble.reason, is_ours=trouble.is_ours))
        update = replace(unreadable_update(row, trouble.reason), items=None, duplicates=None, loaded_at=None)
        context.ledger.commit(context.strategy_id, [update.as_row()], dirty=True)
        remove_raw(context, row.job_id)
        self._state = recover_files(context, replace(self._state, is_first=has_no_accepted_job(context)))
        self._commit([], self._state, is_last=last)

    def release(self) -> None:
        """Gives up the claim."""
        self._claim.release()

    # -- the steps of a load

    def _repair(self) -> None:
        """Puts right what an earlier load left behind, before the first write of this one."""
        if not self._is_recovered:
            self._state, is_rewritten = recover(self._context, self._state)
            self.report.rewritten |= is_rewritten
            self._is_recovered = True

    def _read(self, fetched: Fetched) -> CompletedJob:
        """Reads a body, and leaves it open: a batch that fails is read again in smaller ones."""
        body, context = fetched.body, self._context
        assert body is not None
        if body.size >= context.limits.large_bytes:
            return read_large_body(fetched.row, body, context.lake, context.slug)
        with paused_collection():
            return read_body(fetched.row, body, self._memory.texts)

    def _settle(self, fetched: Fetched) -> Outcome | None:
        """The outcome of a job without a completed body."""
        if fetched.body is None:
            assert fetched.error is not None
            return unreadable_outcome(fetched.row, fetched.error, self._context.lake, self._context.slug)
        fetched.body.close()
        return unfinished_outcome(fetched.row, fetched.body.job)

    def _write_rows(self, jobs: Sequence[CompletedJob]) -> _WrittenBatch:
        with paused_collection():
            self._land(jobs)
            typed = self._type(jobs)
            return _WrittenBatch(typed, self._compare(jobs, typed.state))

    def _land(self, jobs: Sequence[CompletedJob]) -> None:
        write_raw(self._context, self._memory, jobs)

    def _type(self, jobs: Sequence[CompletedJob]) -> TypedBatch:
        return write_typed(self._context, self._state, self._memory, jobs)

    def _compare(self, jobs: Sequence[CompletedJob], state: StrategyState) -> dict[str, int]:
        return write_changes(self._context, state, self._memory, jobs)

    def _loaded(self, job: CompletedJob, duplicates: int | None) -> Outcome:
        return completed_outcome(job, duplicates, self._context.slug)

    def _forget_items(self, *, is_last: bool) -> None:
        """Forgets items after the last batch, or when they take so much memory that keeping them gains little."""
        if is_last or self._memory.texts.bytes > self._context.limits.batch_bytes:
            self._memory = ItemMemory()

    def _commit(self, updates: Sequence[JobUpdate], state: StrategyState, *, is_last: bool) -> None:
        context = self._context
        commit_updates(
            context.ledger,
            context.strategy_id,
            updates,
            fields=state.fields,
            identity=state.rules.dump(),
            is_last=is_last,
        )

    def _note_written(self, written: _WrittenBatch) -> None:
        """Adds a committed batch's columns and changes to the report."""
        report, typed = self.report, written.typed
        report.count(written.kinds)
        report.rewritten |= typed.is_rewritten
        report.new_columns += tuple(name for name in typed.new_columns if name not in report.new_columns)
        report.widened += tuple(name for name in typed.widened if name not in report.widened)
