"""A completed job on its way into the lake: with its items at hand, or a large one by its file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from meter_pipeline.api import Job, JobBody
from meter_pipeline.store.columns import ColumnError, Field
from meter_pipeline.store.lake import Lake
from meter_pipeline.store.rows import JobRow
from meter_pipeline.sync.audit import Evidence, audit
from meter_pipeline.sync.identity import Identity, number_occurrences
from meter_pipeline.sync.land import raw_rows, time_of
from meter_pipeline.sync.refine import Parsed, infer, parse, paused_collection, widen

SAMPLE_ITEMS = 5
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
        fields: The fields of its items.
        reason: Why it is held, `None` when it is accepted.
        sample: Its first items.
        items: Its items as received; none of a large job.
        parsed: The same, parsed; `None` of a large job, and where they cannot be parsed.
        part: Of a large job, the name of its part of `raw`.
        large: Whether it is a large one.
        hashes: Its items' hashes, once they are known.
        keys: Its items' keys, once they are known.
        duplicates: Items whose key an earlier one has, once that is known.
    """

    row: JobRow
    job: Job
    size: int
    count: int
    fields: tuple[Field, ...]
    reason: str | None
    sample: list[dict[str, Any]]
    items: list[bytes] = field(default_factory=list)
    parsed: Parsed | None = None
    part: str | None = None
    large: bool = False
    hashes: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    duplicates: int | None = None

    @property
    def time(self) -> str:
        """When its content was seen."""
        return time_of(self.job)

    def identify(self, identity: Identity) -> None:
        """Finds out hashes and keys of the items at hand."""
        if self.parsed is not None:
            self.hashes = identity.hashes(self.parsed.values, self.parsed.items)
            self.keys = number_occurrences(keys := identity.keys(self.parsed.values, self.hashes))
            self.duplicates = len(keys) - len(set(keys))


def read(row: JobRow, body: JobBody) -> Landed:
    """A job that fits into memory; not in the lake yet."""
    items = [item for batch in body.batches() for item in batch]
    try:
        parsed = parse(items)
        fields = infer(parsed, time_of(body.job), body.job.job_id)
        problem = None
    except ColumnError as error:
        parsed, fields, problem = None, (), str(error)
    reason = audit(Evidence(body.job, body.shape, len(items), len(fields), problem))
    sample = [] if parsed is None else parsed.objects[:SAMPLE_ITEMS]
    return Landed(row, body.job, body.size, len(items), fields, reason, sample, items, parsed)


def read_large(row: JobRow, body: JobBody, lake: Lake, slug: str) -> Landed:
    """A job too large for memory: its raw rows are written to the lake while it is read."""
    job = body.job
    profile = _Profile(job, time_of(job))
    part = lake.write_job("raw", slug, time_of(job), job.job_id, profile.raw_rows(body))
    reason = audit(Evidence(job, body.shape, profile.items, len(profile.fields), profile.problem))
    return Landed(
        row, job, body.size, profile.items, profile.fields, reason, profile.sample, part=part, large=part is not None
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
