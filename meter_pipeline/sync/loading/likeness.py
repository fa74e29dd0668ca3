"""Which held jobs are held for the same: one look at one of them is enough to release them all."""

from __future__ import annotations

import re

from meter_pipeline.store.ledger.rows import JobRow

_AGAIN = re.compile(r"^the same change again, \d+ jobs: ")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def is_like(job: JobRow, other: JobRow) -> bool:
    """Whether the reasons of two held jobs are the same up to their numbers."""
    return _shape_of(job.reason) == _shape_of(other.reason)


def _shape_of(reason: str | None) -> str:
    """A reason with its numbers left out, and without the note that an earlier job was held for the same."""
    return _NUMBER.sub("0", _AGAIN.sub("", reason or ""))
