"""The Meter client: one method per endpoint, typed records out.

    with MeterClient(key) as client:
        for strategy in client.strategies():
            print(strategy.name)
        with client.job_body(job_id) as body:
            for batch in body.batches():
                ...

Reads, updates and deletes are made again when the network or the server fails; creates are made once, whatever fails.
A client may be shared by threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from meter_pipeline.api import creations
from meter_pipeline.api.address import address
from meter_pipeline.api.bodies import ChangeSet, JobBody, change_set, job_body
from meter_pipeline.api.bounds import Bounds
from meter_pipeline.api.creates import create
from meter_pipeline.api.credentials import Credentials
from meter_pipeline.api.dialect import Dialect
from meter_pipeline.api.errors import (
    MeterAmbiguous,
    MeterBadRequest,
    MeterConfigError,
    MeterConnectionError,
    MeterError,
    MeterNotFound,
)
from meter_pipeline.api.intents import IntentLog, MemoryIntents
from meter_pipeline.api.lists import LARGEST_PAGE, Lists
from meter_pipeline.api.parsers import parse_comparison, parse_history, parse_one, parse_refined
from meter_pipeline.api.records import (
    Batch,
    Comparison,
    GeneratedStrategy,
    HistoryEntry,
    Job,
    Schedule,
    Strategy,
    Unusable,
)
from meter_pipeline.api.retries import Pace, Retries, Waiting, never, not_done, transient
from meter_pipeline.api.routes import Routes
from meter_pipeline.api.spool import Content
from meter_pipeline.api.transport import Transport
from meter_pipeline.host.scratch import Scratch
from meter_pipeline.host.sizes import KEEP_FREE

# The API lets an executed job run this long (seconds).
_LONGEST_JOB = 3600.0
# Rows that cannot be used are kept up to this many: a list that has nothing else would fill the memory.
_MOST_UNUSABLE = 1_000
_CHANGEABLE = frozenset(
    [
        "cron_expression",
        "enabled",
        "interval_seconds",
        "parameters",
        "url",
        "urls",
        "webhook_metadata",
        "webhook_secret",
        "webhook_type",
        "webhook_url",
    ]
)


class MeterClient:
    """A client of the Meter API. A context manager; thread-safe.

    Args:
        api_key: The bearer key. It never shows in a log, an error or a `repr`.
        base_url: Scheme and host; a path is where a proxy has mounted the API.
        prefix: `/v1`, `/api`, or `auto`: ask once which of them the server knows.
        timeout: Seconds to connect, and seconds without a byte of an answer.
        deadline: Seconds that one call may take with all its attempts and waits.
        max_attempts: Most attempts of one call.
        max_requests_per_second: Bound over all threads, `None` for none.
        pool_size: Most connections open at once.
        intents: Where creates are noted before they are made; by default in memory.
        spool_bytes: Bodies above this size are kept in a temporary file, not in memory.
        spool_folder: Where these files are; the system's own folder for such files when `None`.
        keep_free: Bytes of that folder's disk that stay free.
        bounds: How large a body, a record and a page of a listing may be.
        wait_scale: Fraction of every wait (back-off, `Retry-After`, pacing, polling) that is really slept: 0 in tests.
            `None` follows `set_wait_scale`.

    Raises:
        MeterConfigError: An argument cannot be used.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = "https://api.meter.sh",
        prefix: str = "auto",
        timeout: tuple[float, float] = (10, 60),
        deadline: float = 300.0,
        max_attempts: int = 6,
        max_requests_per_second: float | None = None,
        pool_size: int = 16,
        intents: IntentLog | None = None,
        spool_bytes: int = 8 * 2**20,
        spool_folder: Path | None = None,
        keep_free: int = KEEP_FREE,
        bounds: Bounds = Bounds(),
        wait_scale: float | None = None,
    ) -> None:
        _positive(max_attempts=max_attempts, deadline=deadline, pool_size=pool_size, spool_bytes=spool_bytes)
        _positive(max_body=bounds.max_body, max_record=bounds.max_record, max_page=bounds.max_page)
        _positive(connect_timeout=timeout[0], read_timeout=timeout[1])
        if max_requests_per_second is not None:
            _positive(max_requests_per_second=max_requests_per_second)
        url, dialect = address(base_url, prefix)
        self._waiting = Waiting(wait_scale)
        scratch = Scratch(spool_folder, keep_free)
        scratch.sweep()
        self._transport = Transport(
            url,
            Credentials(api_key),
            timeout=timeout,
            deadline=deadline,
            retries=Retries(max_attempts, self._waiting),
            pace=Pace(max_requests_per_second, self._waiting),
            waiting=self._waiting,
            pool_size=pool_size,
            spool_bytes=spool_bytes,
            bounds=bounds,
            scratch=scratch,
        )
        self._routes = Routes(self._transport, dialect)
        self._unusable: dict[Unusable, None] = {}
        self._lists = Lists(self._routes, self._note_unusable)
        self._intents: IntentLog = intents if intents is not None else MemoryIntents()

    def __repr__(self) -> str:
        return f"MeterClient(base_url={self._transport.base_url!r})"

    def __enter__(self) -> MeterClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections."""
        self._transport.close()

    @property
    def requests_made(self) -> int:
        """Requests sent so far, repetitions included."""
        return self._transport.requests_made

    def take_unusable(self) -> list[Unusable]:
        """Rows of lists that could not be used, each once, since this was last asked."""
        found, self._unusable = list(self._unusable), {}
        return found

    def _note_unusable(self, row: Unusable) -> None:
        if len(self._unusable) < _MOST_UNUSABLE:
            self._unusable[row] = None

    def probe(self) -> Dialect:
        """Asks the server once, and remembers which dialect it speaks.

        Raises:
            MeterError: It cannot be reached, does not accept the key, or is no Meter.
        """
        return self._routes.probe()

    # Strategies

    def strategies(self) -> Iterator[Strategy]:
        """Every strategy once, also while strategies come and go."""
        return self._lists.strategies()

    def strategy(self, strategy_id: str) -> Strategy:
        """One strategy."""
        return self._routes.ask("GET", "strategies", strategy_id, parse=parse_one(Strategy, "strategy", strategy_id))

    def generate_strategy(
        self,
        *,
        url: str,
        description: str,
        name: str,
        force_api: bool = False,
        output_schema: Mapping[str, Any] | None = None,
    ) -> GeneratedStrategy:
        """Makes a strategy from a page; takes a language model's time, and counts against the quota.

        Raises:
            MeterAmbiguous: It cannot be told whether it was made.
        """
        payload: dict[str, Any] = {"url": url, "description": description, "name": name}
        if force_api:
            payload["force_api"] = True
        if output_schema is not None:
            payload["output_schema"] = dict(output_schema)
        path = self._routes.path("strategies", "generate")
        return create(self._transport, self._intents, creations.strategy(self._lists, path, payload, self._generated))

    def refine_strategy(self, strategy_id: str, feedback: str) -> GeneratedStrategy:
        """Changes a strategy's plan.

        Raises:
            MeterAmbiguous: It cannot be told whether it was changed; refining again may change it twice.
        """
        try:
            return self._routes.ask(
                "POST",
                "strategies",
                strategy_id,
                "refine",
                parse=parse_refined(strategy_id),
                payload={"feedback": feedback},
                again=not_done,
                read_timeout=creations.GENERATION,
            )
        except MeterError as error:
            if not error.ambiguous:
                raise
            failure = MeterAmbiguous(
                f"it is not known whether the strategy was refined: {error.detail}",
                method="POST",
                path=error.path,
                hint="look at the strategy's updated_at before refining again",
            )
        raise failure

    def delete_strategy(self, strategy_id: str) -> None:
        """Deletes a strategy."""
        self._delete("strategies", strategy_id)

    def strategy_history(self, strategy_id: str) -> list[HistoryEntry]:
        """A strategy's jobs with whether they brought changes, newest first."""
        return self._routes.ask_any(
            self._routes.dialect.history,
            {"strategy_id": strategy_id},
            lambda content: self._lists.usable(parse_history(strategy_id)(content)),
            page=True,
        )

    # Schedules

    def schedules(self) -> list[Schedule]:
        """Every schedule of the account."""
        return self._lists.schedules()

    def create_schedule(
        self,
        *,
        strategy_id: str,
        url: str | None = None,
        urls: Sequence[str] | None = None,
        interval_seconds: int | None = None,
        cron_expression: str | None = None,
        webhook_url: str | None = None,
        webhook_metadata: Mapping[str, Any] | None = None,
        webhook_secret: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Schedule:
        """Makes a schedule; the record's `webhook_secret` is shown this once.

        Raises:
            MeterAmbiguous: It cannot be told whether it was made.
        """
        _one_of(url=url, urls=urls)
        _one_of(interval_seconds=interval_seconds, cron_expression=cron_expression)
        payload = _given(
            strategy_id=strategy_id,
            url=url,
            urls=list(urls) if urls else None,
            interval_seconds=interval_seconds,
            cron_expression=cron_expression,
            webhook_url=webhook_url,
            webhook_metadata=webhook_metadata,
            webhook_secret=webhook_secret,
            parameters=parameters,
        )
        path = self._routes.path("schedules")
        return create(self._transport, self._intents, creations.schedule(self._lists, path, payload))

    def update_schedule(self, schedule_id: str, **changes: Any) -> Schedule:
        """Changes a schedule: `enabled`, `url` or `urls`, `interval_seconds` or `cron_expression`, `webhook_url`, ...

        The record's `webhook_secret` is there when a new one was asked for (`webhook_secret=""`).
        """
        unknown = sorted(changes.keys() - _CHANGEABLE)
        if unknown or not changes:
            what = f"{', '.join(unknown)} cannot be changed" if unknown else "nothing to change"
            raise MeterBadRequest(f"{what} on a schedule", hint=f"give some of {', '.join(sorted(_CHANGEABLE))}")
        parse = parse_one(Schedule, "schedule", schedule_id)
        return self._routes.ask("PATCH", "schedules", schedule_id, parse=parse, payload=changes)

    def delete_schedule(self, schedule_id: str) -> None:
        """Deletes a schedule; its jobs stay."""
        self._delete("schedules", schedule_id)

    def changes(self, schedule_id: str, *, mark_seen: bool, filter: str | None = None) -> ChangeSet:
        """The unseen changes of a schedule.

        Args:
            schedule_id: The schedule.
            mark_seen: Whether this read consumes them, for everyone. Such a read is never made again by itself: its
                answer is the only one.
            filter: Only rows that match, `+both +words` for example. The server may mark as seen what it hides.
        """
        return self._routes.ask(
            "GET",
            "schedules",
            schedule_id,
            "changes",
            parse=lambda content: change_set(content, schedule_id),
            query={"mark_seen": "true" if mark_seen else "false", "filter": filter},
            again=never if mark_seen else transient,
        )

    # Jobs

    def job_pages(
        self,
        *,
        strategy_id: str | None = None,
        schedule_id: str | None = None,
        status: str | None = None,
        since: datetime | str | None = None,
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[list[Job]]:
        """Jobs, newest first, each once, in pages that are never empty; stop reading at any page.

        Args:
            strategy_id: Only of this strategy.
            schedule_id: Only of this schedule.
            status: Only in this state.
            since: Only since this time; relative ones such as `24h` are made absolute.
            page_size: Rows to ask for; fewer are asked for when rows turn out to be big.
        """
        return self._lists.job_pages(
            strategy_id=strategy_id, schedule_id=schedule_id, status=status, since=since, page_size=page_size
        )

    def job(self, job_id: str) -> Job:
        """A job's record, without its items."""
        with self.job_body(job_id) as body:
            return body.job

    def job_body(self, job_id: str) -> JobBody:
        """A job with its items, validated whole: nothing can go wrong while they are read from the body.

        Raises:
            MeterBadResponse: The answer is not JSON, or no job, at every attempt.
            MeterWrongResource: The answer is another job, at every attempt.
            MeterTooLarge: It is beyond a bound, or beyond the room on the disk.
        """
        return self._routes.ask("GET", "jobs", job_id, parse=lambda content: job_body(content, job_id), direct=True)

    def create_job(
        self,
        *,
        strategy_id: str,
        url: str | None = None,
        urls: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Job | Batch:
        """Runs a strategy: on one URL, which gives a job, or on several, which gives a batch.

        Raises:
            MeterAmbiguous: It cannot be told whether the run was started.
        """
        _one_of(url=url, urls=urls)
        payload = _given(strategy_id=strategy_id, url=url, urls=list(urls) if urls else None, parameters=parameters)
        path = self._routes.path("jobs")
        if urls:
            return create(self._transport, self._intents, creations.batch(self._lists, path, payload))
        return create(self._transport, self._intents, creations.job(self._lists, path, payload))

    def execute_job(self, *, strategy_id: str, url: str, parameters: Mapping[str, Any] | None = None) -> Job:
        """Runs a strategy on a URL and waits for the end: a completed or a failed job.

        Raises:
            MeterAmbiguous: It cannot be told whether the run was started.
            MeterConnectionError: The job still runs after an hour.
        """
        payload = _given(strategy_id=strategy_id, url=url, parameters=parameters)
        path = self._routes.path("jobs", "execute")
        made = create(self._transport, self._intents, creations.job(self._lists, path, payload, execute=True))
        return made if made.is_terminal else self._ended(made)

    def compare_jobs(self, job_id: str, other_job_id: str) -> Comparison:
        """Meter's own comparison of two jobs."""
        return self._routes.ask_any(
            self._routes.dialect.compare,
            {"job_id": job_id, "other_job_id": other_job_id},
            parse_comparison(job_id, other_job_id),
        )

    def _generated(self, strategy_id: str) -> GeneratedStrategy:
        parse = parse_one(GeneratedStrategy, "strategy", strategy_id)
        return self._routes.ask("GET", "strategies", strategy_id, parse=parse)

    def _delete(self, *steps: str) -> None:
        try:
            self._routes.ask("DELETE", *steps, parse=_nothing)
        except MeterNotFound as error:
            if error.attempts == 1:
                raise  # later, it was the attempt before that has deleted it

    def _ended(self, job: Job) -> Job:
        """Waits for a job whose execution outlasted the connection."""
        end = time.monotonic() + _LONGEST_JOB
        pause = 1.0
        while not job.is_terminal:
            if time.monotonic() > end:
                raise MeterConnectionError(
                    f"job {job.job_id} is still {job.status}", timed_out=True, hint="ask for the job later"
                )
            self._waiting.sleep(pause)
            pause = min(pause * 1.5, 10.0)
            job = self.job(job.job_id)
        return job


def _nothing(content: Content) -> None:
    """A delete's answer may hold anything, or nothing."""


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _one_of(**values: Any) -> None:
    if sum(1 for value in values.values() if value) != 1:
        raise MeterBadRequest(f"give exactly one of {' and '.join(values)}")


def _positive(**values: float) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise MeterConfigError(f"{name} is {value!r}, not a number above 0")
