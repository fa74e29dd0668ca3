"""Gives up rows whose file was damaged or deleted, when their jobs are loaded again."""

from __future__ import annotations

from dataclasses import replace

from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.sync.loading.state import LoadContext, StrategyState
from meter_pipeline.sync.loading.updates import JobUpdate


def give_up_damaged(context: LoadContext, state: StrategyState) -> StrategyState:
    """Leaves out damaged files: jobs whose raw rows are gone wait to be loaded, and all else is derived again.

    Returns:
        The state to go on with.
    """
    draft, ledger = context.draft, context.ledger
    damaged = draft.leave_out_damaged()
    if not damaged:
        return state
    updates = []
    if any(part.table == "raw" for part in damaged):
        stored = draft.job_ids("raw")
        loaded = (row for row in ledger.jobs(context.strategy_id, ("accepted", "held")) if row.items)
        updates = [
            JobUpdate(row.job_id, "known", reason=None, changes=None, loaded_at=None)
            for row in loaded
            if row.job_id not in stored
        ]
    # Of what was derived nothing is kept: rows of lost jobs must go, and the rest is made again from raw.
    draft.drop("results")
    draft.drop("changes")
    rows = [update.as_row() for update in updates]
    version = ledger.commit(Commit(context.strategy_id, state.version, rows, draft.change()))
    draft.settle()
    is_first = not ledger.with_accepted([context.strategy_id])
    return replace(state, version=version, is_first=is_first, is_outdated=not is_first)
