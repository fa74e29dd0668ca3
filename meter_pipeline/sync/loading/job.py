"""A completed job on its way into the lake: with its items at hand, or a large one by its file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from meter_pipeline.api import Job, JobBody
from meter_pipeline.store import columns
from meter_pipeline.store.columns import ColumnError, Field
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import job_values
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.times import moment
from meter_pipeline.sync.audit.rules import MAX_FIELDS, Evidence, audit
from meter_pipeline.sync.changes.diff import Seen
from meter_pipeline.sync.items.raw import item_texts, raw_rows, time_of
from meter_pipeline.sync.items.results import paused_collection
from meter_pipeline.sync.items.texts import Items, Texts

SAMPLE_ITEMS = 5
# Items of a large job that are in memory at a time.
PIECE_ITEMS = 10_000
# More fields than a piece of a job can have.
PIECE_FIELDS = 1_000_000


@dataclass
class Landed:
    """A completed job.

    Attributes:
        row: As the ledger knew it before.
        job: As its own record says.
        size: Bytes of its body.
        count: How many items it has.
        fields: The fields of its items, of a large job.
        reason: What the audit has against it, `None` when nothing.
        problem: Why its items cannot be parsed, `None` when they can.
        sample: Its first items.
        items: Its items; `None` of a large job, whose raw rows are in the lake already.
        duplicates: Items whose key an earlier one has, once that is known.
    """

    row: JobRow
    job: Job
    size: int
    count: int
    fields: tuple[Field, ...]
    reason: str | None
    problem: str | None
    sample: list[dict[str, Any]]
    items: Items | None = None
    duplicates: int | None = None

    @property
    def released_at(self) -> str | None:
        """When it was accepted by hand, whatever the audit has against it."""
        return self.row.released_at if self.reason is not None and self.problem is None else None

    @property
    def accepted(self) -> bool:
        """Whether it is one of those that everything is derived from."""
        return self.reason is None or self.released_at is not None

    @cached_property
    def time(self) -> str:
        """When its content was seen."""
        return time_of(self.job)

    @cached_property
    def values(self) -> dict[str, Any]:
        """The ledger's columns of what the API says of it."""
        return job_values(self.job)

    @cached_property
    def seen(self) -> Seen:
        """The job as the feed names it."""
        values = self.values
        schedule_id, url, parameters = values["schedule_id"], values["url"], values["parameters"]
        return Seen(self.job.job_id, schedule_id, url, parameters, values["target_id"], self.time, self.size)

    @property
    def place(self) -> tuple[str, str]:
        """Its place among all jobs."""
        return self.time, self.job.job_id


def read(row: JobRow, body: JobBody, texts: Texts) -> Landed:
    """A job that fits into memory; not in the lake yet."""
    items = Items(texts, texts.take(body.items()))
    evidence = Evidence(body.job, body.shape, len(items), items.width(MAX_FIELDS), items.problem)
    return _at_hand(row, body.job, body.size, items, audit(evidence))


def _at_hand(row: JobRow, job: Job, size: int, items: Items, reason: str | None) -> Landed:
    sample = [] if items.problem is not None else items.objects(SAMPLE_ITEMS)
    return Landed(row, job, size, len(items), (), reason, items.problem, sample, items)


def read_large(row: JobRow, body: JobBody, lake: Lake, slug: str) -> Landed:
    """A job too large for memory: its raw rows are written to the lake while it is read."""
    job = body.job
    profile = _Profile(job, time_of(job))
    lake.write_job("raw", slug, time_of(job), job.job_id, profile.raw_rows(body))
    evidence = Evidence(job, body.shape, profile.items, len(profile.fields), profile.problem)
    return _profiled(row, job, body.size, profile, audit(evidence))


def read_back(row: JobRow, lake: Lake, slug: str, texts: Texts, *, large: int) -> Landed:
    """A held job from its raw rows, as it was landed."""
    job = _job(row)
    size = row.bytes or 0
    batches = (
        batch["item"].cast(pa.binary()).to_pylist()
        for batch in lake.job_batches("raw", slug, ["item"], {row.job_id: time_of(job)})
    )
    if size >= large:
        profile = _Profile(job, time_of(job))
        for items in batches:
            profile.learn(items)
        return _profiled(row, job, size, profile, row.reason)
    items = Items(texts, texts.take([item for batch in batches for item in batch]))
    return _at_hand(row, job, size, items, row.reason)


def _profiled(row: JobRow, job: Job, size: int, profile: _Profile, reason: str | None) -> Landed:
    return Landed(row, job, size, profile.items, profile.fields, reason, profile.problem, profile.sample)


def _job(row: JobRow) -> Job:
    """The API's record of a job, as far as the ledger has it."""
    return Job(
        job_id=row.job_id,
        strategy_id=row.strategy_id,
        schedule_id=row.schedule_id,
        url=row.url,
        status=row.status,
        item_count=row.item_count,
        parameters=json.loads(row.parameters) if row.parameters else None,
        completed_at=moment(row.completed_at),
    )


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
        for items in body.batches(PIECE_ITEMS):
            start = self.items
            self.learn(items)
            with paused_collection():
                rows = raw_rows([(self._job, len(items))], item_texts(items), start)
            yield rows

    def learn(self, items: list[bytes]) -> None:
        """Takes a piece of the job's items."""
        start, self.items = self.items, self.items + len(items)
        if self.problem is not None:
            return
        with paused_collection():
            try:
                objects = columns.as_objects(columns.parse(items))
            except ColumnError as error:
                self.problem = str(error)
                return
            # Far apart, so that fields of a later piece come after those of an earlier one, as in one piece.
            more = columns.infer_fields(objects, (self._time, self._job.job_id, start * PIECE_FIELDS))
            self.fields = columns.merge_fields(self.fields, more)
            self.sample = self.sample or objects[:SAMPLE_ITEMS]
