"""SQL of the change feed in the warehouse."""

from __future__ import annotations

from meter_pipeline.store.warehouse import targets


def item_changes(rows: str) -> str:
    """The query of `meter.item_changes`.

    Args:
        rows: A query of the lake's `changes`, with `strategy`.
    """
    # Amounts in several currencies are no two states of one number; nothing costs nothing in each of them.
    return f"""
    SELECT
        strategy, job_id, previous_job_id, schedule_id, {targets.SELECT} AS target, url, parameters, item_key, kind,
        field, old_value, new_value, observed_at, old_number, new_number, old_currency, new_currency,
        CASE WHEN old_currency IS NOT DISTINCT FROM new_currency OR new_number = 0
            THEN new_number / nullif(old_number, 0) - 1 END AS relative_change
    FROM ({rows})
    """  # noqa: S608
