"""What the sandbox keeps about strategies, schedules, jobs and batches."""

from __future__ import annotations

import bisect
import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from meter_pipeline.sandbox.clock import Rhythm
from meter_pipeline.sandbox.content import Page, Recorded

PENDING, RUNNING, COMPLETED, FAILED = "pending", "running", "completed", "failed"
STATES = (PENDING, RUNNING, COMPLETED, FAILED)


def make_id(*parts: object) -> str:
    """A UUID that is always the same for the same parts."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))


@dataclass(slots=True, eq=False)
class Strategy:
    """A saved extraction plan and the page it reads."""

    strategy_id: str
    name: str
    url: str
    description: str
    page: Page
    created_at: float
    updated_at: float
    scraper_type: str = "css"
    output_schema: dict[str, Any] | None = None
    filter_config: dict[str, Any] | None = None
    api_parameters: dict[str, Any] | None = None
    attempts: int = 1
    preview: list[bytes] | None = None
    jobs: list[Job] = field(default_factory=list)  # oldest first


@dataclass(slots=True, eq=False)
class Schedule:
    """A strategy run again and again, and which of its runs nobody has marked seen."""

    schedule_id: str
    strategy_id: str
    url: str | None
    urls: list[str] | None
    interval_seconds: int | None
    cron_expression: str | None
    created_at: float
    updated_at: float
    enabled: bool = True
    runs: bool = True  # False: jobs only arrive by hand or from recordings
    webhook_url: str | None = None
    webhook_metadata: dict[str, Any] | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    webhook_type: str | None = None
    parameters: dict[str, Any] | None = None
    queue_seconds: int = 0  # the longest that a run waits for a free scraper, at busy hours
    next_run_at: float | None = None
    last_run_at: float | None = None
    rhythm: Rhythm | None = None
    edition: int = 0  # grows with every change of rhythm, so that runs planned before it lapse
    unseen: list[Job] = field(default_factory=list)  # finished runs since the last mark_seen read, oldest first
    jobs: list[Job] = field(default_factory=list)  # oldest first
    targets: dict[str, list[Job]] = field(default_factory=dict)  # completed runs by url, in order of completion

    @property
    def addresses(self) -> list[str]:
        """Every url the schedule runs on."""
        return list(self.urls) if self.urls else [self.url] if self.url else []


@dataclass(slots=True, eq=False)
class Job:
    """One run of a strategy against a url. Its content is made when somebody asks for it."""

    job_id: str
    strategy_id: str
    url: str
    created_at: float
    order: int  # of making: settles ties of created_at
    schedule_id: str | None = None
    batch_id: str | None = None
    status: str = PENDING
    error: str | None = None
    parameters: dict[str, Any] | None = None
    started_at: float | None = None
    completed_at: float | None = None
    duration: int = 9  # seconds from start to end
    page: Page | None = None
    recorded: Recorded | None = None
    filter_config: dict[str, Any] | None = None
    item_count: int | None = None  # what the API says, when it is to differ from the truth
    body: bytes | None = None  # the whole answer to GET, when it is to be no job at all
    extra: dict[str, Any] | None = None  # further keys of the job object, over all others
    polls: int = 0
    digest: Digest | None = None
    rows: dict[str, bytes] = field(default_factory=dict)  # this job as a row of a list, by form

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self.status in (COMPLETED, FAILED)


@dataclass(frozen=True, slots=True)
class Digest:
    """What the API says of a job's content without the content itself."""

    count: int | None
    content_hash: str | None
    signature: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Several jobs created by one call."""

    batch_id: str
    strategy_id: str
    created_at: float
    jobs: tuple[Job, ...]


@dataclass(slots=True)
class Entry:
    """One request in the log.

    `marked` holds the ids of the jobs a `mark_seen=true` read flagged; it is None for every other request. `status`
    is 0 where the connection was dropped. `virtual` and `real` are seconds since 1970 by either clock.
    """

    number: int
    method: str
    path: str
    query: str
    status: int
    virtual: float
    real: float
    fault: str | None = None
    marked: tuple[str, ...] | None = None


@dataclass(slots=True)
class Delivery:
    """One webhook call that was made: `status` is the answer, 0 when nobody answered."""

    schedule_id: str
    job_id: str
    url: str
    attempt: int
    status: int
    duplicate: bool = False


def _by_age(job: Job) -> tuple[float, int]:
    return job.created_at, job.order


def by_completion(job: Job) -> tuple[float, str]:
    """Sorts by when jobs ended; ties by id."""
    return job.completed_at or 0.0, job.job_id


def file_job(jobs: list[Job], job: Job) -> None:
    """Put a job where it belongs in a list kept oldest first."""
    if not jobs or _by_age(jobs[-1]) < _by_age(job):
        jobs.append(job)
    else:
        bisect.insort(jobs, job, key=_by_age)


def previous_run(schedule: Schedule, job: Job) -> Job | None:
    """The completed run of the schedule on the same url just before this one."""
    runs = schedule.targets.get(job.url, [])
    place = bisect.bisect_left(runs, by_completion(job), key=by_completion)
    return runs[place - 1] if place else None
