"""The audit: did a job bring data, or a broken scrape? A held job stays in `raw`, and its reason is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meter_pipeline.api import Job
from meter_pipeline.text.counts import count_of

MAX_FIELDS = 5_000
# Beyond this share of rejected items a job is held. Single items that cannot be read are faults of theirs, even two on
# a page of ten; where there are more, their page or its writer is broken, and the rest is no picture of the page.
MAX_REJECTED = 0.2


@dataclass(frozen=True)
class Evidence:
    """The facts about a job that the audit decides by.

    Attributes:
        job: The job's record.
        shape: The shape of `results`: array, wrapped, object, null, absent or scalar.
        items: Number of items in `results` that can be loaded.
        fields: Number of different fields of all items together.
        rejected: Number of items in `results` that cannot be loaded.
        rejection: Which is the first of them, and why; None without any.
    """

    job: Job
    shape: str
    items: int
    fields: int = 0
    rejected: int = 0
    rejection: str | None = None

    @property
    def received(self) -> int:
        """Number of items in `results`."""
        return self.items + self.rejected


def audit(evidence: Evidence) -> str | None:
    """Why a job is held, or None if it is accepted; the first rule that gives a reason decides."""
    for rule in RULES:
        reason = rule(evidence)
        if reason is not None:
            return reason
    return None


def _are_readable(evidence: Evidence) -> str | None:
    if evidence.rejected <= MAX_REJECTED * evidence.received:
        return None
    share = f"{evidence.rejected:,} of {evidence.received:,} items cannot be loaded, more than {MAX_REJECTED:.0%}"
    return f"{share}; the first is {evidence.rejection}"


def _has_time(evidence: Evidence) -> str | None:
    job = evidence.job
    if job.completed_at or job.started_at or job.created_at:
        return None
    return "the job has no time: completed_at, started_at and created_at are all missing"


def _are_items(evidence: Evidence) -> str | None:
    if evidence.shape == "scalar":
        return "results is a single scalar, neither an array nor an object"
    if evidence.shape in ("null", "absent") and evidence.job.item_count != 0:
        count = evidence.job.item_count
        counted = "gave no item_count" if count is None else f"counted {count_of(count, 'item')}"
        return f"completed without results (results is {evidence.shape}) while the API {counted}"
    return None


def _count_agrees(evidence: Evidence) -> str | None:
    count = evidence.job.item_count
    if count is None or count == evidence.received or evidence.shape in ("null", "absent"):
        return None
    # The API may count a wrapped or single object as one item.
    if evidence.shape in ("wrapped", "object") and count == 1:
        return None
    return f"the API counted {count_of(count, 'item')}, results holds {evidence.received:,}"


def _is_a_table(evidence: Evidence) -> str | None:
    if evidence.fields <= MAX_FIELDS:
        return None
    return f"its items have {evidence.fields} different fields, more than {MAX_FIELDS}: field names look like data"


RULES: tuple[Callable[[Evidence], str | None], ...] = (_are_readable, _has_time, _are_items, _count_agrees, _is_a_table)
