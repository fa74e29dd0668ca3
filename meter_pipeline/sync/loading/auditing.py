"""Judges the jobs of a batch in order of time: each is profiled, and held, flagged or accepted by what precedes it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from meter_pipeline.api import Job
from meter_pipeline.config.audit_rules import NO_AUDIT_CONFIG
from meter_pipeline.store.ledger.findings import Known
from meter_pipeline.store.ledger.ledger import target_of
from meter_pipeline.store.ledger.rows import FindingRow
from meter_pipeline.sync.audit.baseline import PastJob
from meter_pipeline.sync.audit.findings import ACCEPTED, HELD, Verdict
from meter_pipeline.sync.audit.profile import JobProfile
from meter_pipeline.sync.audit.profiler import JobItems, PieceProfiler
from meter_pipeline.sync.audit.verdict import judge, look_ahead
from meter_pipeline.sync.items.raw import NO_TIME, time_of
from meter_pipeline.sync.loading.fetch import Fetched
from meter_pipeline.sync.loading.history import History, Place
from meter_pipeline.sync.loading.job import CompletedJob
from meter_pipeline.sync.loading.state import ItemMemory, LoadContext


class _Seat(NamedTuple):
    """Where a job is in the history: its target, and its time and id."""

    target_id: str
    place: Place

    @classmethod
    def of(cls, job: Job) -> _Seat:
        return cls(target_of(job), (time_of(job), job.job_id))


class Auditor:
    """Judges the jobs of one load.

    Args:
        context: The load.
        known: What is known of the strategy, if nothing was committed since; None to ask the ledger.
    """

    def __init__(self, context: LoadContext, known: Known | None = None) -> None:
        section = context.config
        self._config = NO_AUDIT_CONFIG if section is None else section.audit
        self._context = context
        self._history = History(context, known)

    def judge_all(
        self, batch: Sequence[Fetched], read: Callable[[Fetched], CompletedJob], memory: ItemMemory
    ) -> list[CompletedJob]:
        """Reads and judges the completed jobs of a batch.

        Args:
            batch: The fetched jobs; those without a body are left out.
            read: Reads one; a large one needs `profiler` for that.
            memory: The items that `read` reads into.

        Returns:
            The jobs in order of time, with profiles and verdicts; a job that cannot be judged is as it was read.
        """
        judged: list[CompletedJob] = []
        waiting: list[tuple[_Seat, CompletedJob]] = []
        for seat, fetched in self._seated(batch):
            is_large = fetched.body is not None and fetched.body.size >= self._context.limits.large_bytes
            if is_large:
                # How a large job is read depends on the verdicts on those before it.
                judged += self._judge_waiting(waiting, memory)
                waiting = []
            waiting.append((seat, read(fetched)))
        return judged + self._judge_waiting(waiting, memory)

    def profiler(self, job: Job) -> PieceProfiler:
        """Makes the profile of a job that is read piece by piece."""
        return PieceProfiler(time_of(job), self._last_accepted(_Seat.of(job)))

    def _seated(self, batch: Sequence[Fetched]) -> list[tuple[_Seat, Fetched]]:
        """The completed jobs of a batch in the order in which they are to be judged."""
        seats = [(_Seat.of(fetched.body.job), fetched) for fetched in batch if fetched.body is not None]
        seats.sort(key=lambda seated: seated[0].place)
        spans: dict[str, tuple[Place, Place]] = {}
        for seat, _ in seats:
            first, _ = spans.get(seat.target_id, (seat.place, seat.place))
            spans[seat.target_id] = first, seat.place
        self._history.prepare(spans, {fetched.row.job_id for _, fetched in seats if fetched.row.loaded})
        return seats

    def _judge_waiting(self, waiting: Sequence[tuple[_Seat, CompletedJob]], memory: ItemMemory) -> list[CompletedJob]:
        """Judges jobs that were read; they are profiled together, since that is cheaper."""
        assumed: dict[str, tuple[str, ...]] = {}
        jobs: list[JobItems] = []
        for seat, job in waiting:
            if seat.target_id not in assumed:
                assumed[seat.target_id] = _identity_of(self._last_accepted(seat))
            if job.items is not None and _can_be_judged(job):
                jobs.append(JobItems(seat.target_id, job.items, job.time))
        profiled = memory.profiler.profile_all(jobs, assumed)
        by_target: defaultdict[str, list[JobProfile]] = defaultdict(list)
        for items, made in zip(jobs, profiled, strict=True):
            by_target[items.target_id].append(made)
        look_ahead(by_target.values())
        profiles = iter(profiled)
        for seat, job in waiting:
            if not _can_be_judged(job):
                continue
            past = self._history.before(seat.target_id, seat.place)
            profile = job.profile
            if profile is None:
                assert job.items is not None
                profile, last = next(profiles), _last_accepted(past)
                before, assumed[seat.target_id] = assumed[seat.target_id], profile.identity
                if _identity_of(last) != before:
                    # Not every job before it was accepted.
                    profile = memory.profiler.profile(job.items, job.time, last)
            self._judge(seat, job, profile, past)
        return [job for _, job in waiting]

    def _judge(self, seat: _Seat, job: CompletedJob, profile: JobProfile, past: Sequence[PastJob]) -> None:
        version = self._history.version_at(job.time)
        others = _Others(self._history, seat)
        verdict = judge(profile, past, config=self._config, others=others, version=version)
        job.profile, job.verdict, job.reason = profile, verdict, job.reason or verdict.reason
        outcome = verdict.outcome if job.reason is None else HELD
        is_released = job.reason is not None and job.accepted
        self._history.add(seat.target_id, seat.place, PastJob(profile, outcome, verdict.findings, is_released, version))

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


def _can_be_judged(job: CompletedJob) -> bool:
    return job.problem is None and job.time != NO_TIME


def _identity_of(profile: JobProfile | None) -> tuple[str, ...]:
    return () if profile is None else profile.identity


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
