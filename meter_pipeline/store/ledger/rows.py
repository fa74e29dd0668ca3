"""Rows of the ledger: strategies, schedules and jobs as frozen records, times as ISO 8601 text in UTC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from meter_pipeline.config.field_paths import Path
from meter_pipeline.store import columns, derived
from meter_pipeline.text.names import find_close

#: The states of a job at Meter that are documented.
STATUSES = ("pending", "running", "completed", "failed")


@dataclass(frozen=True)
class StrategyRow:
    """A strategy in the ledger; `slug` is its name in the lake and in SQL, and never changes."""

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
    identity: str | None = field(default=None, repr=False)
    version: int = 0
    readings: str | None = field(default=None, repr=False)

    @property
    def columns(self) -> list[columns.Column]:
        """The typed columns of the strategy's results: those of its fields, each with what was read from its texts."""
        return derived.columns_of(columns.load(self.fields), derived.load(self.readings))

    def field_names(self, within: Path = ()) -> tuple[str, ...] | None:
        """Names of the fields that the strategy's items had so far, as received, or of those within one of them.

        Elements of arrays count as what their array holds. None within a field that may hold anything: JSON text.
        """
        return columns.names_within(columns.load(self.fields), within)

    @property
    def text_reasons(self) -> dict[str, str]:
        """Why fields stay text although their texts look like dates, prices or other values, by path."""
        return derived.load_reasons(self.readings)


def called(strategies: Sequence[StrategyRow], name: str) -> list[StrategyRow]:
    """The strategies that a user means by `name`: the one with that id or slug, else all with that name at Meter."""
    found = [row for row in strategies if name in (row.strategy_id, row.slug)]
    return found or [row for row in strategies if row.name == name]


def find_meant(strategies: Sequence[StrategyRow], name: str, otherwise: str) -> str:
    """The way out for a name that no strategy has: the slug or name that it resembles, or else `otherwise`."""
    close = find_close(name, [known for row in strategies for known in (row.slug, row.name) if known])
    return f"did you mean {close!r}?" if close else otherwise


@dataclass(frozen=True)
class ScheduleRow:
    """A schedule in the ledger; `urls` is a JSON array."""

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
    """A job in the ledger; `item_count` is the API's number of items, `items` the number that was loaded."""

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
    changes: int | None = None
    audit: str | None = None
    revision: int = 0
    held_at: str | None = None
    rejected: int | None = None
    rejection: str | None = None

    @property
    def has_odd_status(self) -> bool:
        """Whether the job waits with a status that Meter does not document, or none: its end cannot be known."""
        return self.state == "known" and self.status not in STATUSES

    @property
    def loaded(self) -> bool:
        """Whether the job's items are in the lake."""
        return self.state in ("accepted", "held")

    @property
    def time(self) -> str | None:
        """When the job's content was scraped: all derived tables order jobs by this time, then by id."""
        return self.completed_at or self.started_at or self.created_at

    @property
    def target(self) -> tuple[str, str]:
        """The job's target within its strategy: URL and parameters, each empty if there is none."""
        return (self.url or "", self.parameters or "")


@dataclass(frozen=True)
class ItemsRow:
    """An accepted job with items, as far as the search for a key needs it."""

    job_id: str
    target_id: str
    completed_at: str
    items: int
    batch_id: str | None


@dataclass(frozen=True)
class JudgedRow:
    """A loaded job as far as verdicts on later jobs need it; `completed_at` and `job_id` order the jobs of a target."""

    job_id: str
    target_id: str
    completed_at: str
    state: str
    audit: str | None
    released_at: str | None
    items: int | None

    @property
    def place(self) -> tuple[str, str]:
        """What orders the jobs of a strategy: time, then job id."""
        return self.completed_at, self.job_id


@dataclass(frozen=True)
class FindingRow:
    """A test of the audit that spoke; `samples` is a JSON array of texts."""

    job_id: str
    position: int
    strategy_id: str
    test: str
    field: str | None
    low: float | None
    high: float | None
    seen: float
    samples: str
    outcome: str
    message: str

    @property
    def expected(self) -> str | None:
        """The range that was expected, in words: at least, at most, or from one number to another; None for neither."""
        if self.low is None or self.high is None:
            bound = self.high if self.low is None else self.low
            return None if bound is None else f"at {'most' if self.low is None else 'least'} {bound:.4g}"
        return f"{self.low:.4g} to {self.high:.4g}"


def times_of(jobs: Iterable[JobRow]) -> dict[str, str]:
    """Times of loaded jobs, by id: with them, the lake finds their rows."""
    return {row.job_id: row.completed_at or "" for row in jobs}


def describe_status(status: str | None) -> str:
    """Words for a status that Meter does not document."""
    return "no status" if status is None else f"the unknown status {status!r}"


@dataclass(frozen=True)
class Recorded:
    """Changes that a listing of jobs made in the ledger.

    Attributes:
        fresh: Ids of jobs that had no row.
        moved: Ids of jobs that are not loaded and whose status at Meter has changed.
        reopened: Ids of loaded jobs whose status at Meter has changed.
        failed: Number of jobs that have failed at Meter since they were last listed, by strategy id.
    """

    fresh: list[str]
    moved: list[str]
    reopened: list[str]
    failed: dict[str, int]

    @classmethod
    def together(cls, parts: Sequence[Recorded]) -> Recorded:
        """The changes of several listings, added up."""
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
