"""Accepts held jobs by hand: typed, keyed and compared from their raw rows in the lake, without the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.times import now
from meter_pipeline.sync.items.results import paused_collection
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.job import CompletedJob, read_held_job
from meter_pipeline.sync.loading.loader import StrategyLoader
from meter_pipeline.sync.loading.state import LoadContext, open_context
from meter_pipeline.sync.report import StrategyReport


class ReleaseError(MeterPipelineError):
    """A job cannot be released; the message is one line with the reason."""


def release(
    ledger: Ledger, lake: Lake, job_ids: Sequence[str], config: Config | None = None, limits: Limits = Limits()
) -> list[StrategyReport]:
    """Accepts held jobs; the ledger keeps why they were held, and when they were released.

    Args:
        ledger: The ledger.
        lake: The lake.
        job_ids: The jobs; either all jobs of a strategy are released, or none.
        config: The contents of `meter.yaml`.
        limits: How much is kept in memory.

    Returns:
        A report for each strategy.

    Raises:
        ReleaseError: A job is not held, cannot be parsed, or its strategy is being loaded by another process.
        StoreError: The ledger or the lake cannot be used.
    """
    reports = []
    rows = _find_held(ledger, job_ids)
    for strategy_id, group in groupby(rows, key=lambda row: row.strategy_id):
        claim = _claim_strategy(ledger, strategy_id)
        try:
            context = open_context(lake, ledger, strategy_id, config or Config(), limits)
            # Read again: what was committed before the state that this is built on would not be noticed.
            reports.append(_release_jobs(context, claim, _find_held(ledger, [row.job_id for row in group])))
        finally:
            claim.release()
    return reports


def _find_held(ledger: Ledger, job_ids: Sequence[str]) -> list[JobRow]:
    """The rows of held jobs, by strategy."""
    rows = {row.job_id: row for row in ledger.jobs(ids=list(job_ids))}
    for job_id in job_ids:
        if job_id not in rows:
            raise ReleaseError(f"no job {job_id}: see `meter-pipeline status`")
        if rows[job_id].state != "held":
            raise ReleaseError(f"job {job_id} is {rows[job_id].state}: only held jobs can be released")
    return list(rows.values())


def _claim_strategy(ledger: Ledger, strategy_id: str) -> Claim:
    strategy = ledger.strategy(strategy_id)
    if strategy is None:
        raise ReleaseError(f"the strategy {strategy_id} is not known: run `meter-pipeline sync`")
    taken, held = ledger.claims.try_claims([strategy.slug])
    if held:
        holder = held[strategy.slug].describe()
        raise ReleaseError(f"{strategy.slug} is being loaded by {holder}: try again when that has ended")
    return taken[strategy.slug]


def _release_jobs(context: LoadContext, claim: Claim, rows: Sequence[JobRow]) -> StrategyReport:
    """Accepts held jobs of one strategy, whose claim is held."""
    is_first = not context.ledger.with_accepted([context.strategy_id])
    loader = StrategyLoader(context, claim, is_first=is_first)
    released_at = now()
    jobs = [_read_job(context, loader, replace(row, released_at=released_at)) for row in rows]
    jobs.sort(key=lambda job: job.place)
    loader.accept(jobs)
    return loader.report


def _read_job(context: LoadContext, loader: StrategyLoader, row: JobRow) -> CompletedJob:
    with paused_collection():
        job = read_held_job(row, context.draft, loader.texts, large_bytes=context.limits.large_bytes)
    if job.problem is not None:
        raise ReleaseError(f"job {row.job_id} cannot be released: {job.problem}")
    return job
