"""What the ledger hands out: strategies, schedules and jobs as frozen rows, times as ISO 8601 text in UTC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from meter_pipeline.store import columns

#: The states of a job at Meter that are documented.
STATUSES = ("pending", "running", "completed", "failed")


@dataclass(frozen=True)
class StrategyRow:
    """A strategy as the ledger knows it; `slug` is its name in the lake and in SQL, and never changes."""

    strategy_id: str
    slug: str
    name: str | None
    url: str | None
    description: str | None
    scraper_type: str | None
    created_at: str | None
    updated_at: str | None
    first_seen_at: str
    deleted_at: str | None
    fields: str = field(repr=False)
    dirty: bool
    identity: str | None = field(default=None, repr=False)

    @property
    def labels(self) -> tuple[str | None, ...]:
        """What a user may call it by: its id, its slug, its name at Meter."""
        return (self.strategy_id, self.slug, self.name)

    @property
    def columns(self) -> list[columns.Column]:
        """The typed columns of its results."""
        return columns.columns(columns.load(self.fields))


def called(strategies: Sequence[StrategyRow], name: str) -> list[StrategyRow]:
    """The strategies that a user's word means: the one of that id or slug, else all of that name at Meter."""
    found = [row for row in strategies if name in (row.strategy_id, row.slug)]
    return found or [row for row in strategies if row.name == name]


@dataclass(frozen=True)
class ScheduleRow:
    """A schedule as the ledger knows it; `urls` is a JSON array."""

    schedule_id: str
    strategy_id: str | None
    url: str | None
    urls: str | None
    schedule_type: str | None
    interval_seconds: int | None
    cron_expression: str | None
    enabled: bool | None
    webhook_url: str | None
    next_run_at: str | None
    last_run_at: str | None
    created_at: str | None
    updated_at: str | None
    first_seen_at: str
    deleted_at: str | None


@dataclass(frozen=True)
class JobRow:
    """A job as the ledger knows it. `item_count` is what the API said, `items` what was loaded."""

    job_id: str
    strategy_id: str
    schedule_id: str | None
    batch_id: str | None
    url: str | None
    parameters: str | None
    status: str | None
    state: str
    reason: str | None
    item_count: int | None
    items: int | None
    bytes: int | None
    content_hash: str | None
    structural_signature: str | None
    error: str | None
    created_at: str | None
    started_at: str | None
    completed_at: str | None
    known_at: str
    loaded_at: str | None
    attempts: int
    retry_at: str | None
    target_id: str | None = None
    duplicates: int | None = None
    released_at: str | None = None

    @property
    def has_odd_status(self) -> bool:
        """Whether it waits for a status that Meter documents: with another, or none, nothing says when it has ended."""
        return self.state == "known" and self.status not in STATUSES

    @property
    def loaded(self) -> bool:
        """Whether its items are in the lake."""
        return self.state in ("accepted", "held")

    @property
    def time(self) -> str | None:
        """When its content was seen: all derived tables order jobs by this, then by id."""
        return self.completed_at or self.started_at or self.created_at

    @property
    def target(self) -> tuple[str, str]:
        """What the job looked at, within its strategy: page and parameters."""
        return (self.url or "", self.parameters or "")


def describe_status(status: str | None) -> str:
    """A status that Meter does not document, in words."""
    return "no status" if status is None else f"the unknown status {status!r}"


@dataclass(frozen=True)
class Recorded:
    """What listed jobs brought to the ledger.

    Attributes:
        fresh: Ids of jobs that had no row.
        moved: Ids of jobs that are not loaded and whose status at Meter is another one than before.
        reopened: The same of jobs that are loaded.
        failed: Jobs that are failed at Meter and were not when last listed: how many, by strategy id.
    """

    fresh: list[str]
    moved: list[str]
    reopened: list[str]
    failed: dict[str, int]

    @classmethod
    def together(cls, parts: Sequence[Recorded]) -> Recorded:
        """What several records of jobs brought."""
        failed: Counter[str] = Counter()
        for part in parts:
            failed.update(part.failed)
        fresh, moved, reopened = (
            [job_id for part in parts for job_id in getattr(part, name)] for name in ("fresh", "moved", "reopened")
        )
        return cls(fresh, moved, reopened, dict(failed))


@dataclass(frozen=True)
class Counts:
    """Jobs and items of one strategy in one state."""

    slug: str
    state: str
    jobs: int
    items: int


@dataclass(frozen=True)
class Gap:
    """A time in which a schedule ought to have run `missed` times, and of which no job is known."""

    schedule_id: str
    slug: str
    since: str
    until: str
    missed: int
