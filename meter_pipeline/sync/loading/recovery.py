"""Puts right what a killed load, or a deleted file, has left of a strategy; runs before the first write of a load.

The ledger marks a strategy as dirty while its files are written. One that is still dirty at the start of a load was
being written when the process was killed.
"""

from __future__ import annotations

from dataclasses import replace

from meter_pipeline.store.times import now
from meter_pipeline.sync.changes.feed import Feed
from meter_pipeline.sync.items.results import alike, results_schema, rewrite
from meter_pipeline.sync.loading.rebuild import rebuild_rows
from meter_pipeline.sync.loading.state import LoadContext, StrategyState
from meter_pipeline.sync.loading.updates import JobUpdate


def recover(context: LoadContext, state: StrategyState) -> tuple[StrategyState, bool]:
    """Brings the strategy's files in line with the ledger, and its rows in line with `meter.yaml`.

    Returns:
        The state to load with, and whether rows were rebuilt under other item rules.
    """
    is_dirty = context.strategy.dirty
    if context.may_have_rows and _give_up_lost_jobs(context):
        is_dirty = True
        state = replace(state, is_first=has_no_accepted_job(context))
    wanted = state.rules.wanted(context.config, now())
    is_outdated = state.rules.pending or not state.rules.rows_alike(wanted)
    state = replace(state, rules=replace(wanted, pending=False))
    if is_outdated and not state.is_first:
        if is_dirty:
            context.lake.sweep(context.slug)
        limits = context.limits
        fields = rebuild_rows(
            context.lake, context.ledger, context.strategy, state.rules, state.fields, large_bytes=limits.large_bytes
        )
        return replace(state, fields=fields), True
    return (recover_files(context, state) if is_dirty else state), False


def recover_files(context: LoadContext, state: StrategyState) -> StrategyState:
    """Removes half-written files, and makes typed rows and changes what the ledger says."""
    lake, slug = context.lake, context.slug
    lake.sweep(slug)
    state = replace(state, fields=state.rules.floor(state.fields))
    if state.is_first:
        # Nothing was accepted: whatever is there was never committed.
        lake.drop("results", slug)
        lake.drop("changes", slug)
    else:
        _mend_results(context, state)
        Feed(lake, context.ledger, context.strategy, context.limits.large_bytes).rebuild(state.rules.identity)
    return state


def has_no_accepted_job(context: LoadContext) -> bool:
    """Whether the ledger has no accepted job of the strategy."""
    return not context.ledger.with_accepted([context.strategy_id])


def _give_up_lost_jobs(context: LoadContext) -> bool:
    """Marks jobs whose raw rows were deleted with a damaged file as not loaded; returns whether there were any."""
    jobs = context.ledger.jobs(context.strategy_id, ("accepted", "held"))
    loaded = [row for row in jobs if row.items]
    stored = context.lake.job_ids("raw", context.slug) if loaded else set()
    lost = [JobUpdate(row.job_id, "known", reason=None, loaded_at=None) for row in loaded if row.job_id not in stored]
    if lost:
        context.ledger.commit(context.strategy_id, [update.as_row() for update in lost], dirty=True)
    return bool(lost)


def _mend_results(context: LoadContext, state: StrategyState) -> None:
    """Rewrites typed rows in columns that the ledger does not know, and removes those of jobs that are not accepted."""
    lake, slug = context.lake, context.slug
    schema = results_schema(state.fields)
    accepted = context.ledger.accepted(context.strategy_id)
    if not all(alike(found, schema) for found in lake.schemas("results", slug)):
        rewrite(lake, slug, state.fields, state.rules.identity, accepted)
    elif accepted and (strays := lake.job_ids("results", slug) - accepted):
        lake.replace("results", slug, schema.empty_table(), strays, thorough=True)
