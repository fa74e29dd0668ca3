"""Metadata about the change feed: counts that the UI plots, and the latest changes with old and new values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.defs.metadata.columns import list_meter_columns
from meter_pipeline.defs.metadata.entries import Metadata, describe_table, drop_empty, list_rows, shorten
from meter_pipeline.defs.rows import read_job_rows

if TYPE_CHECKING:
    from meter_pipeline.connect import Store
    from meter_pipeline.store.ledger.rows import StrategyRow
    from meter_pipeline.sync import StrategyReport, SyncReport

_LATEST, _CELL, _VALUE = 12, 44, 18
_TITLES = ("title", "name", "headline", "heading")


def describe_changes(store: Store, report: SyncReport | None) -> Metadata:
    """Describes the changes that a sync loaded, as metadata of `meter/item_changes`."""
    reports = _list_reports(report)
    return drop_empty(
        {
            **describe_table("meter.item_changes", uri="lake/changes", columns=list_meter_columns("item_changes")),
            "latest changes": _list_latest(store, reports),
            "items added": sum(strategy.added for strategy in reports),
            "items removed": sum(strategy.removed for strategy in reports),
            "items changed": sum(strategy.changed for strategy in reports),
            "numbers changed": sum(strategy.moved for strategy in reports),
        }
    )


def describe_versions(store: Store, report: SyncReport | None) -> Metadata:
    """Counts the item versions that a sync began and ended, as metadata of `meter/item_versions`."""
    reports = _list_reports(report)
    return drop_empty(
        {
            **describe_table("meter.item_versions", columns=list_meter_columns("item_versions")),
            "versions begun": sum(strategy.added + strategy.changed for strategy in reports),
            "versions ended": sum(strategy.removed + strategy.changed for strategy in reports),
            "items with a repeated key, total": sum(store.ledger.duplicates().values()),
        }
    )


def describe_key(strategy: StrategyRow) -> Metadata:
    """Describes a strategy's item key and the evidence for it, as metadata of its results asset."""
    from meter_pipeline.sync.items.key_findings import find_trouble, spell_key
    from meter_pipeline.sync.items.rules import load

    rules = load(strategy.identity)
    trouble = find_trouble(rules)
    evidence = rules.evidence or {}
    return drop_empty(
        {
            "key": f"{spell_key(rules.key, by_page=rules.by_page)} ({rules.source})",
            "key finding": None if trouble is None else trouble.message,
            "key evidence": _describe_evidence(evidence) if evidence else None,
            "key stability": evidence.get("stability"),
            "ignored fields": ", ".join(rules.ignore) or None,
        }
    )


def describe_noise(store: Store, strategy: StrategyRow) -> Metadata:
    """Names the fields that change in nearly every job for nearly every item, as metadata of the results asset."""
    from meter_pipeline.store.errors import LakeError
    from meter_pipeline.sync.changes.noise import find_candidates, find_noise

    try:
        busy = find_candidates(store.ledger, strategy.strategy_id)
        found = find_noise(store.ledger, store.lake, [strategy], busy).get(strategy.slug)
    except LakeError:
        # Damage is reported where rows are needed; a suggestion is not worth a failed run.
        return {}
    return drop_empty({"noise": None if found is None else found.message})


def _describe_evidence(evidence: Mapping[str, Any]) -> str:
    texts = {
        "coverage": "in {:.0%} of the items",
        "uniqueness": "unique in {:.0%}",
        "stability": "{:.0%} still there in the next job",
    }
    parts = [
        text.format(evidence[name]) for name, text in texts.items() if isinstance(evidence.get(name), (int, float))
    ]
    return f"{', '.join(parts)}; {evidence.get('jobs', 0):,} jobs, {evidence.get('items', 0):,} items"


def _list_reports(report: SyncReport | None) -> list[StrategyReport]:
    return [] if report is None else list(report.strategies.values())


def _list_latest(store: Store, reports: Iterable[StrategyReport]) -> dg.MarkdownMetadataValue | None:
    """Lists the changes in the latest jobs of this sync, a few per strategy."""
    strategies = {row.slug: row for row in store.ledger.strategies()}
    with_jobs = [strategy for strategy in reports if strategy.latest_job_id]
    newest_first = sorted(with_jobs, key=lambda strategy: strategy.latest_completed_at or "")[::-1]
    names = ["item_key", "kind", "field", "old_value", "new_value"]
    by_strategy: list[list[tuple[Any, ...]]] = []
    for report in newest_first[:_LATEST]:
        jobs = {str(report.latest_job_id): str(report.latest_completed_at)}
        changes = store.stored_rows(report.slug).job_rows("changes", names, jobs).to_pylist()
        # Changed fields come first: they have two values to compare.
        changes = sorted(changes, key=lambda row: row["kind"] != "changed")[:_LATEST]
        titles = _read_titles(store, strategies[report.slug], report) if changes else {}
        by_strategy.append([(report.slug, *_describe_change(titles, **row)) for row in changes])
    # One change per strategy, then a second one each: a busy strategy leaves room for the others.
    rows = [row for turn in zip_longest(*by_strategy) for row in turn if row is not None][:_LATEST]
    order = {report.slug: place for place, report in enumerate(newest_first)}
    # Changed fields first here too.
    rows.sort(key=lambda row: (not isinstance(row[-1], tuple), order[row[0]]))
    return list_rows(rows, cell=_CELL) if rows else None


def _describe_change(
    titles: Mapping[str, str], item_key: str, kind: str, field: str | None, old_value: str | None, new_value: str | None
) -> tuple[Any, ...]:
    """Returns the item's title and what happened to it: a word, or a field with its old and new value."""
    if kind == "changed":
        old, new = (shorten(_parse_json(value), _VALUE) or "nothing" for value in (old_value, new_value))
        return titles.get(item_key, item_key), (field or "", f"{old} → {new}")
    return _find_title(old_value or new_value) or item_key, kind


def _read_titles(store: Store, strategy: StrategyRow, report: StrategyReport) -> dict[str, str]:
    """Reads the titles of the latest job's items, by item key; empty if the strategy has no title-like field."""
    title_column = next((column.name for name in _TITLES for column in strategy.columns if column.field == name), None)
    rows = (
        read_job_rows(store, strategy.slug, report.latest_job_id, report.latest_completed_at) if title_column else None
    )
    if rows is None or title_column not in rows.column_names:
        return {}
    pairs = zip(rows["_meter_item_key"].to_pylist(), rows[title_column].to_pylist(), strict=True)
    return {key: title for key, title in pairs if isinstance(title, str)}


def _parse_json(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _find_title(item: str | None) -> str | None:
    parsed = _parse_json(item)
    fields = parsed if isinstance(parsed, dict) else {}
    return next((str(fields[name]) for name in _TITLES if isinstance(fields.get(name), str)), None)
