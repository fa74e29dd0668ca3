"""Describes each kind of create: how to post it, and how to find the created resource among the existing ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from meter_pipeline.api.answers import require_named
from meter_pipeline.api.creates import Creation
from meter_pipeline.api.errors import MeterAmbiguous
from meter_pipeline.api.lists import Lists
from meter_pipeline.api.records import Batch, GeneratedStrategy, Job, Schedule, Strategy

Made = TypeVar("Made", Job, Batch, Schedule)

# Pages of new jobs to search before the search ends without reaching a job that existed before.
_PAGES = 20
# Generating a strategy asks a language model (seconds).
GENERATION = 180.0


def job(lists: Lists, path: str, payload: Mapping[str, Any], *, execute: bool = False) -> Creation[Job]:
    """Creates a job of one URL; with `execute` the server answers when the job has ended."""

    def find(before: frozenset[str]) -> Job | None:
        made = [row for row in _newer(lists, payload["strategy_id"], before) if _is_ours(row, payload)]
        return made[-1] if made else None

    return Creation(
        kind="execute" if execute else "job",
        path=path,
        payload=payload,
        existing=_existing_jobs(lists, payload["strategy_id"]),
        find=find,
        parse=_of_strategy(Job, payload),
        identify=lambda made: made.job_id,
        slow=execute,
    )


def batch(lists: Lists, path: str, payload: Mapping[str, Any]) -> Creation[Batch]:
    """Creates jobs of several URLs; the API returns only the id of their batch."""

    def find(before: frozenset[str]) -> Batch | None:
        rows = [row for row in _newer(lists, payload["strategy_id"], before) if row.url in payload["urls"]]
        ours = [row for row in rows if row.schedule_id is None]
        made = [row for row in ours if row.batch_id is not None]
        if not made and ours and not any("batch_id" in row.raw for row in ours):
            raise MeterAmbiguous(f"{len(ours)} matching jobs are there, without the id of their batch")
        if not made:
            return None
        batch_id = made[-1].batch_id or ""
        return Batch(batch_id, len(payload["urls"]), made[-1].status, payload["strategy_id"], made[-1].created_at)

    return Creation(
        kind="batch",
        path=path,
        payload=payload,
        existing=_existing_jobs(lists, payload["strategy_id"]),
        find=find,
        parse=_of_strategy(Batch, payload),
        identify=lambda made: made.batch_id,
    )


def schedule(lists: Lists, path: str, payload: Mapping[str, Any]) -> Creation[Schedule]:
    """Creates a schedule. A secret that the server made is lost with a lost answer; a secret of the caller is not."""
    compared = ("strategy_id", "url", "interval_seconds", "cron_expression", "webhook_url")

    def matching() -> list[Schedule]:
        return [
            found
            for found in lists.schedules()
            if all(getattr(found, name) == payload.get(name) for name in compared)
            and found.urls == tuple(payload.get("urls") or ())
        ]

    def find(before: frozenset[str]) -> Schedule | None:
        made = [found for found in matching() if found.schedule_id not in before]
        return replace(made[-1], webhook_secret=payload.get("webhook_secret")) if made else None

    return Creation(
        kind="schedule",
        path=path,
        payload=payload,
        existing=lambda: [found.schedule_id for found in matching()],
        find=find,
        parse=_of_strategy(Schedule, payload),
        identify=lambda made: made.schedule_id,
    )


def strategy(
    lists: Lists, path: str, payload: Mapping[str, Any], read: Callable[[str], GeneratedStrategy]
) -> Creation[GeneratedStrategy]:
    """Generates a strategy; `read` returns a strategy by its id. Each counts against the quota, even once deleted."""

    def matching() -> list[Strategy]:
        names = ("name", "url", "description")
        return [found for found in lists.strategies() if all(getattr(found, name) == payload[name] for name in names)]

    def find(before: frozenset[str]) -> GeneratedStrategy | None:
        made = [found for found in matching() if found.strategy_id not in before]
        return read(made[-1].strategy_id) if made else None

    return Creation(
        kind="strategy",
        path=path,
        payload=payload,
        existing=lambda: [found.strategy_id for found in matching()],
        find=find,
        parse=GeneratedStrategy.from_json,
        identify=lambda made: made.strategy_id,
        keyed=True,
        slow=True,
        read_timeout=GENERATION,
    )


def _of_strategy(kind: type[Made], payload: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Made]:
    """Parses a created record, and checks that it belongs to the requested strategy."""

    def parse(data: Mapping[str, Any]) -> Made:
        require_named("strategy", payload["strategy_id"], data, "strategy_id")
        return kind.from_json(data)

    return parse


def _existing_jobs(lists: Lists, strategy_id: str) -> Callable[[], Sequence[str]]:
    """The ids of the newest jobs: any job listed above them later is new."""
    return lambda: [row.job_id for row in next(lists.job_pages(strategy_id=strategy_id), [])]


def _newer(lists: Lists, strategy_id: str, before: frozenset[str]) -> list[Job]:
    newer: list[Job] = []
    for page in islice(lists.job_pages(strategy_id=strategy_id), _PAGES):
        new = [row for row in page if row.job_id not in before]
        newer += new
        if len(new) < len(page):
            break
    return newer


def _is_ours(row: Job, payload: Mapping[str, Any]) -> bool:
    """Whether only this call can have created the job: schedules and batches create jobs, too."""
    same_parameters = "parameters" not in row.raw or (row.parameters or None) == (payload.get("parameters") or None)
    return row.url == payload["url"] and row.schedule_id is None and row.batch_id is None and same_parameters
