"""Judges the jobs of a batch in order of time: each is profiled, and held, flagged or accepted by what precedes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from meter_pipeline.api import Job
from meter_pipeline.config.audit_rules import NO_AUDIT_CONFIG
from meter_pipeline.store.ledger.ledger import job_values
from meter_pipeline.store.ledger.rows import FindingRow
from meter_pipeline.sync.audit.baseline import PastJob
from meter_pipeline.sync.audit.findings import ACCEPTED, HELD, Verdict
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.audit.profiler import PieceProfiler
from meter_pipeline.sync.audit.verdict import judge
from meter_pipeline.sync.items.raw import NO_TIME, time_of
from meter_pipeline.sync.loading.fetch import Fetched
from meter_pipeline.sync.loading.history import History, Place
from meter_pipeline.sync.loading.job import CompletedJob
from meter_pipeline.sync.loading.state import ItemMemory, LoadContext


@dataclass(frozen=True)
class _Seat:
    """Where a job is in the history: its target, and its time and id."""

    target_id: str
    place: Place

    @classmethod
    def of(cls, job: Job) -> _Seat:
        return cls(job_values(job)["target_id"], (time_of(job), job.job_id))


class Auditor:
    """Judges the jobs of one load.

    Args:
        context: The load.
    """

    def __init__(self, context: LoadContext) -> None:
        section = context.config
        self._config = NO_AUDIT_CONFIG if section is None else section.audit
        self._context = context
        self._history = History(context)

    def begin(self, batch: Sequence[Fetched]) -> list[Fetched]:
        """The completed jobs of a batch in the order in which they are to be judged."""
        seats = [(_Seat.of(fetched.body.job), fetched) for fetched in batch if fetched.body is not None]
        seats.sort(key=lambda seated: seated[0].place)
        spans: dict[str, tuple[Place, Place]] = {}
        for seat, _ in seats:
            first, _ = spans.get(seat.target_id, (seat.place, seat.place))
            spans[seat.target_id] = first, seat.place
        self._history.prepare(spans, {fetched.row.job_id for _, fetched in seats if fetched.row.loaded})
        return [fetched for _, fetched in seats]

    def profiler(self, job: Job) -> PieceProfiler:
        """Makes the profile of a job that is read piece by piece."""
        return PieceProfiler(time_of(job), self._last_accepted(_Seat.of(job)))

    def judge(self, job: CompletedJob, memory: ItemMemory) -> CompletedJob:
        """The job with its profile and the verdict; as it was if it cannot be judged."""
        if job.problem is not None or job.time == NO_TIME:
            return job
        seat = _Seat.of(job.job)
        past = self._history.before(seat.target_id, seat.place)
        profile = job.profile
        if profile is None:
            assert job.items is not None
            profile = memory.profiler.profile(job.items, job.time, _last_accepted(past))
        version = self._history.version_at(job.time)
        others = _Others(self._history, seat)
        verdict = judge(profile, past, config=self._config, others=others, version=version)
        judged = replace(job, profile=profile, verdict=verdict, reason=job.reason or verdict.reason)
        outcome = verdict.outcome if judged.reason is None else HELD
        is_released = judged.reason is not None and judged.accepted
        self._history.add(seat.target_id, seat.place, PastJob(profile, outcome, verdict.findings, is_released, version))
        return judged

    def settle(self) -> None:
        """Notes that the judged jobs were committed."""
        self._history.settle()

    def _last_accepted(self, seat: _Seat) -> JobProfile | None:
        return _last_accepted(self._history.before(seat.target_id, seat.place))


class _Others(Iterable[JobProfile]):
    """The profiles of the strategy's other targets, read when they are needed."""

    def __init__(self, history: History, seat: _Seat) -> None:
        self._history, self._seat = history, seat

    def __iter__(self) -> Iterator[JobProfile]:
        return self._history.others(self._seat.target_id, self._seat.place)


def _last_accepted(past: Sequence[PastJob]) -> JobProfile | None:
    return next((job.profile for job in reversed(past) if job.is_accepted), None)


def describe(job: CompletedJob) -> str | None:
    """The verdict as the ledger keeps it: accepted, flagged, held or learning (n of m); None without a verdict."""
    if job.reason is not None:
        return HELD
    if job.verdict is None:
        return None
    if job.verdict.outcome == ACCEPTED and job.verdict.learning is not None:
        known, needed = job.verdict.learning
        return f"learning ({known} of {needed})"
    return job.verdict.outcome


def finding_rows(job: CompletedJob, strategy_id: str) -> list[FindingRow]:
    """The findings about a job as the ledger keeps them."""
    verdict: Verdict | None = job.verdict
    return [
        FindingRow(
            job.job.job_id,
            position,
            strategy_id,
            finding.test,
            finding.field,
            finding.low,
            finding.high,
            finding.seen,
            json.dumps(finding.samples, ensure_ascii=False),
            finding.outcome,
            finding.message,
        )
        for position, finding in enumerate(() if verdict is None else verdict.findings)
    ]
