"""Checks of a strategy's results that look at the rows: counts against the API, keys, empty fields, columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.defs.keys import results_key, slug_of
from meter_pipeline.defs.rows import rows_by_job

if TYPE_CHECKING:
    import pyarrow as pa

    from meter_pipeline.connect import Store
    from meter_pipeline.store.ledger.rows import JobRow, StrategyRow
    from meter_pipeline.sync import StrategyReport

_NAMED = 10
_ABOUT = {
    "rows_match_api": "Each accepted job has as many rows as the API counted items.",
    "keys_are_unique": "No two items of the latest job share a key.",
    "no_field_went_empty": "No field that had values in the job before is empty throughout the latest job.",
    "columns_are_stable": "No column is new or has widened since the last run.",
}


def specs(keys: Iterable[dg.AssetKey]) -> list[dg.AssetCheckSpec]:
    """The checks of each results asset."""
    return [
        dg.AssetCheckSpec(name, asset=key, description=description)
        for key in keys
        for name, description in _ABOUT.items()
    ]


@dataclass(frozen=True)
class _Outcome:
    passed: bool
    description: str
    metadata: dict[str, Any]


def results(
    selected: Iterable[dg.AssetCheckKey],
    store: Store,
    strategies: dict[str, StrategyRow],
    reports: dict[str, StrategyReport],
) -> Iterator[dg.AssetCheckResult]:
    """Evaluates the selected checks; all are warnings, as the rows are what Meter scraped.

    Args:
        selected: The checks asked for, those of other rules among them.
        store: Ledger and lake after the sync.
        strategies: By slug.
        reports: What the sync did, by slug; without one, columns are neither new nor widened.
    """
    wanted: dict[str, list[str]] = {}
    for check in sorted(selected, key=lambda key: (key.asset_key, key.name)):
        slug = slug_of(check.asset_key)
        if check.name in _ABOUT and slug in strategies:
            wanted.setdefault(str(slug), []).append(check.name)
    for slug, names in wanted.items():
        outcomes = _outcomes(store, strategies[slug], reports.get(slug))
        for name in names:
            yield dg.AssetCheckResult(
                passed=outcomes[name].passed,
                asset_key=results_key(slug),
                check_name=name,
                severity=dg.AssetCheckSeverity.WARN,
                description=outcomes[name].description,
                metadata=outcomes[name].metadata,
            )


def _outcomes(store: Store, strategy: StrategyRow, report: StrategyReport | None) -> dict[str, _Outcome]:
    jobs = list(store.ledger.jobs(strategy.strategy_id, ("accepted",)))
    latest = jobs[-1] if jobs else None
    before = next((job for job in reversed(jobs[:-1]) if latest and job.target == latest.target), None)
    compared = {job.job_id: job.time for job in (latest, before) if job}
    tables = rows_by_job(store, strategy.slug, compared.items())
    rows, old = (tables.get(job.job_id) if job else None for job in (latest, before))
    return {
        "rows_match_api": _counts(jobs),
        "keys_are_unique": _keys(rows),
        "no_field_went_empty": _empty(rows, old),
        "columns_are_stable": _columns(report),
    }


def _counts(jobs: Iterable[JobRow]) -> _Outcome:
    # The API may count a wrapped or single object as one item.
    off = [job for job in jobs if job.item_count not in (None, 1) and job.items not in (None, job.item_count)]
    named = ", ".join(f"{job.job_id} ({job.items} of {job.item_count})" for job in off[:_NAMED])
    return _Outcome(not off, f"other counts: {named}" if off else "all counts are the API's", {"jobs": len(off)})


def _keys(rows: pa.Table | None) -> _Outcome:
    if rows is None:
        return _Outcome(True, "the latest job has no items", {"items": 0})
    keys = rows["_meter_item_key"].to_pylist()
    twice = len(keys) - len(set(keys))
    return _Outcome(not twice, f"{twice} of {len(keys)} items share a key", {"items": len(keys), "shared": twice})


def _empty(rows: pa.Table | None, old: pa.Table | None) -> _Outcome:
    if rows is None:
        return _Outcome(True, "the latest job has no items", {})
    fields = [name for name in rows.column_names if not name.startswith("_meter_")]
    rates = {name: round(rows[name].null_count / rows.num_rows, 4) for name in fields}
    gone = [
        name
        for name in fields
        if old is not None and rates[name] == 1 and name in old.column_names and old[name].null_count < old.num_rows
    ]
    facts = {f"null rate of {name}": rate for name, rate in list(rates.items())[:_NAMED]}
    return _Outcome(not gone, f"empty now: {', '.join(gone[:_NAMED])}" if gone else "no field went empty", facts)


def _columns(report: StrategyReport | None) -> _Outcome:
    new, widened = (report.new_columns, report.widened) if report else ((), ())
    told = [f"new: {', '.join(new)}"] if new else []
    told += [f"widened: {', '.join(widened)}"] if widened else []
    facts = {"new columns": len(new), "widened columns": len(widened)}
    return _Outcome(not told, "; ".join(told) or "no column is new or has widened", facts)
