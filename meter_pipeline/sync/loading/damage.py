"""Gives up rows whose file was damaged or deleted, when their jobs are loaded again."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from meter_pipeline.store.lake.tables import RECEIVED
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.rows import JobRow, times_of
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
    lost = _find_lost(context, {part.table for part in damaged})
    for table in RECEIVED:
        draft.remove(table, times_of(lost))
    updates = [JobUpdate(row.job_id, "known", reason=None, changes=None, loaded_at=None) for row in lost]
    # Of what was derived nothing is kept: rows of lost jobs must go, and the rest is made again from raw.
    draft.drop("results")
    draft.drop("changes")
    rows = [update.as_row() for update in updates]
    version = ledger.commit(Commit(context.strategy_id, state.version, rows, draft.change()))
    draft.settle()
    is_first = not ledger.with_accepted([context.strategy_id])
    return replace(state, version=version, is_first=is_first, is_outdated=not is_first)


def _find_lost(context: LoadContext, damaged: Set[str]) -> list[JobRow]:
    """The loaded jobs whose items, or whose rejected items, were in a damaged file of one of these tables."""
    lost: dict[str, JobRow] = {}
    for table, count in (("raw", "items"), ("received", "items"), ("rejected", "rejected")):
        if table in damaged:
            stored = context.draft.job_ids(table)
            loaded = context.ledger.jobs(context.strategy_id, ("accepted", "held"))
            # A wrapper may hold an empty list.
            may_have = (row for row in loaded if getattr(row, count) or table == "received")
            lost |= {row.job_id: row for row in may_have if row.job_id not in stored}
    return list(lost.values())
