"""Unseen changes, exactly once: peek, load, commit, and only then acknowledge.

A read of a schedule's changes marks them as seen for everyone unless it asks not to, and nothing else marks them. So
changes are read without marking, noted in the ledger and loaded. Once all of them are settled there, one marking read
follows. Changes that this read brings beyond the peek arrived in between: they are noted and loaded in the same sync. A
note in the ledger exists from before that read until its answer is noted, so that the next sync recovers a lost answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import takewhile

from meter_pipeline.api import (
    ChangeSet,
    JobBody,
    MeterClient,
    MeterConnectionError,
    MeterError,
)
from meter_pipeline.store.ledger.change_sets import Peek, Unseen
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, ScheduleRow
from meter_pipeline.store.times import iso, moment, now, shift
from meter_pipeline.sync.ahead import run_ahead
from meter_pipeline.sync.breaker import CircuitBreaker, describe_outage
from meter_pipeline.sync.containment import Trouble, concerns_all, contained, explain
from meter_pipeline.sync.discovery.entries import SETTLED, EntryRecorder, has_rows
from meter_pipeline.sync.discovery.marking import Tally, describe_marking
from meter_pipeline.sync.report import IGNORED, Problem, SyncReport

__all__ = ["SETTLED", "ChangeSets"]

# One sync acknowledges at a time, so that none recovers an answer which another is about to note.
_CLAIM = "meter.acknowledge"
# `last_run_at` moves before the run's jobs are listed: peek this often before giving up on them. Runs are a minute
# apart at least, so a job that is older than the run by this much belongs to an earlier run.
_MOST_PEEKS = 3
_RUN_AGO = timedelta(seconds=30)


@dataclass
class _Peeked:
    """A schedule that this sync has peeked at.

    Attributes:
        schedule: Its row.
        note: What the ledger had noted about it before the peek.
        job_ids: Jobs of its unseen changes.
        reappeared: Whether a change that a lost marking read would have marked is still unseen.
        is_lost: Whether a marking read's answer was lost and not recovered yet.
        is_marked: Whether Meter has marked these changes as seen.
    """

    schedule: ScheduleRow
    note: Peek
    job_ids: set[str]
    reappeared: bool
    is_lost: bool = False
    is_marked: bool = False


class ChangeSets:
    """The unseen changes of one sync. A context manager: items that entries carry may be on disk.

    Args:
        client: The API.
        ledger: Where changes are noted.
        report: Counts new and acknowledged changes, and lists schedules that could not be read.
        acknowledge: Whether to mark changes as seen at Meter once they are loaded; if not, their marks stay untouched.
        filter: Note only changes with rows that match. An acknowledging read never has a filter.
        workers: Threads that read.
        partial: Whether some jobs of these schedules may be unknown. Then nothing shows which jobs a lost answer
            brought, and a lost answer stays for a later sync.
    """

    def __init__(
        self, client: MeterClient, ledger: Ledger, report: SyncReport, *, acknowledge: bool, filter: str | None,
        workers: int, partial: bool = False,
    ) -> None:  # fmt: skip
        self._client, self._ledger, self._report = client, ledger, report
        self._acknowledge, self._filter, self._workers, self._partial = acknowledge, filter, workers, partial
        self._unseen = Unseen(ledger)
        self._entries = EntryRecorder(ledger, self._unseen, report)
        self._peeked: dict[str, _Peeked] = {}
        self._failed: dict[str, str | None] = {}

    def __enter__(self) -> ChangeSets:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._entries.close()

    @property
    def carried(self) -> MutableMapping[str, JobBody]:
        """Items that entries carried, by job id; whoever loads a job removes its items and closes them."""
        return self._entries.carried

    # -- peek

    def peek(self, schedules: Sequence[ScheduleRow], pending: Iterator[JobRow]) -> None:
        """Reads, without marking them, the changes of schedules that ran or that a sync did not finish.

        Args:
            schedules: The selected schedules.
            pending: Jobs to load: the schedules that ran them are read as well.
        """
        self._entries.strategies = {row.strategy_id: row for row in self._ledger.strategies()}
        busy = {row.schedule_id or row.strategy_id for row in pending}
        notes, unacknowledged = self._unseen.peeks(), self._unseen.open() if self._acknowledge else {}
        due = []
        for schedule in schedules:
            note = notes.get(schedule.schedule_id, Peek(schedule.schedule_id))
            unfinished = note.attempts or note.marking_at or schedule.schedule_id in unacknowledged
            has_run = schedule.last_run_at != note.run_at
            if schedule.deleted_at is not None:
                self._keep_deleted(schedule, note)
            elif unfinished or has_run or busy & {schedule.schedule_id, schedule.strategy_id}:
                due.append(schedule)
        for schedule, found in self._read(due, mark_seen=False, filter=self._filter):
            note = notes.get(schedule.schedule_id, Peek(schedule.schedule_id))
            if isinstance(found, Exception):
                self._report_failure(schedule, "its changes cannot be read", explain(found))
                continue
            with self._contained(schedule, "its changes cannot be noted"), found:
                self._note(schedule, note, found, unacknowledged.get(schedule.schedule_id, {}))

    def _note(self, schedule: ScheduleRow, note: Peek, found: ChangeSet, unacknowledged: Mapping[str, str]) -> None:
        """Notes what a peek has read; `unacknowledged` has when each earlier change was noted, by job id."""
        entries = [entry for entry in found.entries if self._filter is None or has_rows(entry)]
        job_ids = self._entries.record(schedule, entries, carry=self._filter is None)
        self._report_unusable(schedule, found)
        # Only changes noted before the lost marking read show whether it was made: a later peek, cut short, may have
        # noted more since.
        older = {job_id for job_id, noted_at in unacknowledged.items() if noted_at <= (note.marking_at or "")}
        self._peeked[schedule.schedule_id] = _Peeked(schedule, note, job_ids, reappeared=bool(older & job_ids))
        gone = unacknowledged.keys() - job_ids
        if self._acknowledge and self._filter is None and gone:
            self._unseen.acknowledged(schedule.schedule_id, gone)

    def _report_unusable(self, schedule: ScheduleRow, found: ChangeSet) -> None:
        """Reports entries that cannot be used; the listing of jobs still brings the jobs that they were about."""
        for row in found.unusable:
            problem = Problem("", self._slug(schedule), IGNORED, str(row), schedule.schedule_id)
            if problem not in self._report.problems:
                self._report.problems.append(problem)

    def _contained(self, schedule: ScheduleRow, what: str) -> AbstractContextManager[None]:
        return contained(partial(self._report_failure, schedule, what))

    @property
    def first_marking(self) -> str | None:
        """A line on what will be marked as seen, if this ledger has never marked anything; else None."""
        counts = [len(peeked.job_ids) for peeked in self._peeked.values() if peeked.job_ids]
        if not self._acknowledge or not counts or self._unseen.counts().acknowledged:
            return None
        # A filter hides changes from the peek, but not from the read that marks them.
        return describe_marking(Tally(sum(counts), len(counts), more=self._filter is not None))

    def _keep_deleted(self, schedule: ScheduleRow, note: Peek) -> None:
        """Keeps a deleted schedule whose lost answer is to be recovered; its changes cannot be read any more."""
        if note.marking_at is not None:
            self._peeked[schedule.schedule_id] = _Peeked(schedule, note, set(), reappeared=False)

    def _read(
        self, schedules: Sequence[ScheduleRow], *, mark_seen: bool, filter: str | None = None
    ) -> Iterator[tuple[ScheduleRow, ChangeSet | Exception]]:
        """Each schedule with its change set or the error that came instead; ends early once the API is gone.

        Raises:
            MeterAuthError: The key is not accepted.
        """

        def read(schedule: ScheduleRow) -> ChangeSet | Exception:
            try:
                # The marking read repeats what the peek has brought: only entries that are new then need their items.
                peeked = self._peeked.get(schedule.schedule_id) if mark_seen else None
                known = () if peeked is None else peeked.job_ids
                return self._client.changes(schedule.schedule_id, mark_seen=mark_seen, filter=filter, known=known)
            except Exception as error:
                if concerns_all(error) and not isinstance(error, MeterConnectionError):
                    raise
                return error

        breaker = CircuitBreaker(self._client.schedules)
        waiting = takewhile(lambda _: not breaker.is_open, schedules)
        for schedule, found in run_ahead(read, waiting, self._workers, name="meter-peek", discard=_close):
            if breaker.record(found):
                self._report.stopped = describe_outage(found)
            yield schedule, found

    def _report_failure(self, schedule: ScheduleRow, what: str, trouble: Trouble) -> None:
        self._failed[schedule.schedule_id] = schedule.last_run_at
        reason = f"{what}: {trouble.reason}"
        problem = Problem("", self._slug(schedule), "known", reason, schedule.schedule_id, is_ours=trouble.is_ours)
        self._report.problems.append(problem)

    def _slug(self, schedule: ScheduleRow) -> str:
        strategy = self._entries.strategies.get(schedule.strategy_id or "")
        return strategy.slug if strategy is not None else ""

    # -- acknowledge

    def acknowledge(self) -> list[str]:
        """Marks changes as seen at Meter, of schedules whose changes are all settled in the ledger.

        Returns:
            Ids of jobs that only the marking reads brought: they have rows now and are still to be loaded.
        """
        claim = self._ledger.claims.try_claim(_CLAIM) if self._peeked else None
        if claim is None:
            return []
        try:
            for peeked in self._peeked.values():
                if peeked.note.marking_at is not None:
                    peeked.is_lost = True
                    with self._contained(peeked.schedule, "its changes could not be recovered"):
                        peeked.is_lost = self._partial or self._recover(peeked)
            if not self._acknowledge or self._report.stopped:
                return []
            settled = self._entries.settled({job_id for peeked in self._peeked.values() for job_id in peeked.job_ids})
            ready = [peeked for peeked in self._peeked.values() if peeked.job_ids and peeked.job_ids <= settled]
            # Another marking read would overwrite the note of the one whose answer was lost.
            return self._mark([peeked for peeked in ready if not (self._partial and peeked.note.marking_at)])
        finally:
            claim.release()

    def _recover(self, peeked: _Peeked) -> bool:
        """Notes as changes the jobs that a marking read may have marked although its answer was lost.

        These jobs ended after the latest job that was known before that read. If a change noted before that read is
        still unseen at Meter, the read was never made.

        Returns:
            Whether it noted any job: the next peek shows which of them are unseen after all.
        """
        schedule, note = peeked.schedule, peeked.note
        if self._unseen.peeks()[schedule.schedule_id].marking_at != note.marking_at:
            return False  # another sync was quicker
        lost = [] if peeked.reappeared else list(self._lost_changes(schedule, note))
        self._report.changes += self._unseen.record(schedule.schedule_id, lost)
        self._unseen.end_marking(schedule.schedule_id)
        return bool(lost)

    def _lost_changes(self, schedule: ScheduleRow, note: Peek) -> Iterator[tuple[str, int | None]]:
        """Ids and item counts of the schedule's changed jobs that ended since the lost read and are not noted."""
        noted = self._unseen.of(schedule.schedule_id)
        urls = {schedule.url, *(json.loads(schedule.urls) if schedule.urls else ())}
        previous_hashes: dict[tuple[str, str], str | None] = {}
        for row in self._ledger.jobs(schedule.strategy_id):
            is_own = row.schedule_id == schedule.schedule_id or (row.schedule_id is None and row.url in urls)
            if not is_own or row.completed_at is None or row.state == "failed":
                continue
            is_same = row.content_hash is not None and row.content_hash == previous_hashes.get(row.target)
            previous_hashes[row.target] = row.content_hash
            if row.completed_at >= (note.marking_after or "") and row.job_id not in noted and not is_same:
                yield row.job_id, row.item_count

    def _mark(self, ready: Sequence[_Peeked]) -> list[str]:
        if self._filter is not None:
            ready = [peeked for peeked in ready if self._is_settled_unfiltered(peeked)]
        if not ready:
            return []
        horizon = self._unseen.horizon(peeked.schedule.strategy_id or "" for peeked in ready)
        ids = [peeked.schedule.schedule_id for peeked in ready]
        self._unseen.begin_marking({id_: horizon.get(id_) for id_ in ids})
        late: list[str] = []
        for schedule, found in self._read([peeked.schedule for peeked in ready], mark_seen=True):
            peeked = self._peeked[schedule.schedule_id]
            if isinstance(found, Exception):
                self._report_failure(schedule, "its changes could not be acknowledged", explain(found))
                continue
            with self._contained(schedule, "its changes could not be noted as acknowledged"), found:
                new_entries = [entry for entry in found.entries if entry.job.job_id not in peeked.job_ids]
                new_ids = self._entries.record(schedule, new_entries, carry=True)
                self._report_unusable(schedule, found)
                late += sorted(new_ids)
                peeked.job_ids |= new_ids
                peeked.is_marked = found.marked_seen is not False
                marked = peeked.job_ids if peeked.is_marked else ()
                self._report.acknowledged += self._unseen.end_marking(schedule.schedule_id, marked)
        return late

    def _is_settled_unfiltered(self, peeked: _Peeked) -> bool:
        """Whether the changes that the filter hides are loaded, too: the marking read marks all of them."""
        try:
            with self._client.changes(peeked.schedule.schedule_id, mark_seen=False) as found:
                job_ids = {entry.job.job_id for entry in found.entries}
        except MeterError as error:
            self._report_failure(peeked.schedule, "its changes cannot be read", explain(error))
            return False
        peeked.job_ids |= job_ids
        return job_ids <= self._entries.settled(job_ids)

    # -- afterwards

    def settle(self) -> None:
        """Notes, after everything is loaded, which schedules need no other peek until they run again."""
        running = self._running()
        unlisted = self._unlisted()
        done: dict[str, str | None] = {}
        undone = dict(self._failed)
        for id_, peeked in self._peeked.items():
            schedule = peeked.schedule
            is_open = self._acknowledge and peeked.job_ids and not peeked.is_marked
            if peeked.is_lost or is_open or id_ in unlisted or running & {id_, schedule.strategy_id}:
                undone[id_] = schedule.last_run_at
            elif id_ not in self._failed:
                done[id_] = schedule.last_run_at
        self._unseen.done(done)
        self._unseen.undone(undone)

    def _unlisted(self) -> set[str]:
        """Schedules that ran and whose run has no listed job yet."""
        recent = [
            peeked for peeked in self._peeked.values() if peeked.note.tries(peeked.schedule.last_run_at) < _MOST_PEEKS
        ]
        latest = self._unseen.latest_jobs(peeked.schedule.strategy_id or "" for peeked in recent)
        unlisted = set()
        for peeked in recent:
            schedule, ran_at = peeked.schedule, moment(peeked.schedule.last_run_at)
            owners = ((schedule.strategy_id or "", id_) for id_ in (schedule.schedule_id, None))
            listed_at = max(latest.get(owner, "") for owner in owners)
            if ran_at is not None and listed_at < (iso(shift(ran_at, -_RUN_AGO)) or ""):
                unlisted.add(schedule.schedule_id)
        return unlisted

    def _running(self) -> set[str]:
        """Schedules with jobs that are about to end; for jobs that do not name their schedule, their strategies."""
        time = now()
        rows = self._ledger.jobs(states=("known",)) if self._peeked else iter(())
        return {
            row.schedule_id or row.strategy_id
            for row in rows
            # A job that still ran after many attempts is read once an hour.
            if row.retry_at is None or row.retry_at <= time
        }


def _close(found: ChangeSet | Exception) -> None:
    if isinstance(found, ChangeSet):
        found.close()
