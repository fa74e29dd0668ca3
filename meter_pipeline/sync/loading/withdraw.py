"""Holds or drops jobs by hand: results and feed become as if the jobs had never been accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.lake.tables import RECEIVED
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import FindingRow, JobRow, times_of
from meter_pipeline.store.times import now
from meter_pipeline.sync.audit.findings import HELD
from meter_pipeline.sync.containment import refusal_explained
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.decisions import Decision, decide
from meter_pipeline.sync.loading.exchange import exchange_jobs
from meter_pipeline.sync.loading.job import BY_HAND
from meter_pipeline.sync.loading.state import LoadContext, read_state
from meter_pipeline.sync.loading.updates import JobUpdate

HOLD = Decision("held by hand", ("accepted",))
DROP = Decision("dropped", ("accepted", "held", "failed", "unreadable"))
DROPPED = "dropped by hand"


@dataclass(frozen=True)
class Withdrawal:
    """Jobs of one strategy that were held or dropped by hand.

    Attributes:
        slug: The strategy.
        jobs: How many jobs.
        items: Items that left the results.
        is_rewritten: Whether the rows of other jobs were made again, since columns were left out or are narrower.
    """

    slug: str
    jobs: int
    items: int
    is_rewritten: bool


def hold(
    ledger: Ledger,
    lake: Lake,
    job_ids: Sequence[str],
    reason: str | None = None,
    config: Config | None = None,
    limits: Limits = Limits(),
) -> list[Withdrawal]:
    """Holds accepted jobs: they leave results and feed, and stay in raw; `release` takes it back.

    Args:
        ledger: The ledger.
        lake: The lake.
        job_ids: The jobs; either all jobs of a strategy are held, or none.
        reason: Why, for whoever sees the held jobs.
        config: The contents of `meter.yaml`.
        limits: How much is kept in memory.

    Returns:
        What was held, strategy by strategy.

    Raises:
        DecisionError: A job is not accepted, or its strategy is being loaded by another process.
        StoreError: The ledger or the lake cannot be used.
    """
    apply = partial(_withdraw, state="held", reason=_extend(BY_HAND, reason))
    return decide(ledger, lake, job_ids, HOLD, apply, config, limits)


def drop(
    ledger: Ledger,
    lake: Lake,
    job_ids: Sequence[str],
    reason: str | None = None,
    config: Config | None = None,
    limits: Limits = Limits(),
) -> list[Withdrawal]:
    """Throws jobs away: they leave results, feed and raw, and no sync loads them again unless a user names them.

    Args:
        ledger: The ledger, which keeps the job and the reason.
        lake: The lake.
        job_ids: The jobs; either all jobs of a strategy are dropped, or none.
        reason: Why, for whoever sees the dropped jobs.
        config: The contents of `meter.yaml`.
        limits: How much is kept in memory.

    Returns:
        What was dropped, strategy by strategy.

    Raises:
        DecisionError: A job waits to be loaded or is dropped already, or its strategy is being loaded.
        StoreError: The ledger or the lake cannot be used.
    """
    apply = partial(_withdraw, state="dropped", reason=_extend(DROPPED, reason))
    return decide(ledger, lake, job_ids, DROP, apply, config, limits)


def _extend(reason: str, user_reason: str | None) -> str:
    """A reason in one line, with what the user adds to it."""
    return ": ".join([reason, *filter(None, [" ".join((user_reason or "").split())])])


def _withdraw(context: LoadContext, claim: Claim, rows: Sequence[JobRow], *, state: str, reason: str) -> Withdrawal:
    """Takes jobs of one strategy out of its rows, in one commit."""
    accepted = [row for row in rows if row.state == "accepted"]
    before = read_state(context)
    draft = context.draft
    try:
        exchange = exchange_jobs(context, before, accepted) if accepted else None
        if state == "dropped":
            for table in RECEIVED:
                draft.remove(table, times_of(row for row in rows if row.loaded))
        others = {} if exchange is None else exchange.updates_of_others()
        updates = [*(_update_of(row, state, reason) for row in rows), *others.values()]
        draft.merge()
        jobs = [update.as_row() for update in updates]
        # What a dropped job was like, or was found to be, is of no use any more.
        findings: dict[str, list[FindingRow]] = {row.job_id: [] for row in rows if state == "dropped"}
        after = before if exchange is None else exchange.typed.state
        parts, identity = draft.change(), after.rules.dump()
        values = after.readings.dump()
        commit = Commit(context.strategy_id, after.version, jobs, parts, after.fields, identity, findings, values)
        with refusal_explained(f"{context.slug}: the jobs stay as they were", "try again"):
            context.ledger.commit(commit)
    except BaseException:
        draft.discard()
        raise
    draft.settle()
    has_others = bool(context.ledger.with_accepted([context.strategy_id]))
    is_rewritten = has_others and exchange is not None and exchange.is_rewritten
    return Withdrawal(context.slug, len(rows), sum(row.items or 0 for row in accepted), is_rewritten)


def _update_of(row: JobRow, state: str, reason: str) -> JobUpdate:
    update = JobUpdate(row.job_id, state, reason=reason, duplicates=None, changes=None, released_at=None, retry_at=None)
    if state == "held":
        return replace(update, held_at=now(), audit=HELD)
    return replace(
        update, items=None, loaded_at=None, attempts=0, held_at=None, audit=None, rejected=None, rejection=None
    )
