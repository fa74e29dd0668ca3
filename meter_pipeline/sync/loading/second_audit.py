"""Audits loaded jobs again from their stored profiles, in order of time, and applies the verdicts if asked to.

Nothing is fetched, and raw is read only for jobs that are then accepted, or that were loaded before profiles were kept.
What a person decided stands: released jobs stay accepted, jobs held by hand stay held. So does a hold that does not
follow from a profile, such as a number of items that differs from the API's.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from meter_pipeline.api import Job
from meter_pipeline.config.audit_rules import NO_AUDIT_CONFIG
from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.findings import read_findings
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import FindingRow, JobRow
from meter_pipeline.store.times import moment
from meter_pipeline.sync.audit.baseline import MOST_JOBS, PastJob
from meter_pipeline.sync.audit.findings import ACCEPTED, HELD
from meter_pipeline.sync.audit.profile import JobProfile, is_current, load
from meter_pipeline.sync.audit.verdict import judge
from meter_pipeline.sync.containment import refusal_explained
from meter_pipeline.sync.items.raw import NO_TIME
from meter_pipeline.sync.items.results import paused_collection
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.auditing import describe, finding_rows
from meter_pipeline.sync.loading.decisions import DecisionError, claim_strategy, open_current
from meter_pipeline.sync.loading.exchange import exchange_jobs
from meter_pipeline.sync.loading.history import MOST_OTHERS, History, Place
from meter_pipeline.sync.loading.job import CompletedJob, read_held_job
from meter_pipeline.sync.loading.likeness import find_holding
from meter_pipeline.sync.loading.state import ItemMemory, LoadContext, open_context, read_state
from meter_pipeline.sync.loading.updates import JobUpdate

# Profiles that are read at a time, of some kilobytes each.
_PROFILES = 500


@dataclass(frozen=True)
class ChangedVerdict:
    """A job whose verdict is another one than before.

    Attributes:
        job_id: The job.
        target: URL of its page; None if it has none.
        completed_at: When it was scraped, ISO 8601.
        items: Number of its items.
        now: The verdict so far: accepted, flagged, held or learning (n of m).
        then: The verdict by its profile.
        reason: The first finding, or why it is held; None if it is accepted without doubt.
    """

    job_id: str
    target: str | None
    completed_at: str
    items: int
    now: str
    then: str
    reason: str | None


@dataclass(frozen=True)
class SecondAudit:
    """The second audit of a strategy's jobs.

    Attributes:
        slug: The strategy.
        jobs: Number of jobs that were judged.
        changes: The jobs whose verdict changes, in order of time.
        restated: Number of jobs that keep their verdict, with other findings than before.
        is_applied: Whether the ledger and the lake have the verdicts.
    """

    slug: str
    jobs: int
    changes: tuple[ChangedVerdict, ...]
    restated: int
    is_applied: bool

    @property
    def held(self) -> int:
        """Number of accepted jobs that are held by the new verdicts."""
        return sum(change.then == HELD for change in self.changes)

    @property
    def accepted(self) -> int:
        """Number of held jobs that are accepted by the new verdicts."""
        return sum(change.now == HELD for change in self.changes)


def audit_again(
    ledger: Ledger,
    lake: Lake,
    strategy_id: str,
    *,
    apply: bool = False,
    config: Config | None = None,
    limits: Limits = Limits(),
) -> SecondAudit:
    """Audits the loaded jobs of a strategy again, in order of time, with the rules that `meter.yaml` has now.

    Args:
        ledger: The ledger.
        lake: The lake.
        strategy_id: The strategy.
        apply: Whether the verdicts are to count: accepted jobs are then held and held ones accepted, in one commit.
        config: The contents of `meter.yaml`.
        limits: How much is kept in memory.

    Raises:
        DecisionError: The verdicts are to be applied, and the strategy is being loaded by another process.
        StoreError: The ledger or the lake cannot be used.
    """
    config = config or Config()
    if not apply:
        context = open_context(lake, ledger, strategy_id, config, limits)
        try:
            return _summarise(context.slug, list(_judge_all(context)), is_applied=False)
        finally:
            context.draft.discard()
    claim = claim_strategy(ledger, strategy_id)
    try:
        context = open_current(lake, ledger, strategy_id, config, limits)
        try:
            judged = list(_judge_all(context))
            _apply(context, judged)
        except BaseException:
            context.draft.discard()
            raise
        return _summarise(context.slug, judged, is_applied=True)
    finally:
        claim.release()


# -- verdicts


@dataclass(frozen=True)
class _Judged:
    """A job with its new verdict, beside what the ledger has of it.

    Attributes:
        job: The job without items; `row` is as the ledger has it.
        found: Its findings.
        stored: Its findings in the ledger.
    """

    job: CompletedJob
    found: Sequence[FindingRow]
    stored: Sequence[FindingRow]

    @property
    def row(self) -> JobRow:
        return self.job.row

    @property
    def is_moved(self) -> bool:
        """Whether it enters or leaves the accepted jobs."""
        return self.job.accepted != (self.row.state == "accepted")

    @property
    def is_restated(self) -> bool:
        """Whether the ledger has another verdict, reason or finding."""
        found = (describe(self.job), self.job.reason, list(self.found))
        return found != (self.row.audit, self.row.reason, list(self.stored))


@dataclass
class _Line:
    """The judged jobs of a target before the next one, as far as verdicts need them."""

    accepted: deque[PastJob] = field(default_factory=lambda: deque(maxlen=MOST_JOBS))
    held: deque[PastJob] = field(default_factory=lambda: deque(maxlen=MOST_JOBS))

    def add(self, past: PastJob) -> None:
        """Adds the next job; what was held before an accepted job is of no use any more."""
        if past.is_accepted:
            self.accepted.append(past)
            self.held.clear()
        else:
            self.held.append(past)


def _judge_all(context: LoadContext) -> Iterator[_Judged]:
    """The loaded jobs of a strategy that have a profile, in order of time, each judged by those before it."""
    config = NO_AUDIT_CONFIG if context.config is None else context.config.audit
    history = History(context)
    lines: defaultdict[str, _Line] = defaultdict(_Line)
    accepted: deque[tuple[str, JobProfile]] = deque(maxlen=MOST_OTHERS)
    for row, data, stored in _read_jobs(context):
        target, time = row.target_id or "", row.completed_at or ""
        profile, line, version = load(data), lines[target], history.version_at(time)
        past = [*line.accepted, *line.held]
        verdict = judge(profile, past, config=config, others=_others(accepted, target), version=version)
        reason = row.reason if _is_lasting(row, stored) else verdict.reason
        record = Job(job_id=row.job_id, strategy_id=row.strategy_id, completed_at=moment(row.completed_at))
        job = CompletedJob(row, record, row.bytes or 0, row.items or 0, (), reason, None, [], None, verdict=verdict)
        outcome = verdict.outcome if reason is None else HELD
        is_released = reason is not None and job.accepted
        judged = PastJob(profile, outcome, verdict.findings, is_released, version)
        line.add(judged)
        if judged.is_accepted:
            accepted.append((target, profile))
        yield _Judged(job, finding_rows(job, context.strategy_id), stored)


def _others(accepted: Iterable[tuple[str, JobProfile]], target: str) -> Iterator[JobProfile]:
    """The profile of the last accepted job of each other target, in order of time."""
    latest: dict[str, JobProfile] = {}
    for other, profile in accepted:
        if other != target:
            latest.pop(other, None)
            latest[other] = profile
    yield from latest.values()


def _is_lasting(row: JobRow, stored: Sequence[FindingRow]) -> bool:
    """Whether a reason to hold a job is not the audit's by its profile: a person gave it, or its body did."""
    return row.reason is not None and not find_holding(row, stored)


def _read_jobs(context: LoadContext) -> Iterator[tuple[JobRow, bytes, list[FindingRow]]]:
    """The loaded jobs of a strategy in order of time, with their profiles and what was found about them."""
    loaded = context.ledger.jobs(context.strategy_id, ("accepted", "held"))
    rows = iter(sorted((row for row in loaded if row.completed_at not in (None, NO_TIME)), key=_place_of))
    while some := list(islice(rows, _PROFILES)):
        profiles = _read_profiles(context, some)
        findings = read_findings(context.ledger, [row.job_id for row in some])
        for row in some:
            if row.job_id in profiles:
                yield row, profiles[row.job_id], findings.get(row.job_id, [])


def _place_of(row: JobRow) -> Place:
    return row.completed_at or "", row.job_id


def _read_profiles(context: LoadContext, rows: Sequence[JobRow]) -> dict[str, bytes]:
    """Profiles by job id; jobs that lack one get one from their raw items, which the draft then has.

    These are accepted ones without, and any whose profile is of an earlier form.
    """

    def stored() -> dict[str, bytes]:
        times = {row.job_id: row.completed_at or "" for row in rows}
        read = context.draft.job_rows("profiles", ["job_id", "profile"], times).to_pydict()
        return dict(zip(read["job_id"], read["profile"], strict=True))

    every = stored()
    profiles = {job_id: data for job_id, data in every.items() if is_current(data)}
    spans: dict[str, tuple[Place, Place]] = {}
    for row in rows:
        if row.job_id not in profiles and (row.state == "accepted" or row.job_id in every):
            first, _ = spans.get(row.target_id or "", (_place_of(row), None))
            spans[row.target_id or ""] = first, _place_of(row)
    if not spans:
        return profiles
    History(context).prepare(spans)
    return {job_id: data for job_id, data in stored().items() if is_current(data)}


# -- what follows from them


def _apply(context: LoadContext, judged: Sequence[_Judged]) -> None:
    """Makes the verdicts count, in one commit."""
    state, memory = read_state(context), ItemMemory()
    moved = [own for own in judged if own.is_moved]
    left = [own.row for own in moved if not own.job.accepted]
    entered = {own.row.job_id: _read_items(context, own, memory) for own in moved if own.job.accepted}
    updates = {own.row.job_id: _update_of(own) for own in judged if own.is_moved or own.is_restated}
    if moved:
        exchange = exchange_jobs(context, state, left, list(entered.values()), memory)
        state, duplicates = exchange.typed.state, exchange.typed.duplicates
        for job_id, counted in exchange.updates_of_others().items():
            known = updates.get(job_id)
            updates[job_id] = (
                counted if known is None else replace(known, changes=counted.changes, duplicates=counted.duplicates)
            )
        for job_id in entered:
            updates[job_id] = replace(updates[job_id], duplicates=duplicates.get(job_id))
    context.draft.merge()
    parts = context.draft.change()
    jobs = [update.as_row() for update in updates.values()]
    findings = {own.row.job_id: own.found for own in judged if list(own.found) != list(own.stored)}
    if jobs or parts or findings:
        rules, values = state.rules.dump(), state.readings.dump()
        commit = Commit(context.strategy_id, state.version, jobs, parts, state.fields, rules, findings, values)
        with refusal_explained(f"{context.slug}: the verdicts stay as they were", "try again"):
            context.ledger.commit(commit)
    context.draft.settle()


def _read_items(context: LoadContext, judged: _Judged, memory: ItemMemory) -> CompletedJob:
    """A held job that is to be accepted, with its items."""
    row, large = judged.row, context.limits.large_bytes
    with paused_collection():
        job = read_held_job(row, context.draft, memory.texts, large_bytes=large)
    if job.problem is not None:
        raise DecisionError(f"job {row.job_id} cannot be accepted: {job.problem}")
    return replace(job, reason=None, verdict=judged.job.verdict)


def _update_of(judged: _Judged) -> JobUpdate:
    job = judged.job
    update = JobUpdate(job.row.job_id, "accepted" if job.accepted else "held", reason=job.reason, audit=describe(job))
    if not judged.is_moved or job.accepted:
        return update
    return replace(update, duplicates=None, changes=None, retry_at=None)


def _summarise(slug: str, judged: Sequence[_Judged], *, is_applied: bool) -> SecondAudit:
    changes = tuple(_change_of(own) for own in judged if _outcome_of(own.row) != _verdict_of(own.job))
    changed = {change.job_id for change in changes}
    restated = sum(own.is_restated and own.row.job_id not in changed for own in judged)
    return SecondAudit(slug, len(judged), changes, restated, is_applied)


def _outcome_of(row: JobRow) -> str:
    """What became of a job: accepted, flagged or held; a job that is still learned from is accepted."""
    if row.state == "held":
        return HELD
    return row.audit if row.audit == "flagged" else ACCEPTED


def _verdict_of(job: CompletedJob) -> str:
    if not job.accepted:
        return HELD
    return ACCEPTED if job.verdict is None or job.reason is not None else job.verdict.outcome


def _change_of(judged: _Judged) -> ChangedVerdict:
    job, row = judged.job, judged.row
    first = judged.found[0].message if judged.found else None
    now = HELD if row.state == "held" else row.audit or "accepted"
    then = describe(job) or "accepted"
    return ChangedVerdict(row.job_id, row.url, row.completed_at or "", row.items or 0, now, then, job.reason or first)
