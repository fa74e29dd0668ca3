"""Records what the entries of a change set bring: known jobs, noted changes, and items that need no further request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from meter_pipeline.api import ChangeEntry, Job, JobBody
from meter_pipeline.store.chunks import chunks
from meter_pipeline.store.ledger.change_sets import Unseen
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow, ScheduleRow, StrategyRow
from meter_pipeline.store.times import moment
from meter_pipeline.sync.discovery.listing import record_jobs
from meter_pipeline.sync.report import SyncReport

#: States of jobs that no sync has to load any more.
SETTLED = frozenset({"accepted", "held", "failed", "dropped"})
# Carried items are kept in memory up to this many bytes, and up to this many change sets are kept open on disk. The
# jobs beyond these bounds are fetched by id.
CARRIED_BYTES = 64 * 2**20
CARRIED_SETS = 64


class EntryRecorder:
    """Records the entries of the change sets that one sync reads.

    Args:
        ledger: Where jobs and changes are recorded.
        unseen: The same ledger's change sets.
        report: Counts the changes that were new.

    Attributes:
        strategies: The ledger's strategies, by id; set before entries are recorded.
        carried: Items that entries carried, by job id, until they are loaded.
    """

    def __init__(self, ledger: Ledger, unseen: Unseen, report: SyncReport) -> None:
        self._ledger, self._unseen, self._report = ledger, unseen, report
        self._free_bytes, self._free_sets = CARRIED_BYTES, CARRIED_SETS
        self.strategies: dict[str, StrategyRow] = {}
        self.carried: dict[str, JobBody] = {}

    def close(self) -> None:
        """Closes the carried items that were not loaded."""
        for body in self.carried.values():
            body.close()
        self.carried.clear()

    def record(self, schedule: ScheduleRow, entries: Sequence[ChangeEntry], *, carry: bool) -> set[str]:
        """Records the entries' jobs and notes them as changes of the schedule.

        Args:
            schedule: Whose changes they are.
            entries: What was read.
            carry: Whether to keep the items that the entries carry; only if no filter has shortened them.

        Returns:
            The ids of the entries' jobs.
        """
        if not entries:
            return set()
        known = self.rows([entry.job.job_id for entry in entries])
        new = [_add_owner(entry.job, schedule) for entry in entries if entry.job.job_id not in known]
        # An entry may report as completed a job that the ledger has as failed.
        moved = [job for job in (entry.job for entry in entries) if job.is_completed and _has_failed(known, job.job_id)]
        if new or moved:
            record_jobs(self._ledger, self._report, [*new, *moved])
            known |= self.rows([job.job_id for job in moved])
        counts = [(entry.job.job_id, entry.job.item_count) for entry in entries]
        self._report.changes += self._unseen.record(schedule.schedule_id, counts)
        if carry:
            self._carry(entries, known)
        return {job_id for job_id, _ in counts}

    def rows(self, job_ids: Sequence[str]) -> dict[str, JobRow]:
        """The ledger's rows of these jobs, by id; jobs without a row are left out."""
        rows = chain.from_iterable(self._ledger.jobs(ids=part) for part in chunks(job_ids))
        return {row.job_id: row for row in rows}

    def settled(self, job_ids: set[str]) -> set[str]:
        """Those of these jobs that no sync has to load any more."""
        return {job_id for job_id, row in self.rows(sorted(job_ids)).items() if row.state in SETTLED}

    def _carry(self, entries: Sequence[ChangeEntry], known: Mapping[str, JobRow]) -> None:
        """Keeps the items of jobs that are not loaded yet, within the bounds above.

        A job loaded from its entry has to give the same rows as one that is fetched. So the fields that the entry
        leaves out come from the listing, and a job that still lacks one is fetched.
        """
        on_disk = False
        for entry in entries:
            row, body = known.get(entry.job.job_id), entry.body
            if row is None or body is None or row.state in SETTLED or row.job_id in self.carried:
                continue
            strategy = self.strategies.get(row.strategy_id)
            job = _complete(entry.job, row)
            has_parameters = strategy is None or strategy.scraper_type == "api"
            if job is None or (has_parameters and not job.parameters) or body.memory > self._free_bytes:
                continue
            if not body.memory and self._free_sets <= 0:
                continue
            on_disk |= not body.memory
            self._free_bytes -= body.memory
            # Whoever read the change set closes it: this body outlives it.
            self.carried[row.job_id] = body.transfer(job)
        self._free_sets -= on_disk


def has_rows(entry: ChangeEntry) -> bool:
    """Whether a filter left any row of an entry; an entry without results counts as one with rows."""
    return entry.body is None or entry.body.shape == "absent" or any(True for _ in entry.body.batches(1))


def _has_failed(known: Mapping[str, JobRow], job_id: str) -> bool:
    return job_id in known and known[job_id].state == "failed"


def _add_owner(job: Job, schedule: ScheduleRow) -> Job:
    """The job of an entry that no listing has named yet, with the schedule's strategy, id and URL if it lacks them."""
    return replace(
        job,
        strategy_id=job.strategy_id or schedule.strategy_id,
        schedule_id=job.schedule_id or schedule.schedule_id,
        url=job.url or schedule.url,
        # A job that the entry calls failed is fetched all the same, and its own record decides.
        status=None if job.status == "failed" else job.status,
    )


def _complete(job: Job, row: JobRow) -> Job | None:
    """An entry's job with its missing fields from the ledger; None if it is not completed or still lacks a field."""
    if job.status not in ("completed", None):
        return None
    complete = replace(
        job,
        status="completed",
        strategy_id=row.strategy_id,
        schedule_id=row.schedule_id,
        batch_id=job.batch_id or row.batch_id,
        url=job.url or row.url,
        content_hash=job.content_hash or row.content_hash,
        structural_signature=job.structural_signature or _parse_json(row.structural_signature),
        parameters=job.parameters or _parse_json(row.parameters),
        created_at=job.created_at or moment(row.created_at),
        started_at=job.started_at or moment(row.started_at),
        completed_at=job.completed_at or moment(row.completed_at),
    )
    is_complete = complete.url and complete.created_at and complete.completed_at and complete.item_count is not None
    return complete if is_complete else None


def _parse_json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
