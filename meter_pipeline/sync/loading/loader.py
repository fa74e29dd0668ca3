"""Loads one strategy's jobs: all rows go into new files, and one commit makes them count.

Jobs are gathered into batches of some megabytes, each with a commit of its own. A kill before a commit leaves files
that nobody lists; a commit that was built on an older state of the strategy is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from meter_pipeline.store.errors import DamagedError
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.findings import Known
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.rows import FindingRow, JobRow, times_of
from meter_pipeline.sync.changes.diff import Counts
from meter_pipeline.sync.containment import Trouble, refusal_explained
from meter_pipeline.sync.items.key_findings import spell_key
from meter_pipeline.sync.items.results import paused_collection
from meter_pipeline.sync.items.texts import Texts
from meter_pipeline.sync.loading.auditing import Auditor, finding_rows
from meter_pipeline.sync.loading.damage import give_up_damaged
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
from meter_pipeline.sync.loading.rebuild import rebuild_rows
from meter_pipeline.sync.loading.rows import (
    TypedBatch,
    remove_stored,
    write_changes,
    write_profiles,
    write_raw,
    write_typed,
)
from meter_pipeline.sync.loading.state import ItemMemory, LoadContext, StrategyState, read_state
from meter_pipeline.sync.loading.updates import JobUpdate
from meter_pipeline.sync.report import Problem, StrategyReport


@dataclass(frozen=True)
class _WrittenBatch:
    """A batch whose rows are written and not committed yet."""

    typed: TypedBatch
    counts: Counts


class StrategyLoader:
    """Writes and commits the fetched jobs of one strategy while its claim is held.

    Args:
        context: The strategy, and where its rows go.
        claim: The strategy's claim, given up by `release`.
        is_first: Whether the strategy has no accepted job yet; None to ask the ledger.
        known: What else is known of it; None to ask the ledger.
        report: What is added to; a new report without.

    Attributes:
        report: Counts of committed jobs.
        problems: Jobs that were held, or could not be loaded.
    """

    def __init__(
        self,
        context: LoadContext,
        claim: Claim,
        *,
        is_first: bool | None = None,
        known: Known | None = None,
        report: StrategyReport | None = None,
    ) -> None:
        strategy = context.strategy
        self._context = context
        self._claim = claim
        self._known = known
        self._state = read_state(context, is_first=is_first)
        self._memory = ItemMemory()
        self._auditor: Auditor | None = None
        self.report = report or StrategyReport(strategy.strategy_id, strategy.slug, strategy.name)
        self.problems: list[Problem] = []

    @property
    def texts(self) -> Texts:
        """The items of the jobs that are in memory."""
        return self._memory.texts

    def write(self, batch: Sequence[Fetched], *, last: bool) -> None:
        """Writes a batch of fetched jobs and commits them; after the `last` batch small files are merged.

        Raises:
            StaleError: Another process has loaded the strategy meanwhile; nothing of the batch counts.
            StoreError: The lake or the ledger cannot be written; the jobs stay as the ledger has them.
        """
        try:
            # Between the steps the collector would walk all that the batch has in memory, too.
            with paused_collection():
                self._write(batch, last=last)
        except DamagedError:
            if not any(fetched.row.loaded for fetched in batch):
                raise
            # The user loads these jobs again because a file is damaged: what it held is given up.
            self._undo()
            self._state = give_up_damaged(self._context, self._state)
            self._write(batch, last=last)

    def _write(self, batch: Sequence[Fetched], *, last: bool) -> None:
        if self._state.is_outdated:
            self._state = rebuild_rows(self._context, self._state)
            self.report.rewritten = True
        outcomes: list[Outcome] = []
        try:
            completed = [fetched for fetched in batch if fetched.body is not None and fetched.body.job.is_completed]
            loaded = (fetched.row for fetched in completed if fetched.row.loaded)
            remove_stored(self._context, times_of(loaded))
            for fetched in batch:
                if fetched.body is None or not fetched.body.job.is_completed:
                    outcome = self._settle(fetched)
                    outcomes += [] if outcome is None else [outcome]
            jobs = self._read_and_judge(completed) if completed else []
            written = self._write_rows(jobs) if jobs else None
            outcomes += self._loaded(jobs, written)
            self._forget_items(is_last=last)
            own = [outcome.update for outcome in outcomes if outcome.update is not None]
            self._commit(own, written, is_last=last, findings=self._findings(jobs), claim=self._claim if last else None)
        except BaseException:
            self._undo()
            raise
        if jobs:
            self._state = replace(self._state, is_first=self._state.is_first and not any(job.accepted for job in jobs))
        self.problems += count_outcomes(outcomes, self.report)

    def accept(self, held: Sequence[CompletedJob]) -> None:
        """Accepts held jobs, whose raw rows are in the lake already.

        Raises:
            StoreError: The lake or the ledger cannot be written; the jobs stay held.
        """
        try:
            with paused_collection():
                typed = self._type(held)
                written = _WrittenBatch(typed, self._compare(held, typed))
            duplicates, changes = written.typed.duplicates, written.counts.rows
            updates = [
                released_update(job, duplicates.get(job.job.job_id), changes.get(job.job.job_id, 0)) for job in held
            ]
            with refusal_explained(f"{self._context.slug}: no job was released", "release them again"):
                self._commit(updates, written, is_last=True)
        except BaseException:
            self._undo()
            raise
        self._state = replace(self._state, is_first=False)
        count_released(held, self.report)

    def give_up(self, row: JobRow, trouble: Trouble) -> None:
        """Commits a job that cannot be loaded as unreadable; one that was loaded before stays as it was."""
        self.report.unreadable += 1
        self.problems.append(
            Problem(row.job_id, self._context.slug, "unreadable", trouble.reason, is_ours=trouble.is_ours)
        )
        if not row.loaded:
            self._commit([unreadable_update(row, trouble.reason)], None, is_last=False)

    def release(self) -> None:
        """Gives up the claim."""
        self._claim.release()

    # -- the steps of a load

    def _read_and_judge(self, completed: Sequence[Fetched]) -> list[CompletedJob]:
        """The completed jobs of a batch in order of time, each judged by those before it."""
        if self._auditor is None:
            has_committed = self._state.version != self._context.strategy.version
            self._auditor = Auditor(self._context, None if has_committed else self._known)
        auditor = self._auditor
        return auditor.judge_all(completed, lambda fetched: self._read(fetched, auditor), self._memory)

    def _read(self, fetched: Fetched, auditor: Auditor) -> CompletedJob:
        """Reads a body, and leaves it open: a batch that fails is read again in smaller ones."""
        body, context, path = fetched.body, self._context, self._state.rules.items
        assert body is not None
        if body.size >= context.limits.large_bytes:
            profiler = auditor.profiler(body.job)
            return read_large_body(fetched.row, body, context.draft, profiler, path, context.limits)
        return read_body(fetched.row, body, self._memory.texts, path)

    def _settle(self, fetched: Fetched) -> Outcome | None:
        """The outcome of a job without a completed body."""
        if fetched.body is None:
            assert fetched.error is not None
            return unreadable_outcome(fetched.row, fetched.error, self._context.lake, self._context.slug)
        fetched.body.close()
        return unfinished_outcome(fetched.row, fetched.body.job)

    def _write_rows(self, jobs: Sequence[CompletedJob]) -> _WrittenBatch:
        self._land(jobs)
        typed = self._type(jobs)
        return _WrittenBatch(typed, self._compare(jobs, typed))

    def _land(self, jobs: Sequence[CompletedJob]) -> None:
        write_raw(self._context, self._memory, jobs)
        write_profiles(self._context, jobs)

    def _type(self, jobs: Sequence[CompletedJob]) -> TypedBatch:
        return write_typed(self._context, self._state, self._memory, jobs)

    def _compare(self, jobs: Sequence[CompletedJob], typed: TypedBatch) -> Counts:
        return write_changes(self._context, typed, self._memory, jobs)

    def _loaded(self, jobs: Sequence[CompletedJob], written: _WrittenBatch | None) -> list[Outcome]:
        """The outcomes of jobs whose rows are written."""
        if written is None:
            return []
        duplicates, changes = written.typed.duplicates, written.counts.rows
        return [
            completed_outcome(
                job,
                duplicates.get(job.job.job_id),
                changes.get(job.job.job_id, 0) if job.accepted else None,
                self._context.slug,
            )
            for job in jobs
        ]

    def _findings(self, jobs: Iterable[CompletedJob]) -> dict[str, list[FindingRow]]:
        """What was found about jobs, by job id; of most there is nothing, and nothing to replace."""
        found = ((job, finding_rows(job, self._context.strategy_id)) for job in jobs)
        return {job.job.job_id: rows for job, rows in found if rows or job.row.audit is not None}

    def _forget_items(self, *, is_last: bool) -> None:
        """Forgets items after the last batch, or when they take so much memory that keeping them gains little."""
        if is_last or self._memory.texts.bytes > self._context.limits.batch_bytes:
            self._memory = self._memory.without_items()

    def _commit(
        self,
        updates: Sequence[JobUpdate],
        written: _WrittenBatch | None,
        *,
        is_last: bool,
        findings: Mapping[str, Sequence[FindingRow]] = MappingProxyType({}),
        claim: Claim | None = None,
    ) -> None:
        """Makes a batch count: its rows, its jobs, and what it changed of other jobs; gives up a claim with that."""
        context, state = self._context, self._state if written is None else written.typed.state
        if is_last:
            context.draft.merge()
        parts = context.draft.change()
        others = () if written is None else _updates_of_others({update.job_id for update in updates}, written)
        jobs = [update.as_row() for update in (*updates, *others)]
        identity = state.rules.dump()
        if jobs or parts or identity != context.strategy.identity:
            commit = Commit(
                context.strategy_id,
                state.version,
                jobs,
                parts,
                state.fields,
                identity,
                findings,
                state.readings.dump(),
                claim,
            )
            state = replace(state, version=context.ledger.commit(commit))
        context.draft.settle()
        if self._auditor is not None:
            self._auditor.settle()
        if is_last:
            # Reports of all strategies are kept to the end of a sync; profiles need not be.
            self._auditor = None
        before, self._state = self._state, state
        if written is not None:
            self._note_written(written, before)

    def _undo(self) -> None:
        """Goes back to the last commit."""
        self._context.draft.discard()
        self._memory = ItemMemory()
        self._auditor = None

    def _note_written(self, written: _WrittenBatch, before: StrategyState) -> None:
        """Adds a committed batch's key, columns and changes to the report."""
        report, typed, rules = self.report, written.typed, written.typed.state.rules
        if not before.is_first and (rules.key, rules.by_page) != (before.rules.key, before.rules.by_page):
            report.key = spell_key(rules.key, by_page=rules.by_page)
        report.count(written.counts.kinds)
        report.rewritten |= typed.is_rewritten
        report.new_columns += tuple(name for name in typed.new_columns if name not in report.new_columns)
        report.widened += tuple(name for name in typed.widened if name not in report.widened)


def _updates_of_others(own: set[str], written: _WrittenBatch) -> Iterable[JobUpdate]:
    """Updates of jobs outside of the batch whose rows it changed: a later job is compared with another one now."""
    changes: Mapping[str, int] = written.counts.rows
    if not written.typed.is_rekeyed:
        return (JobUpdate(job_id, "accepted", changes=count) for job_id, count in changes.items() if job_id not in own)
    duplicates = written.typed.duplicates
    return (
        JobUpdate(job_id, "accepted", duplicates=duplicates.get(job_id, 0), changes=count)
        for job_id, count in changes.items()
        if job_id not in own
    )
