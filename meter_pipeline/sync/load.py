"""Loads one strategy's jobs under its claim: raw rows, verdicts, typed rows, and last the commit to the ledger.

Jobs are gathered into batches of a few megabytes. A kill at any point leaves the strategy marked as dirty and the jobs
of the batch uncommitted: the next sync loads them again, looking for the rows they may have left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pyarrow as pa

from meter_pipeline.api import Job, JobBody, MeterBadResponse, MeterError
from meter_pipeline.store import columns
from meter_pipeline.store.claims import Claim
from meter_pipeline.store.columns import ColumnError, Field
from meter_pipeline.store.lake import Lake
from meter_pipeline.store.ledger import Ledger, job_values
from meter_pipeline.store.rows import JobRow, StrategyRow
from meter_pipeline.store.tables import iso, now
from meter_pipeline.sync.audit import Evidence, audit
from meter_pipeline.sync.identity import Occurrences, item_hashes
from meter_pipeline.sync.land import Fetched, raw_rows, time_of
from meter_pipeline.sync.refine import (
    Parsed,
    infer,
    key_rows,
    parse,
    paused_collection,
    results_schema,
    retype,
    rewrite,
    typed,
    widen,
)
from meter_pipeline.sync.report import Problem, StrategyReport

# Parsed JSON takes six to eight times its bytes, and several strategies are written at once.
BATCH_BYTES = 4 * 2**20
SAMPLE_ITEMS = 5
# More fields than a piece of a job can have.
PIECE_FIELDS = 1_000_000
_FIRST_RETRY = timedelta(minutes=1)
_LAST_RETRY = timedelta(days=1)
# A job that still runs after so many looks is looked at once an hour.
_PATIENCE = 10


@dataclass
class _Landed:
    """A completed job whose items are at hand."""

    job: Job
    shape: str
    size: int
    items: list[bytes]
    parsed: Parsed | None
    fields: tuple[Field, ...]
    reason: str | None


class Load:
    """One strategy's jobs on their way into the lake and the ledger, while its claim is held."""

    def __init__(self, lake: Lake, ledger: Ledger, strategy: StrategyRow, claim: Claim, *, again: bool) -> None:
        self._lake = lake
        self._ledger = ledger
        self._claim = claim
        self._strategy = strategy
        self._fields = columns.load(strategy.fields)
        self._thorough = strategy.dirty or again
        self._repaired = not strategy.dirty
        # Accepted jobs whose rows are in the lake and whose commit is still to come.
        self._uncommitted: set[str] = set()
        self.report = StrategyReport(strategy.strategy_id, strategy.slug, strategy.name)
        self.problems: list[Problem] = []

    def write(self, batch: Sequence[Fetched], *, last: bool) -> None:
        """Writes a batch of fetched jobs and commits them; after the `last` one the strategy's files are whole.

        Raises:
            StoreError: The lake or the ledger cannot be written; the jobs stay as the ledger knows them.
        """
        self._repair()
        rows: list[dict[str, Any]] = []
        landed: list[_Landed] = []
        for fetched in batch:
            if fetched.body is None:
                rows.append(self._unreadable(fetched.row, fetched.error))
            elif not fetched.body.job.is_completed:
                rows.append(self._unfinished(fetched.row, fetched.body))
            elif fetched.body.size >= BATCH_BYTES:
                rows.append(self._load_large(fetched.body))
            else:
                with fetched.body as body, paused_collection():
                    landed.append(self._read(body))
        if landed:
            with paused_collection():
                self._write(landed)
            rows += [self._loaded(item.job, item.reason, item.size, len(item.items)) for item in landed]
        groups = _alike(rows)
        for number, group in enumerate(groups):
            whole = last and number == len(groups) - 1
            self._ledger.commit(self._strategy.strategy_id, group, fields=self._fields, dirty=not whole)
        self._uncommitted.clear()

    def release(self) -> None:
        """Gives up the claim."""
        self._claim.release()

    # -- what becomes of a job

    def _read(self, body: JobBody) -> _Landed:
        items = [item for batch in body.batches() for item in batch]
        time = time_of(body.job)
        try:
            parsed = parse(items)
            fields = infer(parsed, time, body.job.job_id)
            problem = None
        except ColumnError as error:
            parsed, fields, problem = None, (), str(error)
        reason = audit(Evidence(body.job, body.shape, len(items), len(fields), problem))
        return _Landed(body.job, body.shape, body.size, items, parsed, fields, reason)

    def _loaded(self, job: Job, reason: str | None, size: int, items: int) -> dict[str, Any]:
        report = self.report
        report.landed += 1
        report.bytes += size
        if reason is None:
            report.accepted += 1
            report.items += items
            self._uncommitted.add(job.job_id)
        else:
            report.held += 1
            self._problem(job.job_id, "held", reason)
        return {
            **job_values(job),
            # Derived tables order jobs by it: what the API left out is settled here, once.
            "completed_at": time_of(job),
            "state": "accepted" if reason is None else "held",
            "reason": reason,
            "items": items,
            "bytes": size,
            "loaded_at": now(),
            "attempts": 0,
            "retry_at": None,
        }

    def _unfinished(self, row: JobRow, body: JobBody) -> dict[str, Any]:
        job = body.job
        body.close()
        failed = job.status == "failed"
        attempts = row.attempts + 1
        if failed:
            self.report.failed += 1
        return {
            **job_values(job),
            "state": "failed" if failed else "known",
            "loaded_at": now() if failed else None,
            "attempts": attempts,
            "retry_at": _later(timedelta(hours=1)) if attempts >= _PATIENCE else None,
        }

    def _unreadable(self, row: JobRow, error: MeterError | None) -> dict[str, Any]:
        reason = str(error)
        if isinstance(error, MeterBadResponse) and error.body:
            reason += f"; the body is kept in {self._lake.keep_body(row.job_id, error.body)}"
        self.report.unreadable += 1
        self._problem(row.job_id, "unreadable", reason)
        attempts = row.attempts + 1
        return {
            "job_id": row.job_id,
            "state": "unreadable",
            "reason": reason,
            "attempts": attempts,
            "retry_at": _later(min(_FIRST_RETRY * 2 ** min(attempts - 1, 20), _LAST_RETRY)),
        }

    def _problem(self, job_id: str, state: str, reason: str) -> None:
        self.problems.append(Problem(job_id, self._strategy.slug, state, reason))

    # -- writing

    def _write(self, landed: list[_Landed]) -> None:
        landed.sort(key=lambda item: (time_of(item.job), item.job.job_id))
        slug = self._strategy.slug
        ids = {item.job.job_id for item in landed}
        raw = raw_rows([(item.job, item.items) for item in landed])
        self._lake.replace("raw", slug, raw, ids, thorough=self._thorough)
        accepted = [item for item in landed if item.reason is None]
        if self._widen([item.fields for item in accepted], {item.job.job_id for item in accepted}, ids):
            self._sample(accepted)
            return
        hashes: list[str] = []
        keys: list[str] = []
        objects: list[dict[str, Any]] = []
        for item in accepted:
            assert item.parsed is not None
            own = item_hashes(item.parsed.values, item.items)
            hashes += own
            keys += key_rows(own)
            objects += item.parsed.objects
        rows = raw if len(accepted) == len(landed) else raw_rows([(item.job, item.items) for item in accepted])
        self._lake.replace(
            "results", slug, typed(rows, objects, hashes, keys, self._fields), ids, thorough=self._thorough
        )
        self._sample(accepted)

    def _load_large(self, body: JobBody) -> dict[str, Any]:
        """A job too large for memory: raw rows in pieces, then typed rows from these."""
        job, slug, time = body.job, self._strategy.slug, time_of(body.job)
        profile = _Profile(job, time)
        with body:
            name = self._lake.write_job("raw", slug, time, job.job_id, profile.raw_rows(body))
        reason = audit(Evidence(job, body.shape, profile.items, len(profile.fields), profile.problem))
        ids = {job.job_id}
        if reason is not None or name is None:
            self._lake.replace("results", slug, results_schema(self._fields).empty_table(), ids, thorough=True)
        elif not self._widen([profile.fields], ids, ids):
            pieces = self._lake.scan_part("raw", name, ids)
            self._lake.write_job("results", slug, time, job.job_id, _retyped(pieces, self._fields))
        if reason is None:
            self._latest(job, profile.sample)
        return self._loaded(job, reason, body.size, profile.items)

    def _widen(self, more: Sequence[tuple[Field, ...]], accepted: set[str], written: set[str]) -> bool:
        """Takes in the fields of new jobs; where that changes the columns of rows already typed, all are typed anew."""
        old = results_schema(self._fields)
        fields = widen(self._fields, more)
        new = results_schema(fields)
        self._note_columns(self._fields, fields)
        self._fields = fields
        if new == old:
            return False
        committed = {row.job_id for row in self._ledger.jobs(self._strategy.strategy_id, ("accepted",))}
        before = (committed | self._uncommitted) - written
        if not before:
            if self._thorough:
                self._lake.drop("results", self._strategy.slug)
            return False
        rewrite(self._lake, self._strategy.slug, fields, before | accepted)
        self.report.rewritten = True
        return True

    def _repair(self) -> None:
        """After a kill in mid-write: half-written files go, and typed files that no longer fit are written anew."""
        if self._repaired:
            return
        self._repaired = True
        slug = self._strategy.slug
        self._lake.sweep(slug)
        schema = results_schema(self._fields)
        if any(found != schema for found in self._lake.schemas("results", slug)):
            accepted = {row.job_id for row in self._ledger.jobs(self._strategy.strategy_id, ("accepted",))}
            rewrite(self._lake, slug, self._fields, accepted)

    # -- the report

    def _note_columns(self, old: Sequence[Field], new: Sequence[Field]) -> None:
        before = {column.name: column.type for column in columns.columns(old)}
        after = {column.name: column.type for column in columns.columns(new)}
        fresh = tuple(name for name in after if name not in before)
        wider = tuple(name for name, kind in after.items() if name in before and before[name] != kind)
        self.report.new_columns += tuple(name for name in fresh if name not in self.report.new_columns)
        self.report.widened += tuple(name for name in wider if name not in self.report.widened)

    def _sample(self, accepted: list[_Landed]) -> None:
        if accepted and accepted[-1].parsed is not None:
            self._latest(accepted[-1].job, accepted[-1].parsed.objects[:SAMPLE_ITEMS])

    def _latest(self, job: Job, sample: list[dict[str, Any]]) -> None:
        time = time_of(job)
        if time >= (self.report.latest_completed_at or ""):
            self.report.latest_completed_at = time
            self.report.latest_job_id = job.job_id
            self.report.sample = sample


class _Profile:
    """What is learned of a large job while its raw rows are written."""

    def __init__(self, job: Job, time: str) -> None:
        self._job = job
        self._time = time
        self.items = 0
        self.fields: tuple[Field, ...] = ()
        self.problem: str | None = None
        self.sample: list[dict[str, Any]] = []

    def raw_rows(self, body: JobBody) -> Iterator[pa.Table]:
        for items in body.batches():
            with paused_collection():
                self._learn(items)
                rows = raw_rows([(self._job, items)], self.items)
            self.items += len(items)
            yield rows

    def _learn(self, items: list[bytes]) -> None:
        if self.problem is not None:
            return
        try:
            parsed = parse(items)
        except ColumnError as error:
            self.problem = str(error)
            return
        # Far apart, so that fields of a later piece come after those of an earlier one, as in a job read in one piece.
        start = self.items * PIECE_FIELDS
        self.fields = widen(self.fields, [infer(parsed, self._time, self._job.job_id, start)])
        if not self.sample:
            self.sample = parsed.objects[:SAMPLE_ITEMS]


def _retyped(pieces: Iterator[pa.RecordBatch], fields: Sequence[Field]) -> Iterator[pa.Table]:
    occurrences: dict[str, Occurrences] = {}
    for piece in pieces:
        with paused_collection():
            yield retype(pa.Table.from_batches([piece]), fields, occurrences)


def _later(delay: timedelta) -> str | None:
    return iso(datetime.now(timezone.utc) + delay)


def _alike(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows grouped by the columns they name, as one statement takes them."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return list(groups.values())
