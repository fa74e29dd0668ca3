"""What a load writes into a job's row in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal, TypeAlias, TypeVar

Value = TypeVar("Value")


class _Keep(Enum):
    KEEP = "keep"


KEEP: Final = _Keep.KEEP
"""A column with this value stays as it is in the ledger."""
Change: TypeAlias = Value | Literal[_Keep.KEEP]

_COLUMNS = (
    "completed_at",
    "reason",
    "items",
    "duplicates",
    "changes",
    "audit",
    "bytes",
    "loaded_at",
    "attempts",
    "retry_at",
    "released_at",
    "held_at",
    "rejected",
    "rejection",
)


@dataclass(frozen=True)
class JobUpdate:
    """New values of one job's row; everything that is `KEEP` stays as it is.

    Attributes:
        job_id: The job.
        state: Its new state, such as `accepted` or `unreadable`.
        values: The ledger's columns of the job as the API describes it now, by name: see `job_values`.
        completed_at: The time by which derived tables order jobs, ISO 8601; wins over that of `values`.
        reason: Why the job is held or unreadable.
        items: Loaded items.
        duplicates: Items whose key an earlier item of the job has.
        changes: Its rows in the change feed.
        audit: The audit's verdict.
        bytes: Size of the body.
        loaded_at: When it was loaded, ISO 8601.
        attempts: Attempts to load it without success.
        retry_at: When to try it again, ISO 8601.
        released_at: When a user accepted it by hand, ISO 8601.
        held_at: When a user held it by hand, ISO 8601.
        rejected: Items that could not be loaded.
        rejection: Why the first of them could not.
    """

    job_id: str
    state: str
    values: Mapping[str, Any] = field(default_factory=dict)
    completed_at: Change[str | None] = KEEP
    reason: Change[str | None] = KEEP
    items: Change[int | None] = KEEP
    duplicates: Change[int | None] = KEEP
    changes: Change[int | None] = KEEP
    audit: Change[str | None] = KEEP
    bytes: Change[int | None] = KEEP
    loaded_at: Change[str | None] = KEEP
    attempts: Change[int] = KEEP
    retry_at: Change[str | None] = KEEP
    released_at: Change[str | None] = KEEP
    held_at: Change[str | None] = KEEP
    rejected: Change[int | None] = KEEP
    rejection: Change[str | None] = KEEP

    def as_row(self) -> dict[str, Any]:
        """The values by column name, as `Ledger.commit` takes them."""
        changes = {name: value for name in _COLUMNS if (value := getattr(self, name)) is not KEEP}
        return {**self.values, "job_id": self.job_id, "state": self.state, **changes}
