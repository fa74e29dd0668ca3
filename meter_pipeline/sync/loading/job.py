"""A completed job being loaded: read from its body, or read back from the lake."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from meter_pipeline.api import Job, JobBody
from meter_pipeline.store.columns import Field
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import RAW, REJECTED
from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.store.ledger.ledger import job_values
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.times import moment
from meter_pipeline.sync.audit.findings import Verdict
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.audit.profiler import PieceProfiler
from meter_pipeline.sync.audit.rules import MAX_FIELDS, Evidence, audit
from meter_pipeline.sync.changes.diff import Seen
from meter_pipeline.sync.items.inside import take_out
from meter_pipeline.sync.items.raw import item_texts, raw_rows, time_of
from meter_pipeline.sync.items.texts import Items, Numbers, Texts
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.pieces import PIECE_ITEMS, SAMPLE_ITEMS, Pieces
from meter_pipeline.sync.loading.rejects import Piece, Reject, number_after, rejected_pieces, sort_out, take_items
from meter_pipeline.sync.values.facts import FieldFacts

#: The reason of a job that a user holds without giving another.
BY_HAND = "held by hand"
_NO_POSITIONS = np.empty(0, np.int64)


@dataclass
class CompletedJob:
    """A completed job being loaded. Small jobs keep their items in memory; large ones already have a raw file.

    Only what the audit finds out is changed after it was made.

    Attributes:
        row: The job's row in the ledger before this load.
        job: The API's record of the job.
        size: Bytes of its body.
        item_count: How many items of its body can be loaded.
        fields: The fields of a large job's items; empty for a small job.
        reason: Why the audit or a user holds the job, or None.
        problem: Why its items in raw cannot be parsed, or None.
        sample: Its first items.
        facts: What the texts of a large job's fields show, by field; empty for a small job.
        items: The items of a small job; None for a large one, whose raw rows are in the lake.
        positions: Where these are in the body, from 0.
        rejects: The items of a small job that cannot be loaded; those of a large one are in the lake.
        rejected: How many items cannot be loaded.
        rejection: Which is the first of them, and why; None without any.
        received: What was received of a small job whose items are elements of it; None for other jobs.
        profile: What later verdicts need of its items; None if they were not profiled.
        verdict: The verdict by what precedes it; None if it was not judged.
    """

    row: JobRow
    job: Job
    size: int
    item_count: int
    fields: tuple[Field, ...]
    reason: str | None
    problem: str | None
    sample: list[dict[str, Any]]
    items: Items | None = None
    positions: Numbers = field(default_factory=lambda: _NO_POSITIONS, compare=False)
    rejects: Sequence[Reject] = ()
    rejected: int = 0
    rejection: str | None = None
    received: Piece | None = None
    profile: JobProfile | None = None
    verdict: Verdict | None = None
    facts: Mapping[str, FieldFacts] = field(default_factory=dict)

    @property
    def released_at(self) -> str | None:
        """When a user accepted the job although the audit holds it, ISO 8601; None if nobody did."""
        return self.row.released_at if self.reason is not None and self.problem is None else None

    @property
    def accepted(self) -> bool:
        """Whether its items go into results and the change feed."""
        return self.reason is None or self.released_at is not None

    @cached_property
    def time(self) -> str:
        """When its content was scraped, ISO 8601."""
        return time_of(self.job)

    @cached_property
    def values(self) -> dict[str, Any]:
        """The ledger's columns of the job as the API describes it, by name."""
        return job_values(self.job)

    @cached_property
    def in_feed(self) -> Seen:
        """The job as the change feed identifies it."""
        values = self.values
        schedule_id, url, parameters = values["schedule_id"], values["url"], values["parameters"]
        changes = (self.row.changes or 0) if self.row.state == "accepted" else 0
        return Seen(
            self.job.job_id,
            schedule_id,
            url,
            parameters,
            values["target_id"],
            self.time,
            bytes=self.size,
            changes=changes,
            items=self.item_count,
            batch_id=values["batch_id"],
            rejected=self.rejected,
        )

    @property
    def place(self) -> tuple[str, str]:
        """What orders the jobs of a strategy: time, then job id."""
        return self.time, self.job.job_id


def read_body(row: JobRow, body: JobBody, texts: Texts, path: str | None = None) -> CompletedJob:
    """Reads and audits a job that fits into memory; nothing is written.

    Args:
        row: The job's row in the ledger.
        body: Its body.
        texts: Gets the texts of its items.
        path: Path of the array whose elements are the items; None if the received items are.
    """
    if path is not None:
        return _read_inside(row, body, texts, path)
    items, positions, rejects = take_items(texts, body.items())
    first = str(rejects[0]) if rejects else None
    evidence = Evidence(body.job, body.shape, len(items), items.width(MAX_FIELDS), len(rejects), first)
    job = _small_job(row, body.job, body.size, items, positions, audit(evidence))
    return replace(job, rejects=rejects, rejected=len(rejects), rejection=first)


def _read_inside(row: JobRow, body: JobBody, texts: Texts, path: str) -> CompletedJob:
    received = sort_out(body.items(), 0)
    elements = take_out(received.items, path)
    items, rejects = Items(texts, texts.take(elements)), number_after(len(elements), received.rejects)
    first = str(rejects[0]) if rejects else None
    evidence = Evidence(body.job, body.shape, len(received.items), items.width(MAX_FIELDS), len(rejects), first)
    job = _small_job(row, body.job, body.size, items, np.arange(len(elements)), audit(evidence))
    return replace(job, rejects=rejects, rejected=len(rejects), rejection=first, received=received)


def read_large_body(
    row: JobRow,
    body: JobBody,
    draft: Draft,
    profiler: PieceProfiler,
    path: str | None = None,
    limits: Limits = Limits(),
) -> CompletedJob:
    """Reads and audits a job too large for memory, writes its raw rows and rejected items, and makes its profile.

    Args:
        row: The job's row in the ledger.
        body: Its body.
        draft: Gets its rows.
        profiler: Makes its profile.
        path: Path of the array whose elements are the items; None if the received items are.
        limits: How many processes may read.
    """
    job = body.job
    pieces = Pieces(job, profiler, path)
    draft.write("raw", pieces.raw_rows(body, limits), RAW)
    if path is not None:
        draft.write("received", _received_rows(body), RAW)
    rejected, first = pieces.rejected, pieces.rejection
    if rejected:
        number = None if path is None else pieces.item_count
        draft.write("rejected", rejected_pieces(body, PIECE_ITEMS, number), REJECTED)
    evidence = Evidence(job, body.shape, pieces.received - rejected, len(pieces.fields), rejected, first)
    large = _large_job(row, job, body.size, pieces, audit(evidence))
    return replace(large, profile=profiler.finish(), rejected=rejected, rejection=first)


def read_held_job(row: JobRow, stored: PartSet, texts: Texts, *, large_bytes: int) -> CompletedJob:
    """Reads a held job back from its raw rows in the lake; `large_bytes`: a larger job is read piece by piece."""
    job = _read_stored(row, stored, texts, large_bytes)
    return replace(job, rejected=row.rejected or 0, rejection=row.rejection)


def _read_stored(row: JobRow, stored: PartSet, texts: Texts, large_bytes: int) -> CompletedJob:
    job = record_from_ledger(row)
    size = row.bytes or 0
    batches = stored.job_batches("raw", ["item_index", "item"], {row.job_id: time_of(job)})
    if size >= large_bytes:
        pieces = Pieces(job)
        for batch in batches:
            pieces.add_stored(_items_of(batch), batch["item_index"][0].as_py())
        return _large_job(row, job, size, pieces, row.reason)
    found, received = [_NO_POSITIONS], []
    for batch in batches:
        found.append(batch["item_index"].to_numpy())
        received += _items_of(batch)
    return _small_job(row, job, size, Items(texts, texts.take(received)), np.concatenate(found), row.reason)


def _items_of(raw: pa.RecordBatch) -> list[bytes]:
    items: list[bytes] = raw["item"].cast(pa.binary()).to_pylist()
    return items


def _small_job(row: JobRow, job: Job, size: int, items: Items, positions: Numbers, audited: str | None) -> CompletedJob:
    sample = [] if items.problem is not None else items.objects(SAMPLE_ITEMS)
    reason = _choose_reason(row, audited)
    return CompletedJob(row, job, size, len(items), (), reason, items.problem, sample, items, positions)


def _large_job(row: JobRow, job: Job, size: int, pieces: Pieces, audited: str | None) -> CompletedJob:
    reason = _choose_reason(row, audited)
    count, fields, facts = pieces.item_count, pieces.fields, pieces.facts
    return CompletedJob(row, job, size, count, fields, reason, pieces.problem, pieces.sample, facts=facts)


def _choose_reason(row: JobRow, audited: str | None) -> str | None:
    """Why a job is held, by a user or by the audit: what a user has decided stands when the job is loaded again."""
    return audited if row.held_at is None else row.reason or BY_HAND


def record_from_ledger(row: JobRow) -> Job:
    """The API's record of a job, as far as the ledger has it."""
    return Job(
        job_id=row.job_id,
        strategy_id=row.strategy_id,
        schedule_id=row.schedule_id,
        batch_id=row.batch_id,
        url=row.url,
        status=row.status,
        item_count=row.item_count,
        parameters=json.loads(row.parameters) if row.parameters else None,
        completed_at=moment(row.completed_at),
    )


def _received_rows(body: JobBody) -> Iterator[pa.Table]:
    """Rows of `received` of a large job: what was received and can be loaded."""
    start = 0
    for received in body.batches(PIECE_ITEMS):
        piece = sort_out(received, start)
        start += len(received)
        if piece.items:
            yield raw_rows([(body.job, piece.positions)], item_texts(piece.items))
