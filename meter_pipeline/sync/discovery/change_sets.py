"""Unseen changes, exactly once: peek, load, commit, and only then acknowledge.

A read of a schedule's changes marks them seen for everyone unless told not to, and there is no other way to mark them.
So they are read without marking, noted in the ledger and loaded; when all of them are settled there, one marking read
follows. What it brings beyond the peek has come in between: it is noted and loaded as well, in the same sync. A note in
the ledger stands from before that read until its answer is noted, so that the next sync recovers a lost answer.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any

from meter_pipeline.api import (
    ChangeEntry,
    ChangeSet,
    Job,
    JobBody,
    MeterClient,
    MeterConnectionError,
    MeterError,
)
from meter_pipeline.store.ledger.change_sets import Peek, Unseen
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, ScheduleRow, StrategyRow
from meter_pipeline.store.times import iso, moment, now, shift
from meter_pipeline.sync.containment import Trouble, concerns_all, contained, explain
from meter_pipeline.sync.discovery.listing import record_jobs
from meter_pipeline.sync.discovery.marking import Tally, describe_marking
from meter_pipeline.sync.report import IGNORED, Problem, SyncReport

SETTLED = frozenset({"accepted", "held", "failed"})
# One who acknowledges at a time: nobody recovers what another is just about to note.
_CLAIM = "meter.acknowledge"
# Items that entries carry are kept up to so many bytes; of sets on disk so many are held open. The rest comes by id.
CARRIED_BYTES = 64 * 2**20
CARRIED_SETS = 64
# So many schedules in a row without an answer: the API is gone, not these schedules.
_SILENCE = 3
# A schedule says that it ran a little before its jobs are listed: so many looks are taken for them. Runs are a minute
# apart at least, so that a job this much older than the run is none of its.
_LOOKS = 3
_RUN_AGO = timedelta(seconds=30)


@dataclass
class _Look:
    """A peek at one schedule: what it showed, what the ledger had noted before, and what became of it."""

    schedule: ScheduleRow
    before: Peek
    shown: set[str]
    reappeared: bool
    lost: bool = False
    done: bool = False


class ChangeSets:
    """The unseen changes of one sync. A context manager: what entries carry may be on disk.

    Args:
        client: The API.
        ledger: Where changes are noted.
        report: Told how many changes were new, how many acknowledged, and which schedules could not be read.
        acknowledge: Whether Meter is told what was seen; when not, its flags are left to others.
        filter: Only changes with rows that match are noted. An acknowledging read never has a filter.
        workers: Threads that read.
        partial: Not all jobs of these schedules are known, so that it cannot be told which of them an answer that was
            lost may have brought.
    """

    def __init__(
        self, client: MeterClient, ledger: Ledger, report: SyncReport, *, acknowledge: bool, filter: str | None,
        workers: int, partial: bool = False,
    ) -> None:  # fmt: skip
        self._client, self._ledger, self._report = client, ledger, report
        self._acknowledge, self._filter, self._workers, self._partial = acknowledge, filter, workers, partial
        self._unseen = Unseen(ledger)
        self._looks: dict[str, _Look] = {}
        self._failed: dict[str, str | None] = {}
        self._strategies: dict[str, StrategyRow] = {}
        self._room, self._sets = CARRIED_BYTES, CARRIED_SETS
        #: Items that entries carried, by job id, till somebody takes them.
        self.carried: dict[str, JobBody] = {}

    def __enter__(self) -> ChangeSets:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for body in self.carried.values():
            body.close()
        self.carried.clear()

    # -- peek

    def peek(self, schedules: Sequence[ScheduleRow], pending: Iterator[JobRow]) -> None:
        """Reads, without marking them seen, the changes of the schedules that ran or have something left to do.

        Args:
            schedules: Those that are asked for.
            pending: Jobs that are to be loaded: whatever schedule ran them is looked at.
        """
        self._strategies = {row.strategy_id: row for row in self._ledger.strategies()}
        busy = {row.schedule_id or row.strategy_id for row in pending}
        notes, open_ = self._unseen.peeks(), self._unseen.open() if self._acknowledge else {}
        due = []
        for schedule in schedules:
            note = notes.get(schedule.schedule_id, Peek(schedule.schedule_id))
            left = note.attempts or note.marking_at or schedule.schedule_id in open_
            if schedule.deleted_at is not None:
                self._bury(schedule, note)
            elif left or schedule.last_run_at != note.run_at or busy & {schedule.schedule_id, schedule.strategy_id}:
                due.append(schedule)
        for schedule, found in self._read(due, mark_seen=False, filter=self._filter):
            note = notes.get(schedule.schedule_id, Peek(schedule.schedule_id))
            if isinstance(found, Exception):
                self._complain(schedule, "its changes cannot be read", explain(found))
                continue
            with self._contained(schedule, "its changes cannot be noted"), found:
                self._note(schedule, note, found, open_.get(schedule.schedule_id, {}))

    def _note(self, schedule: ScheduleRow, note: Peek, found: ChangeSet, noted: Mapping[str, str]) -> None:
        """Notes what a peek has shown."""
        shown = [entry for entry in found.entries if self._filter is None or _has_rows(entry)]
        ids = self._take(schedule, shown, whole=self._filter is None)
        self._ignore(schedule, found)
        # Only what that read would have marked tells of it: a later peek, cut short, may have noted more since.
        older = {id_ for id_, noted_at in noted.items() if noted_at <= (note.marking_at or "")}
        self._looks[schedule.schedule_id] = _Look(schedule, note, ids, reappeared=bool(older & ids))
        if self._acknowledge and self._filter is None and noted.keys() - ids:
            self._unseen.acknowledged(schedule.schedule_id, noted.keys() - ids)

    def _ignore(self, schedule: ScheduleRow, found: ChangeSet) -> None:
        """Names entries that cannot be used: what they were about is listed among the jobs, if anything."""
        for row in found.unusable:
            problem = Problem("", self._slug(schedule), IGNORED, str(row), schedule.schedule_id)
            if problem not in self._report.problems:
                self._report.problems.append(problem)

    def _contained(self, schedule: ScheduleRow, what: str) -> AbstractContextManager[None]:
        return contained(partial(self._complain, schedule, what))

    @property
    def first_marking(self) -> str | None:
        """A line on what will be marked seen, when this ledger has never marked anything; else `None`."""
        shown = [len(look.shown) for look in self._looks.values() if look.shown]
        if not self._acknowledge or not shown or self._unseen.counts().acknowledged:
            return None
        # A filter hides changes from the peek, but not from the read that marks them.
        return describe_marking(Tally(sum(shown), len(shown), more=self._filter is not None))

    def _bury(self, schedule: ScheduleRow, note: Peek) -> None:
        """A deleted schedule's changes cannot be read any more; a lost answer is recovered all the same."""
        if note.marking_at is not None:
            self._looks[schedule.schedule_id] = _Look(schedule, note, set(), reappeared=False)

    def _read(
        self, schedules: Sequence[ScheduleRow], *, mark_seen: bool, filter: str | None = None
    ) -> Iterator[tuple[ScheduleRow, ChangeSet | Exception]]:
        """Change sets in the order of the schedules, a few ahead; ends when the API has stopped to answer.

        Raises:
            MeterAuthError: The key is not accepted.
        """

        def ask(schedule: ScheduleRow) -> ChangeSet | Exception:
            try:
                return self._client.changes(schedule.schedule_id, mark_seen=mark_seen, filter=filter)
            except Exception as error:
                if concerns_all(error) and not isinstance(error, MeterConnectionError):
                    raise
                return error

        silent = 0
        with ThreadPoolExecutor(self._workers, thread_name_prefix="meter-peek") as pool:
            left, ahead = deque(schedules), deque[Any]()
            while left or ahead:
                while left and len(ahead) < self._workers:
                    schedule = left.popleft()
                    ahead.append((schedule, pool.submit(ask, schedule)))
                schedule, future = ahead.popleft()
                found = future.result()
                silent = silent + 1 if isinstance(found, MeterConnectionError) else 0
                if silent == _SILENCE:
                    self._report.stopped = f"the API does not answer: {found}"
                    left.clear()
                yield schedule, found

    def _take(self, schedule: ScheduleRow, entries: Sequence[ChangeEntry], *, whole: bool) -> set[str]:
        """Notes entries as changes and their jobs as known; keeps the items they carry. Returns the jobs' ids."""
        if not entries:
            return set()
        known = self._rows([entry.job.job_id for entry in entries])
        strangers = [_belonging(entry.job, schedule) for entry in entries if entry.job.job_id not in known]
        # A job that had failed, and that an entry calls completed.
        moved = [job for job in (entry.job for entry in entries) if job.is_completed and _failed(known, job.job_id)]
        if strangers or moved:
            record_jobs(self._ledger, self._report, [*strangers, *moved])
            known |= self._rows([job.job_id for job in moved])
        counts = [(entry.job.job_id, entry.job.item_count) for entry in entries]
        self._report.changes += self._unseen.record(schedule.schedule_id, counts)
        if whole:
            self._carry(entries, known)
        return {job_id for job_id, _ in counts}

    def _carry(self, entries: Sequence[ChangeEntry], known: dict[str, JobRow]) -> None:
        """Keeps the items of jobs that are not loaded yet, as far as there is room, if they are told to the full.

        A job loaded from here has to give the same rows as one that is fetched: what the entry leaves out is taken from
        the listing, and where that says too little the job is fetched.
        """
        on_disk = False
        for entry in entries:
            row, body = known.get(entry.job.job_id), entry.body
            if row is None or body is None or row.state in SETTLED or row.job_id in self.carried:
                continue
            strategy = self._strategies.get(row.strategy_id)
            job = _completed(entry.job, row)
            parametric = strategy is None or strategy.scraper_type == "api"
            if job is None or (parametric and not job.parameters) or body.memory > self._room:
                continue
            if not body.memory and self._sets <= 0:
                continue
            on_disk |= not body.memory
            self._room -= body.memory
            # The set is closed by whoever asked for it: this body lives on.
            self.carried[row.job_id] = body.taken(job)
        self._sets -= on_disk

    def _rows(self, ids: Sequence[str]) -> dict[str, JobRow]:
        some = (ids[start : start + 500] for start in range(0, len(ids), 500))
        return {row.job_id: row for row in chain.from_iterable(self._ledger.jobs(ids=part) for part in some)}

    def _complain(self, schedule: ScheduleRow, what: str, trouble: Trouble) -> None:
        self._failed[schedule.schedule_id] = schedule.last_run_at
        reason = f"{what}: {trouble.reason}"
        problem = Problem("", self._slug(schedule), "known", reason, schedule.schedule_id, is_ours=trouble.is_ours)
        self._report.problems.append(problem)

    def _slug(self, schedule: ScheduleRow) -> str:
        strategy = self._strategies.get(schedule.strategy_id or "")
        return strategy.slug if strategy is not None else ""

    # -- acknowledge

    def acknowledge(self) -> list[str]:
        """Tells Meter what was seen, of schedules whose changes are all settled in the ledger.

        Returns:
            Jobs that only the marking reads brought: they are known now and have to be loaded.
        """
        claim = self._ledger.claims.try_claim(_CLAIM) if self._looks else None
        if claim is None:
            return []
        try:
            for look in self._looks.values():
                if look.before.marking_at is not None:
                    look.lost = True
                    with self._contained(look.schedule, "its changes could not be recovered"):
                        look.lost = self._partial or self._recover(look)
            if not self._acknowledge or self._report.stopped:
                return []
            settled = self._settled({id_ for look in self._looks.values() for id_ in look.shown})
            ready = [look for look in self._looks.values() if look.shown and look.shown <= settled]
            # Another marking read would take the place of the note of the one before.
            return self._mark([look for look in ready if not (self._partial and look.before.marking_at)])
        finally:
            claim.release()

    def _recover(self, look: _Look) -> bool:
        """Notes as changes the jobs that a marking read whose answer was lost may have marked.

        They ended after what was known before that read. What is still unseen at Meter shows that it was not made.
        Returns whether there was anything: the next peek tells which of them are unseen after all.
        """
        schedule, note = look.schedule, look.before
        if self._unseen.peeks()[schedule.schedule_id].marking_at != note.marking_at:
            return False  # another sync was quicker
        found = [] if look.reappeared else list(self._lost(schedule, note))
        self._report.changes += self._unseen.record(schedule.schedule_id, found)
        self._unseen.end_marking(schedule.schedule_id)
        return bool(found)

    def _lost(self, schedule: ScheduleRow, note: Peek) -> Iterator[tuple[str, int | None]]:
        noted = self._unseen.of(schedule.schedule_id)
        urls = {schedule.url, *(json.loads(schedule.urls) if schedule.urls else ())}
        before: dict[tuple[str, str], str | None] = {}
        for row in self._ledger.jobs(schedule.strategy_id):
            own = row.schedule_id == schedule.schedule_id or (row.schedule_id is None and row.url in urls)
            if not own or row.completed_at is None or row.state == "failed":
                continue
            same = row.content_hash is not None and row.content_hash == before.get(row.target)
            before[row.target] = row.content_hash
            if row.completed_at >= (note.marking_after or "") and row.job_id not in noted and not same:
                yield row.job_id, row.item_count

    def _mark(self, ready: Sequence[_Look]) -> list[str]:
        if self._filter is not None:
            ready = [look for look in ready if self._settled_unfiltered(look)]
        if not ready:
            return []
        horizon = self._unseen.horizon(look.schedule.strategy_id or "" for look in ready)
        ids = [look.schedule.schedule_id for look in ready]
        self._unseen.begin_marking({id_: horizon.get(id_) for id_ in ids})
        late: list[str] = []
        for schedule, found in self._read([look.schedule for look in ready], mark_seen=True):
            look = self._looks[schedule.schedule_id]
            if isinstance(found, Exception):
                self._complain(schedule, "its changes could not be acknowledged", explain(found))
                continue
            with self._contained(schedule, "its changes could not be noted as acknowledged"), found:
                fresh = [entry for entry in found.entries if entry.job.job_id not in look.shown]
                more = self._take(schedule, fresh, whole=True)
                self._ignore(schedule, found)
                late += sorted(more)
                look.shown |= more
                look.done = found.marked_seen is not False
                told = look.shown if look.done else ()
                self._report.acknowledged += self._unseen.end_marking(schedule.schedule_id, told)
        return late

    def _settled(self, ids: set[str]) -> set[str]:
        """Those of these jobs that are settled."""
        return {id_ for id_, row in self._rows(sorted(ids)).items() if row.state in SETTLED}

    def _settled_unfiltered(self, look: _Look) -> bool:
        """Whether what the filter has hidden is loaded, too: the marking read takes all of it."""
        try:
            with self._client.changes(look.schedule.schedule_id, mark_seen=False) as found:
                ids = {entry.job.job_id for entry in found.entries}
        except MeterError as error:
            self._complain(look.schedule, "its changes cannot be read", explain(error))
            return False
        look.shown |= ids
        return ids <= self._settled(ids)

    # -- afterwards

    def settle(self) -> None:
        """Notes which schedules need no other look until they run again, after everything is loaded."""
        running = self._running()
        unlisted = self._unlisted()
        done: dict[str, str | None] = {}
        undone = dict(self._failed)
        for id_, look in self._looks.items():
            schedule = look.schedule
            told = look.done or not look.shown or not self._acknowledge
            if look.lost or not told or id_ in unlisted or running & {id_, schedule.strategy_id}:
                undone[id_] = schedule.last_run_at
            elif id_ not in self._failed:
                done[id_] = schedule.last_run_at
        self._unseen.done(done)
        self._unseen.undone(undone)

    def _unlisted(self) -> set[str]:
        """Schedules that ran and of whose run no job is listed yet."""
        looks = [look for look in self._looks.values() if look.before.tries(look.schedule.last_run_at) < _LOOKS]
        latest = self._unseen.latest_jobs(look.schedule.strategy_id or "" for look in looks)
        found = set()
        for look in looks:
            schedule, ran = look.schedule, moment(look.schedule.last_run_at)
            owners = ((schedule.strategy_id or "", id_) for id_ in (schedule.schedule_id, None))
            listed = max(latest.get(owner, "") for owner in owners)
            if ran is not None and listed < (iso(shift(ran, -_RUN_AGO)) or ""):
                found.add(schedule.schedule_id)
        return found

    def _running(self) -> set[str]:
        """Schedules, or strategies of jobs that do not tell their schedule, with jobs that are about to end."""
        moment_ = now()
        rows = self._ledger.jobs(states=("known",)) if self._looks else iter(())
        return {
            row.schedule_id or row.strategy_id
            for row in rows
            # One that still ran after many looks is asked for once an hour.
            if row.retry_at is None or row.retry_at <= moment_
        }


def _failed(known: Mapping[str, JobRow], job_id: str) -> bool:
    return job_id in known and known[job_id].state == "failed"


def _has_rows(entry: ChangeEntry) -> bool:
    """Whether a filter left anything of an entry, as far as can be told."""
    return entry.body is None or entry.body.shape == "absent" or any(True for _ in entry.body.batches(1))


def _belonging(job: Job, schedule: ScheduleRow) -> Job:
    """An entry's job that no listing has told of yet; an entry may leave out whose it is."""
    return replace(
        job,
        strategy_id=job.strategy_id or schedule.strategy_id,
        schedule_id=job.schedule_id or schedule.schedule_id,
        url=job.url or schedule.url,
        # Its items are fetched, whatever the entry says of its state.
        status=None if job.status == "failed" else job.status,
    )


def _completed(job: Job, row: JobRow) -> Job | None:
    """An entry's job with what it leaves out taken from the ledger; `None` where that is not all there is to know."""
    if job.status not in ("completed", None):
        return None
    whole = replace(
        job,
        status="completed",
        strategy_id=row.strategy_id,
        schedule_id=row.schedule_id,
        batch_id=job.batch_id or row.batch_id,
        url=job.url or row.url,
        content_hash=job.content_hash or row.content_hash,
        structural_signature=job.structural_signature or _loaded(row.structural_signature),
        parameters=job.parameters or _loaded(row.parameters),
        created_at=job.created_at or moment(row.created_at),
        started_at=job.started_at or moment(row.started_at),
        completed_at=job.completed_at or moment(row.completed_at),
    )
    told = whole.url and whole.created_at and whole.completed_at and whole.item_count is not None
    return whole if told else None


def _loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)
