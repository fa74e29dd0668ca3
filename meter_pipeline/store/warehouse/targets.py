"""SQL of what items belong to: the page of a job, or the list that all pages of its schedule's runs make up."""

from __future__ import annotations

# Conditions and values of rows with `strategy`, and, for the second one, `schedule_id` and `url`.
IS_LIST = (
    "strategy IN (SELECT slug FROM meter.strategies "
    "WHERE json_extract_string(identity, '$.compare') = 'run' AND slug IS NOT NULL)"
)
SELECT = f"CASE WHEN {IS_LIST} THEN coalesce('schedule ' || schedule_id, 'no schedule') ELSE url END"
