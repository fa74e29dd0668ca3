"""Checks of a strategy's rows: counts against the API, unique keys, fields that went empty, stable columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.defs.keys import find_slug, make_results_key
from meter_pipeline.defs.rows import read_rows_by_job

if TYPE_CHECKING:
    import pyarrow as pa

    from meter_pipeline.connect import Store
    from meter_pipeline.store.ledger.rows import JobRow, StrategyRow
    from meter_pipeline.sync import StrategyReport

_NAMED = 10
_DESCRIPTIONS = {
    "rows_match_api": "Each accepted job has as many rows and rejected items as the API counted items.",
    "no_items_rejected": "Every item of the latest job could be loaded. Those that could not are in `rejected_items`.",
    "keys_are_unique": "No two items of the latest job share a key.",
    "no_field_went_empty": "No field that had values in the previous job is empty in every item of the latest job.",
    "columns_are_stable": "No column is new or has widened since the last run.",
}


def make_specs(keys: Iterable[dg.AssetKey]) -> list[dg.AssetCheckSpec]:
    """Returns these checks for each results asset."""
    return [
        dg.AssetCheckSpec(name, asset=key, description=description)
        for key in keys
        for name, description in _DESCRIPTIONS.items()
    ]


@dataclass(frozen=True)
class _Outcome:
    passed: bool
    description: str
    metadata: dict[str, Any]


def evaluate(
    selected: Iterable[dg.AssetCheckKey],
    store: Store,
    strategies: dict[str, StrategyRow],
    reports: dict[str, StrategyReport],
) -> Iterator[dg.AssetCheckResult]:
    """Evaluates the selected checks. All are warnings: the rows are as Meter scraped them.

    Args:
        selected: The checks to evaluate; those of other modules are ignored.
        store: Ledger and lake after the sync.
        strategies: By slug.
        reports: The sync's reports by slug; without one, no column counts as new or widened.
    """
    wanted: dict[str, list[str]] = {}
    for check in sorted(selected, key=lambda key: (key.asset_key, key.name)):
        slug = find_slug(check.asset_key)
        if check.name in _DESCRIPTIONS and slug in strategies:
            wanted.setdefault(str(slug), []).append(check.name)
    for slug, names in wanted.items():
        outcomes = _evaluate_all(store, strategies[slug], reports.get(slug))
        for name in names:
            yield dg.AssetCheckResult(
                passed=outcomes[name].passed,
                asset_key=make_results_key(slug),
                check_name=name,
                severity=dg.AssetCheckSeverity.WARN,
                description=outcomes[name].description,
                metadata=outcomes[name].metadata,
            )


def _evaluate_all(store: Store, strategy: StrategyRow, report: StrategyReport | None) -> dict[str, _Outcome]:
    jobs = list(store.ledger.jobs(strategy.strategy_id, ("accepted",)))
    latest = jobs[-1] if jobs else None
    previous = next((job for job in reversed(jobs[:-1]) if latest and job.target == latest.target), None)
    compared = {job.job_id: job.time for job in (latest, previous) if job}
    tables = read_rows_by_job(store, strategy.slug, compared.items())
    rows, previous_rows = (tables.get(job.job_id) if job else None for job in (latest, previous))
    return {
        "rows_match_api": _check_counts(jobs),
        "no_items_rejected": _check_rejected(latest),
        "keys_are_unique": _check_keys(rows),
        "no_field_went_empty": _check_empty(rows, previous_rows),
        "columns_are_stable": _check_columns(report),
    }


def _check_counts(jobs: Iterable[JobRow]) -> _Outcome:
    # The API may count a wrapped or single object as one item.
    off = [
        (job, received)
        for job in jobs
        if job.items is not None
        and job.item_count not in (None, 1)
        and (received := job.items + (job.rejected or 0)) != job.item_count
    ]
    named = ", ".join(f"{job.job_id} ({received} of {job.item_count})" for job, received in off[:_NAMED])
    return _Outcome(
        not off, f"other counts than the API's: {named}" if off else "all counts equal the API's", {"jobs": len(off)}
    )


def _check_rejected(latest: JobRow | None) -> _Outcome:
    rejected = 0 if latest is None else latest.rejected or 0
    if latest is None or not rejected:
        return _Outcome(True, "no item was rejected", {"rejected": 0})
    received = (latest.items or 0) + rejected
    return _Outcome(
        False,
        f"{rejected:,} of {received:,} items of {latest.job_id} are in meter.rejected_items: {latest.rejection}",
        {"rejected": rejected},
    )


def _check_keys(rows: pa.Table | None) -> _Outcome:
    if rows is None:
        return _Outcome(True, "the latest job has no items", {"items": 0})
    keys = rows["_meter_item_key"].to_pylist()
    repeated = len(keys) - len(set(keys))
    return _Outcome(
        not repeated,
        f"{repeated} of {len(keys)} items repeat another item's key",
        {"items": len(keys), "shared": repeated},
    )


def _check_empty(rows: pa.Table | None, previous_rows: pa.Table | None) -> _Outcome:
    if rows is None:
        return _Outcome(True, "the latest job has no items", {})
    fields = [name for name in rows.column_names if not name.startswith("_meter_")]
    rates = {name: round(rows[name].null_count / rows.num_rows, 4) for name in fields}
    gone = [
        name
        for name in fields
        if previous_rows is not None
        and rates[name] == 1
        and name in previous_rows.column_names
        and previous_rows[name].null_count < previous_rows.num_rows
    ]
    facts = {f"null rate of {name}": rate for name, rate in list(rates.items())[:_NAMED]}
    return _Outcome(not gone, f"empty now: {', '.join(gone[:_NAMED])}" if gone else "no field went empty", facts)


def _check_columns(report: StrategyReport | None) -> _Outcome:
    new, widened = (report.new_columns, report.widened) if report else ((), ())
    findings = [f"new: {', '.join(new)}"] if new else []
    findings += [f"widened: {', '.join(widened)}"] if widened else []
    facts = {"new columns": len(new), "widened columns": len(widened)}
    return _Outcome(not findings, "; ".join(findings) or "no column is new or has widened", facts)
