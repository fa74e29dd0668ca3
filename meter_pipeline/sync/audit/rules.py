"""The audit: did a job bring data, or a broken scrape? A held job stays in `raw`, and its reason is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meter_pipeline.api import Job

MAX_FIELDS = 5_000


@dataclass(frozen=True)
class Evidence:
    """The facts about a job that the audit decides by.

    Attributes:
        job: The job's record.
        shape: The shape of `results`: array, wrapped, object, null, absent or scalar.
        items: Number of items in `results`.
        fields: Number of different fields of all items together.
        unreadable: Why the items could not be parsed; None if they could.
    """

    job: Job
    shape: str
    items: int
    fields: int = 0
    unreadable: str | None = None


def audit(evidence: Evidence) -> str | None:
    """Why a job is held, or None if it is accepted; the first rule that gives a reason decides."""
    for rule in RULES:
        reason = rule(evidence)
        if reason is not None:
            return reason
    return None


def _parsed(evidence: Evidence) -> str | None:
    return evidence.unreadable


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
        counted = "gave no item_count" if count is None else f"counted {count} items"
        return f"completed without results (results is {evidence.shape}) while the API {counted}"
    return None


def _count_agrees(evidence: Evidence) -> str | None:
    count = evidence.job.item_count
    if count is None or count == evidence.items or evidence.shape in ("null", "absent"):
        return None
    # The API may count a wrapped or single object as one item.
    if evidence.shape in ("wrapped", "object") and count == 1:
        return None
    return f"the API counted {count} items, results holds {evidence.items}"


def _is_a_table(evidence: Evidence) -> str | None:
    if evidence.fields <= MAX_FIELDS:
        return None
    return f"its items have {evidence.fields} different fields, more than {MAX_FIELDS}: field names look like data"


RULES: tuple[Callable[[Evidence], str | None], ...] = (_parsed, _has_time, _are_items, _count_agrees, _is_a_table)
