"""The Meter client: one method per endpoint, each returning typed records.

    with MeterClient(key) as client:
        for strategy in client.strategies():
            print(strategy.name)
        with client.job_body(job_id) as body:
            for batch in body.batches():
                ...

Reads, updates and deletes are retried when the network or the server fails; a create is carried out at most once. The
reads are in `reading.py`, and what a client can change at Meter is here. Threads may share a client.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meter_pipeline.api import creations
from meter_pipeline.api.address import parse_address
from meter_pipeline.api.bounds import Bounds
from meter_pipeline.api.creates import create
from meter_pipeline.api.credentials import Credentials
from meter_pipeline.api.errors import (
    MeterAmbiguous,
    MeterBadRequest,
    MeterConfigError,
    MeterConnectionError,
    MeterError,
    MeterNotFound,
)
from meter_pipeline.api.intents import IntentLog, MemoryIntents
from meter_pipeline.api.parsers import parse_record, parse_refined
from meter_pipeline.api.reading import Reads
from meter_pipeline.api.records import (
    Batch,
    GeneratedStrategy,
    Job,
    Schedule,
)
from meter_pipeline.api.retries import Pace, Retries, Waiting, not_done
from meter_pipeline.api.spool import Content
from meter_pipeline.api.transport import Transport
from meter_pipeline.host.scratch import Scratch
from meter_pipeline.host.sizes import KEEP_FREE

# The API lets an executed job run this long (seconds).
_LONGEST_JOB = 3600.0
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


class MeterClient(Reads):
    """A client of the Meter API, for reads and for changes. A context manager; thread-safe.

    Args:
        api_key: The bearer key. It never shows in a log, an error or a `repr`.
        base_url: Scheme and host; with a path if a proxy serves the API under one.
        prefix: `/v1`, `/api`, or `auto` to find out with one request which of them the server knows.
        timeout: Seconds to connect, and seconds without a byte of an answer.
        deadline: Seconds for one call, including all its attempts and waits.
        max_attempts: Most attempts of one call.
        max_requests_per_second: Limit over all threads; None for no limit.
        pool_size: Most connections open at once.
        intents: Where creates are noted before they are sent; by default in memory.
        spool_bytes: Bodies above this size (bytes) are kept in a temporary file, not in memory.
        spool_folder: Folder of these files; None for the system's folder for temporary files.
        keep_free: Bytes of that folder's disk that stay free.
        bounds: How large a body, a record and a page of a listing may be.
        wait_scale: Fraction of every wait (back-off, `Retry-After`, pacing, polling) that is slept: 0 in tests. None
            follows `set_wait_scale`.

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
        _require_positive(max_attempts=max_attempts, deadline=deadline, pool_size=pool_size, spool_bytes=spool_bytes)
        _require_positive(max_body=bounds.max_body, max_record=bounds.max_record, max_page=bounds.max_page)
        _require_positive(connect_timeout=timeout[0], read_timeout=timeout[1])
        if max_requests_per_second is not None:
            _require_positive(max_requests_per_second=max_requests_per_second)
        url, dialect = parse_address(base_url, prefix)
        self._waiting = Waiting(wait_scale)
        scratch = Scratch(spool_folder, keep_free)
        scratch.sweep()
        transport = Transport(
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
        super().__init__(transport, dialect)
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

    # Strategies

    def generate_strategy(
        self,
        *,
        url: str,
        description: str,
        name: str,
        force_api: bool = False,
        output_schema: Mapping[str, Any] | None = None,
    ) -> GeneratedStrategy:
        """Generates a strategy from a page. It can last minutes, and counts against the account's quota.

        Raises:
            MeterAmbiguous: Whether the strategy was created is unknown.
        """
        payload: dict[str, Any] = {"url": url, "description": description, "name": name}
        if force_api:
            payload["force_api"] = True
        if output_schema is not None:
            payload["output_schema"] = dict(output_schema)
        path = self._routes.path("strategies", "generate")
        return create(self._transport, self._intents, creations.strategy(self._lists, path, payload, self._generated))

    def refine_strategy(self, strategy_id: str, feedback: str) -> GeneratedStrategy:
        """Changes a strategy's extraction plan by feedback in words.

        Raises:
            MeterAmbiguous: Whether it was changed is unknown; refining again may change it twice.
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
                hint="check the strategy's updated_at before refining again",
            )
        raise failure

    def delete_strategy(self, strategy_id: str) -> None:
        """Deletes a strategy."""
        self._delete("strategies", strategy_id)

    # Schedules

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
        """Creates a schedule. Only the returned record has its `webhook_secret`: the API shows it once.

        Raises:
            MeterAmbiguous: Whether the schedule was created is unknown.
        """
        _require_exactly_one(url=url, urls=urls)
        _require_exactly_one(interval_seconds=interval_seconds, cron_expression=cron_expression)
        payload = _drop_none(
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

        The returned record has a `webhook_secret` if a new one was requested (`webhook_secret=""`).
        """
        unknown = sorted(changes.keys() - _CHANGEABLE)
        if unknown or not changes:
            what = f"{', '.join(unknown)} cannot be changed" if unknown else "nothing to change"
            raise MeterBadRequest(f"{what} on a schedule", hint=f"pass some of {', '.join(sorted(_CHANGEABLE))}")
        parse = parse_record(Schedule, "schedule", schedule_id)
        return self._routes.ask("PATCH", "schedules", schedule_id, parse=parse, payload=changes)

    def delete_schedule(self, schedule_id: str) -> None:
        """Deletes a schedule; its jobs stay."""
        self._delete("schedules", schedule_id)

    # Jobs

    def create_job(
        self,
        *,
        strategy_id: str,
        url: str | None = None,
        urls: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Job | Batch:
        """Starts a strategy on one URL, which returns a job, or on several, which returns a batch.

        Raises:
            MeterAmbiguous: Whether the run was started is unknown.
        """
        _require_exactly_one(url=url, urls=urls)
        payload = _drop_none(strategy_id=strategy_id, url=url, urls=list(urls) if urls else None, parameters=parameters)
        path = self._routes.path("jobs")
        if urls:
            return create(self._transport, self._intents, creations.batch(self._lists, path, payload))
        return create(self._transport, self._intents, creations.job(self._lists, path, payload))

    def execute_job(self, *, strategy_id: str, url: str, parameters: Mapping[str, Any] | None = None) -> Job:
        """Runs a strategy on a URL and waits until the job has completed or failed.

        Raises:
            MeterAmbiguous: Whether the run was started is unknown.
            MeterConnectionError: The job still runs after an hour.
        """
        payload = _drop_none(strategy_id=strategy_id, url=url, parameters=parameters)
        path = self._routes.path("jobs", "execute")
        made = create(self._transport, self._intents, creations.job(self._lists, path, payload, execute=True))
        return made if made.is_terminal else self._wait_for_end(made)

    def _generated(self, strategy_id: str) -> GeneratedStrategy:
        parse = parse_record(GeneratedStrategy, "strategy", strategy_id)
        return self._routes.ask("GET", "strategies", strategy_id, parse=parse)

    def _delete(self, *steps: str) -> None:
        try:
            self._routes.ask("DELETE", *steps, parse=_ignore_body)
        except MeterNotFound as error:
            if error.attempts == 1:
                raise  # on a later attempt, an earlier one has deleted it

    def _wait_for_end(self, job: Job) -> Job:
        """Polls a job whose execution outlasted the connection, until it ends."""
        end = time.monotonic() + _LONGEST_JOB
        pause = 1.0
        while not job.is_terminal:
            if time.monotonic() > end:
                raise MeterConnectionError(
                    f"job {job.job_id} is still {job.status}", timed_out=True, hint="read the job later"
                )
            self._waiting.sleep(pause)
            pause = min(pause * 1.5, 10.0)
            job = self.job(job.job_id)
        return job


def _ignore_body(content: Content) -> None:
    """Accepts any body: a delete's answer may hold anything, or nothing."""


def _drop_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _require_exactly_one(**values: Any) -> None:
    if sum(1 for value in values.values() if value) != 1:
        raise MeterBadRequest(f"pass exactly one of {' and '.join(values)}")


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise MeterConfigError(f"{name} is {value!r}, not a number above 0")
