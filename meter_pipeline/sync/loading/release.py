"""Accepts held jobs by hand: typed, keyed and compared from what the lake has of them, without the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.times import now
from meter_pipeline.sync.items.results import paused_collection
from meter_pipeline.sync.loading.job import read_back
from meter_pipeline.sync.loading.loader import BATCH_BYTES, Load
from meter_pipeline.sync.loading.rebuild import of
from meter_pipeline.sync.report import StrategyReport


class ReleaseError(MeterPipelineError):
    """A job cannot be released; the message is one line with the reason."""


def release(ledger: Ledger, lake: Lake, job_ids: Sequence[str], config: Config | None = None) -> list[StrategyReport]:
    """Takes held jobs among the accepted ones; the ledger keeps why they were held, and when they were released.

    Args:
        ledger: The ledger.
        lake: The lake.
        job_ids: The jobs; all of them are released, or none of a strategy.
        config: What `meter.yaml` says.

    Returns:
        What became of each strategy.

    Raises:
        ReleaseError: A job is not held, cannot be parsed, or is being loaded at this moment.
        StoreError: The ledger or the lake cannot be used.
    """
    rows = {row.job_id: row for row in ledger.jobs(ids=list(job_ids))}
    for job_id in job_ids:
        if job_id not in rows:
            raise ReleaseError(f"no job {job_id}: see `meter-pipeline status`")
        if rows[job_id].state != "held":
            raise ReleaseError(f"job {job_id} is {rows[job_id].state}: only held jobs can be released")
    return [
        _release(ledger, lake, strategy_id, list(group), config or Config())
        for strategy_id, group in groupby(rows.values(), key=lambda row: row.strategy_id)
    ]


def _release(ledger: Ledger, lake: Lake, strategy_id: str, rows: Sequence[JobRow], config: Config) -> StrategyReport:
    strategy = ledger.strategy(strategy_id)
    if strategy is None:
        raise ReleaseError(f"the strategy {strategy_id} is not known: run `meter-pipeline sync`")
    claim = ledger.claims.try_claim(strategy.slug)
    if claim is None:
        raise ReleaseError(f"{strategy.slug} is being loaded at this moment: try again when that has ended")
    try:
        strategy = ledger.strategy(strategy_id) or strategy
        moment = now()
        # Their rows may be there already, from a release that was killed.
        first = not ledger.with_accepted([strategy_id])
        load = Load(lake, ledger, strategy, claim, first=first, again=True, config=of(config, strategy))
        held = []
        for row in rows:
            with paused_collection():
                one = read_back(replace(row, released_at=moment), lake, strategy.slug, load.texts, large=BATCH_BYTES)
            if one.problem is not None:
                raise ReleaseError(f"job {row.job_id} cannot be released: {one.problem}")
            held.append(one)
        held.sort(key=lambda one: one.place)
        ledger.mark_dirty([strategy_id])
        load.accept(held)
        return load.report
    finally:
        claim.release()
