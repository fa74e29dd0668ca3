"""Accepts held jobs by hand: typed, keyed and compared from their raw rows in the lake, without the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.findings import read_findings
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.times import now
from meter_pipeline.sync.items.results import paused_collection
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.decisions import Decision, DecisionError, decide, find_jobs
from meter_pipeline.sync.loading.job import CompletedJob, read_held_job
from meter_pipeline.sync.loading.likeness import is_like
from meter_pipeline.sync.loading.loader import StrategyLoader
from meter_pipeline.sync.loading.state import LoadContext
from meter_pipeline.sync.report import StrategyReport

RELEASE = Decision("released", ("held",))


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
        DecisionError: A job is not held, cannot be parsed, or its strategy is being loaded by another process.
        StoreError: The ledger or the lake cannot be used.
    """
    return decide(ledger, lake, job_ids, RELEASE, _release_jobs, config, limits)


def find_alike(ledger: Ledger, job_id: str) -> list[str]:
    """Ids of the strategy's held jobs that are held for what this one is held for, this one included.

    Raises:
        DecisionError: The job is not held.
    """
    (job,) = find_jobs(ledger, [job_id], RELEASE)
    held = list(ledger.jobs(job.strategy_id, ("held",)))
    findings = read_findings(ledger, [other.job_id for other in held])
    return [other.job_id for other in held if is_like(job, other, findings)]


def _release_jobs(context: LoadContext, claim: Claim, rows: Sequence[JobRow]) -> StrategyReport:
    """Accepts held jobs of one strategy, whose claim is held."""
    loader = StrategyLoader(context, claim)
    released_at = now()
    jobs = [_read_job(context, loader, replace(row, released_at=released_at, held_at=None)) for row in rows]
    jobs.sort(key=lambda job: job.place)
    loader.accept(jobs)
    return loader.report


def _read_job(context: LoadContext, loader: StrategyLoader, row: JobRow) -> CompletedJob:
    with paused_collection():
        job = read_held_job(row, context.draft, loader.texts, large_bytes=context.limits.large_bytes)
    if job.problem is not None:
        # Loaded by an older version, which did not set such items apart.
        raise DecisionError(
            f"job {row.job_id} cannot be released: {job.problem}; "
            f"`meter-pipeline sync --job {row.job_id} --again` loads its other items"
        )
    return job
