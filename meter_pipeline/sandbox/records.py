"""Records of strategies, schedules, jobs, batches, requests and webhook calls."""

from __future__ import annotations

import bisect
import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from meter_pipeline.sandbox.alterations import Alteration, Plan
from meter_pipeline.sandbox.clock import Rhythm
from meter_pipeline.sandbox.content import Page, Recorded

PENDING, RUNNING, COMPLETED, FAILED = "pending", "running", "completed", "failed"
STATES = (PENDING, RUNNING, COMPLETED, FAILED)


def make_id(*parts: object) -> str:
    """Make a UUID that is always the same for the same parts."""
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
    """A repeated run of a strategy, and which of its runs are not marked as seen."""

    schedule_id: str
    strategy_id: str
    url: str | None
    urls: list[str] | None
    interval_seconds: int | None
    cron_expression: str | None
    created_at: float
    updated_at: float
    enabled: bool = True
    runs: bool = True  # False: jobs come only from calls or recordings
    webhook_url: str | None = None
    webhook_metadata: dict[str, Any] | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    webhook_type: str | None = None
    parameters: dict[str, Any] | None = None
    queue_seconds: int = 0  # the longest that a run waits for a free scraper, at busy hours
    next_run_at: float | None = None
    last_run_at: float | None = None
    rhythm: Rhythm | None = None
    runs_so_far: int = 0
    occasions: list[Plan] = field(default_factory=list)  # which runs are altered
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
    """A run of a strategy against a url. Its content is made on demand."""

    job_id: str
    strategy_id: str
    url: str
    created_at: float
    order: int  # in which jobs were added: orders jobs of the same created_at
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
    item_count: int | None = None  # what the API reports, if that differs from the true count
    body: bytes | None = None  # the whole answer to GET, in place of a job object
    extra: dict[str, Any] | None = None  # keys that are added to the job object, or override its own
    alterations: tuple[Alteration, ...] = ()  # of the page's items, in order
    polls: int = 0
    digest: Digest | None = None
    rows: dict[str, bytes] = field(default_factory=dict)  # this job as a row of a list, by form

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self.status in (COMPLETED, FAILED)


@dataclass(frozen=True, slots=True)
class Digest:
    """What the API reports about a job's content."""

    count: int | None
    content_hash: str | None
    signature: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Several jobs created by the same call."""

    batch_id: str
    strategy_id: str
    created_at: float
    jobs: tuple[Job, ...]


@dataclass(slots=True)
class Entry:
    """A request in the log.

    `marked` holds the ids of the jobs that a `mark_seen=true` read marked as seen; it is None for every other request.
    `status` is 0 where the connection was dropped. `virtual` and `real` are seconds since 1970 by either clock.
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
    """A webhook call: `status` is that of the answer, 0 without an answer."""

    schedule_id: str
    job_id: str
    url: str
    attempt: int
    status: int
    duplicate: bool = False


def _age_key(job: Job) -> tuple[float, int]:
    return job.created_at, job.order


def completion_key(job: Job) -> tuple[float, str]:
    """Sort key: when a job ended, then its id."""
    return job.completed_at or 0.0, job.job_id


def file_job(jobs: list[Job], job: Job) -> None:
    """Insert a job into a list that is kept oldest first."""
    if not jobs or _age_key(jobs[-1]) < _age_key(job):
        jobs.append(job)
    else:
        bisect.insort(jobs, job, key=_age_key)


def find_previous_run(schedule: Schedule, job: Job) -> Job | None:
    """The completed run of the schedule on the same url just before this job, or None."""
    runs = schedule.targets.get(job.url, [])
    place = bisect.bisect_left(runs, completion_key(job), key=completion_key)
    return runs[place - 1] if place else None
