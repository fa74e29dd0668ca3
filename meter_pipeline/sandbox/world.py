"""The sandbox's world: strategies, schedules and jobs, driven by the virtual clock.

Jobs are small records; the content of a scrape is computed on demand, and only the latest bodies are kept.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from meter_pipeline.sandbox.clock import START, Moment, Rhythm, parse_instant
from meter_pipeline.sandbox.content import (
    Content,
    Given,
    Page,
    Recorded,
    Visit,
    from_items,
    from_results,
)
from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.faults import Dice, Faults
from meter_pipeline.sandbox.kinds import make_alteration
from meter_pipeline.sandbox.pages import noise
from meter_pipeline.sandbox.plans import page_for
from meter_pipeline.sandbox.records import (
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    Batch,
    Digest,
    Entry,
    Job,
    Schedule,
    Strategy,
    completion_key,
    file_job,
    make_id,
)
from meter_pipeline.sandbox.scrapes import Contents, visit_of
from meter_pipeline.sandbox.timeline import Timeline

_LOG_LENGTH = 500_000
# Of each half day, UTC.
_BUSY_HOURS = (6, 7, 8, 9)


class World(Timeline):
    """The state of the sandbox. All methods are safe to call from any thread.

    Args:
        seed: decides ids, contents and faults; the same seed gives the same world.
        start: the first instant of the virtual clock.
        speed: virtual seconds per real second; 0 stands still until `advance`.
        faults: the switches.
    """

    def __init__(
        self, *, seed: int = 7, start: Moment = START, speed: float = 0.0, faults: Faults | None = None
    ) -> None:
        super().__init__(parse_instant(start), speed)
        self.seed = seed
        self.faults = faults or Faults()
        self.dice = Dice(seed, self.faults)
        self.strategies: dict[str, Strategy] = {}
        self.schedules: dict[str, Schedule] = {}
        self.jobs: list[Job] = []  # oldest first
        self.jobs_by_id: dict[str, Job] = {}
        self.batches: dict[str, Batch] = {}
        self.replies: dict[str, tuple[float, bytes, bytes]] = {}  # Idempotency-Key -> instant, request, answer
        self.generated = 0
        self.edition = 0  # grows when a switch changes what records look like
        self.log: deque[Entry] = deque(maxlen=_LOG_LENGTH)
        self.on_finish: Callable[[Schedule, Job], None] = lambda schedule, job: None
        self._requests = 0
        self._contents = Contents(seed)

    def set_faults(self, changes: dict[str, Any]) -> None:
        """Set switches by name."""
        with self.lock:
            self.faults.update(changes)
            self.edition += 1

    # -- strategies and schedules

    def add_strategy(
        self,
        name: str,
        url: str,
        *,
        page: Page | Callable[[str, float], Sequence[Any]] | None = None,
        items: Sequence[Any] | None = None,
        description: str = "",
        strategy_id: str | None = None,
        created_at: Moment | None = None,
        **fields: Any,
    ) -> Strategy:
        """Add a strategy. Its page is `page`, a function of url and instant, fixed `items`, or invented."""
        with self.lock:
            made = self.now if created_at is None else parse_instant(created_at)
            same = sum(other.name == name for other in self.strategies.values()) if strategy_id is None else 0
            strategy_id = strategy_id or make_id(self.seed, "strategy", name, *([same] if same else []))
            if strategy_id in self.strategies:
                strategy_id = make_id(self.seed, "strategy", name, self.next_number())
            strategy = Strategy(
                strategy_id, name, url, description,
                page_for(self.seed, name, page, items, fields.get("output_schema")),
                created_at=made, updated_at=made, **fields,
            )  # fmt: skip
            self.strategies[strategy_id] = strategy
            return strategy

    def find_strategy(self, wanted: str) -> Strategy | None:
        """The strategy with this id or, failing that, this name."""
        found = self.strategies.get(wanted)
        return found or next((strategy for strategy in self.strategies.values() if strategy.name == wanted), None)

    def delete_strategy(self, strategy: Strategy) -> None:
        """Remove a strategy and its schedules; its jobs stay."""
        with self.lock:
            del self.strategies[strategy.strategy_id]
            of_strategy = [other for other in self.schedules.values() if other.strategy_id == strategy.strategy_id]
            for schedule in of_strategy:
                self.delete_schedule(schedule)

    def add_schedule(
        self,
        strategy_id: str,
        *,
        url: str | None = None,
        urls: Sequence[str] | None = None,
        interval_seconds: int | None = None,
        cron_expression: str | None = None,
        schedule_id: str | None = None,
        **fields: Any,
    ) -> Schedule:
        """Add a schedule; without interval and cron it never runs by itself: its jobs are those inserted."""
        with self.lock:
            strategy = self.find_strategy(strategy_id)
            if strategy is None:
                raise SandboxError(f"no strategy {strategy_id!r} to schedule")
            count = sum(other.strategy_id == strategy.strategy_id for other in self.schedules.values())
            made_id = schedule_id or make_id(self.seed, "schedule", strategy.strategy_id, count)
            if made_id in self.schedules:
                made_id = make_id(self.seed, "schedule", strategy.strategy_id, "more", self.next_number())
            by_hand = interval_seconds is None and cron_expression is None
            schedule = Schedule(
                made_id, strategy.strategy_id, None if urls else (url or strategy.url), list(urls) if urls else None,
                86400 if by_hand else interval_seconds, cron_expression, created_at=float(int(self.now)),
                updated_at=float(int(self.now)), runs=not by_hand and fields.pop("runs", True), **fields,
            )  # fmt: skip
            if schedule.webhook_url and not schedule.webhook_secret:
                schedule.webhook_secret = self.new_secret()
            self.schedules[made_id] = schedule
            self.plan(schedule, first=True)
            return schedule

    def new_secret(self) -> str:
        """A new webhook secret."""
        return "whsec_" + make_id(self.seed, "secret", self.next_number()).replace("-", "")

    def plan(self, schedule: Schedule, *, first: bool = False) -> None:
        """Plan a schedule's runs from now on; earlier plans lapse."""
        schedule.edition += 1
        schedule.next_run_at = None
        if not schedule.enabled or not schedule.runs:
            return
        start = float(int(self.now))
        schedule.rhythm = Rhythm(schedule.interval_seconds, schedule.cron_expression, start)
        at = start if first and self.faults.immediate_first_run else schedule.rhythm.next_due()
        self._expect_run(schedule, at)

    def _expect_run(self, schedule: Schedule, at: float) -> None:
        edition = schedule.edition
        schedule.next_run_at = at
        self.expect(at, lambda due: self._run(schedule, due) if schedule.edition == edition else None)

    def _run(self, schedule: Schedule, at: float) -> None:
        schedule.last_run_at = at
        for url in schedule.addresses:
            job_id = make_id(self.seed, "job", schedule.schedule_id, at, url)
            chosen = (occasion.choose(schedule.runs_so_far, url) for occasion in schedule.occasions)
            job = self.start_job(
                schedule.strategy_id, url, at, job_id, schedule=schedule, parameters=schedule.parameters
            )
            job.alterations = tuple(filter(None, chosen))
        schedule.runs_so_far += 1
        if schedule.rhythm is not None:
            self._expect_run(schedule, schedule.rhythm.next_due())

    def delete_schedule(self, schedule: Schedule) -> None:
        """Remove a schedule; its jobs stay."""
        with self.lock:
            schedule.edition += 1
            self.schedules.pop(schedule.schedule_id, None)

    # -- jobs

    def start_job(
        self, strategy_id: str, url: str, at: float, job_id: str | None = None, *,
        schedule: Schedule | None = None, parameters: dict[str, Any] | None = None,
    ) -> Job:  # fmt: skip
        """Queue a job: it starts and ends as the clock advances, or as it is polled."""
        strategy = self.strategies[strategy_id]
        order = self.next_number()
        job_id = job_id or make_id(self.seed, "job", "made", order)
        job = Job(job_id, strategy_id, url, at, order, schedule.schedule_id if schedule else None,
                  parameters=parameters, page=strategy.page, filter_config=strategy.filter_config,
                  duration=3 + int(15 * noise(self.seed, job_id)))  # fmt: skip
        self._file(job)
        self.expect(at + 2 + self._wait(schedule, job), lambda due: self.begin(job, due))
        return job

    def _wait(self, schedule: Schedule | None, job: Job) -> int:
        """Seconds that a job waits in the queue: about half of a slow schedule's jobs do, mornings and evenings."""
        if schedule is None or not schedule.queue_seconds or int(job.created_at // 3600) % 12 not in _BUSY_HOURS:
            return 0
        busy = noise(self.seed, job.job_id, "queue")
        return int(schedule.queue_seconds * (2 * busy - 1)) if busy > 0.5 else 0

    def begin(self, job: Job, at: float) -> None:
        """Start a queued job."""
        if job.status == PENDING:
            job.status, job.started_at = RUNNING, at
            job.rows.clear()
            self.expect(at + job.duration, lambda due: self.finish(job, due))

    def finish(self, job: Job, at: float) -> None:
        """End a job: with content, or with the reason of its failure."""
        if job.is_terminal:
            return
        job.error = job.page.error(visit_of(job)) if job.page and not job.recorded else job.error
        job.status = FAILED if job.error is not None else COMPLETED
        job.started_at = job.created_at if job.started_at is None else job.started_at
        job.completed_at = at
        job.rows.clear()
        self._ended(job)

    def poll(self, job: Job) -> None:
        """Move a job that a call created one step on, although the clock stands still."""
        if job.is_terminal or not self.faults.poll_steps or job.schedule_id:
            return
        with self.lock:
            job.polls += 1
            now = float(int(self.now))
            self.begin(job, now)
            if job.polls >= self.faults.poll_steps:
                self.finish(job, now)

    def insert_job(
        self,
        strategy: str,
        url: str | None = None,
        items: Sequence[Any] | None = None,
        *,
        raw: str | bytes | None = None,
        schedule: str | None = None,
        completed_at: Moment | None = None,
        created_at: Moment | None = None,
        started_at: Moment | None = None,
        status: str = COMPLETED,
        error: str | None = None,
        job_id: str | None = None,
        item_count: int | None = None,
        parameters: dict[str, Any] | None = None,
        body: bytes | None = None,
        recorded: Recorded | None = None,
        alterations: Iterable[Sequence[str]] = (),
        **extra: Any,
    ) -> Job:
        """Add a job in its final state; see `Sandbox.insert_job`."""
        with self.lock:
            owner = self.find_strategy(strategy) or self.add_strategy(strategy, url or "https://made.example/")
            plan = self._schedule_of(owner, schedule)
            ended = self.now if completed_at is None else parse_instant(completed_at)
            order = self.next_number()
            job = Job(
                job_id or make_id(self.seed, "job", "inserted", order), owner.strategy_id,
                url or (plan.addresses[0] if plan and plan.addresses else owner.url),
                ended if created_at is None else parse_instant(created_at), order, plan.schedule_id if plan else None,
                status=status, error=error if status != FAILED else error or "Target answered 503",
                parameters=parameters, item_count=item_count, body=body, extra=extra or None,
                filter_config=owner.filter_config,
            )  # fmt: skip
            if job.job_id in self.jobs_by_id:
                raise SandboxError(f"job {job.job_id} exists already: choose another job_id")
            job.recorded = recorded or self._given(items, raw)
            job.alterations = tuple(make_alteration(*alteration) for alteration in alterations)
            job.page = None if job.recorded else owner.page
            if status != PENDING:
                job.started_at = job.created_at if started_at is None else parse_instant(started_at)
            job.completed_at = ended if job.is_terminal else None
            self._file(job)
            if job.is_terminal:
                self._ended(job)
            return job

    def _schedule_of(self, strategy: Strategy, schedule: str | None) -> Schedule | None:
        if schedule is None:
            return None
        if schedule not in self.schedules:
            raise SandboxError(f"no schedule {schedule!r} for a job of {strategy.name!r}")
        return self.schedules[schedule]

    def _given(self, items: Sequence[Any] | None, raw: str | bytes | None) -> Recorded | None:
        if raw is not None:
            return Given(from_results(raw))
        return Given(from_items(items)) if items is not None else None

    def surprise(self, strategy_id: str | None = None, schedule: Schedule | None = None) -> Job | None:
        """Insert a job that completes at this instant with an item that is new."""
        candidates: Iterable[Schedule] = [schedule] if schedule else self.schedules.values()
        plan = next((other for other in candidates if strategy_id in (None, other.strategy_id)), None)
        owner = self.strategies.get(plan.strategy_id if plan else strategy_id or "")
        if owner is None:
            return None
        url = plan.addresses[0] if plan and plan.addresses else owner.url
        late = {"title": f"Late arrival {self.next_number()}"}
        items = [*owner.page.content(Visit(url, self.now)).items, late]
        return self.insert_job(owner.strategy_id, url, items, schedule=plan.schedule_id if plan else None)

    def delete_job(self, job_id: str) -> None:
        """Remove a job from every list."""
        with self.lock:
            job = self.jobs_by_id.pop(job_id, None)
            if job is None:
                raise SandboxError(f"no job {job_id!r} to delete")
            homes: list[list[Job]] = [self.jobs]
            if strategy := self.strategies.get(job.strategy_id):
                homes.append(strategy.jobs)
            if schedule := self.schedules.get(job.schedule_id or ""):
                homes += [schedule.jobs, schedule.unseen, *schedule.targets.values()]
            for home in homes:
                if job in home:
                    home.remove(job)

    def _file(self, job: Job) -> None:
        if job.job_id in self.jobs_by_id:
            job.job_id = make_id(job.job_id, job.order)
        self.jobs_by_id[job.job_id] = job
        file_job(self.jobs, job)
        if strategy := self.strategies.get(job.strategy_id):
            file_job(strategy.jobs, job)
        if schedule := self.schedules.get(job.schedule_id or ""):
            file_job(schedule.jobs, job)

    def _ended(self, job: Job) -> None:
        schedule = self.schedules.get(job.schedule_id or "")
        if schedule is None:
            return
        if schedule.last_run_at is None or schedule.last_run_at < job.created_at:
            schedule.last_run_at = job.created_at
        schedule.unseen.append(job)
        if job.status == COMPLETED:
            bisect.insort(schedule.targets.setdefault(job.url, []), job, key=completion_key)
        self.on_finish(schedule, job)

    # -- content

    def content(self, job: Job) -> Content:
        """The content of a completed job."""
        return self._contents.content(job)

    def digest(self, job: Job) -> Digest:
        """Count, hash and signature of a job's content; computed once."""
        return self._contents.digest(job)

    def record(self, entry: Entry) -> None:
        """Number a request and append it to the log."""
        with self.lock:
            self._requests += 1
            entry.number = self._requests
            self.log.append(entry)
