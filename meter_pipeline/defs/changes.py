"""Facts about the change feed for the UI: numbers worth plotting, and the latest changes, old and new side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.defs.columns import meter_columns
from meter_pipeline.defs.metadata import Metadata, brief, entries, present, table
from meter_pipeline.defs.rows import job_rows

if TYPE_CHECKING:
    from meter_pipeline.connect import Store
    from meter_pipeline.store.ledger.rows import StrategyRow
    from meter_pipeline.sync import StrategyReport, SyncReport

_LATEST, _CELL, _VALUE = 12, 44, 18
_TITLES = ("title", "name", "headline", "heading")


def change_facts(store: Store, report: SyncReport | None) -> Metadata:
    """What a sync saw change."""
    done = _done(report)
    return present(
        {
            **table("meter.item_changes", uri="lake/changes", columns=meter_columns("item_changes")),
            "latest changes": _latest(store, done),
            "items added": sum(one.added for one in done),
            "items removed": sum(one.removed for one in done),
            "items changed": sum(one.changed for one in done),
            "numbers moved": sum(one.moved for one in done),
        }
    )


def version_facts(store: Store, report: SyncReport | None) -> Metadata:
    """How many versions of items a sync brought, and ended."""
    done = _done(report)
    return present(
        {
            **table("meter.item_versions", columns=meter_columns("item_versions")),
            "versions begun": sum(one.added + one.changed for one in done),
            "versions ended": sum(one.removed + one.changed for one in done),
            "repeated keys in all": sum(store.ledger.duplicates().values()),
        }
    )


def key_facts(strategy: StrategyRow) -> Metadata:
    """What a strategy's items are told apart by, and what speaks for it."""
    from meter_pipeline.sync.items.rules import load

    chosen = load(strategy.identity)
    evidence = chosen.evidence or {}
    return present(
        {
            "key": f"{', '.join(chosen.key) or 'hash of the item'} ({chosen.source})",
            "key evidence": _evidence(evidence) if evidence else None,
            "key stability": evidence.get("stability"),
            "ignored fields": ", ".join(chosen.ignore) or None,
        }
    )


def _evidence(found: Mapping[str, Any]) -> str:
    said = {
        "coverage": "in {:.0%} of the items",
        "uniqueness": "unique in {:.0%}",
        "stability": "{:.0%} still there in the next job",
    }
    parts = [text.format(found[name]) for name, text in said.items() if isinstance(found.get(name), (int, float))]
    return f"{', '.join(parts)}; {found.get('jobs', 0):,} jobs, {found.get('items', 0):,} items"


def _done(report: SyncReport | None) -> list[StrategyReport]:
    return [] if report is None else list(report.strategies.values())


def _latest(store: Store, done: Iterable[StrategyReport]) -> dg.MarkdownMetadataValue | None:
    """Changes that the latest jobs of this sync show, a few of each strategy."""
    strategies = {row.slug: row for row in store.ledger.strategies()}
    busy = sorted((one for one in done if one.latest_job_id), key=lambda one: one.latest_completed_at or "")[::-1]
    names = ["item_key", "kind", "field", "old_value", "new_value"]
    shown: list[list[tuple[Any, ...]]] = []
    for one in busy[:_LATEST]:
        jobs = {str(one.latest_job_id): str(one.latest_completed_at)}
        found = store.lake.job_rows("changes", one.slug, names, jobs).to_pylist()
        # What changed comes first: it has two values to compare.
        found = sorted(found, key=lambda row: row["kind"] != "changed")[:_LATEST]
        titles = _titles(store, strategies[one.slug], one) if found else {}
        shown.append([(one.slug, *_change(titles, **row)) for row in found])
    # A change of each, then a second of each: a busy strategy leaves room for the others.
    rows = [row for turn in zip_longest(*shown) for row in turn if row is not None][:_LATEST]
    order = {one.slug: place for place, one in enumerate(busy)}
    # What changed first: it has two values to compare.
    rows.sort(key=lambda row: (not isinstance(row[-1], tuple), order[row[0]]))
    return entries(rows, cell=_CELL) if rows else None


def _change(
    titles: Mapping[str, str], item_key: str, kind: str, field: str | None, old_value: str | None, new_value: str | None
) -> tuple[Any, ...]:
    """The item, and what became of it: a word, or a field with its old and new value."""
    if kind == "changed":
        old, new = (brief(_plain(value), _VALUE) or "nothing" for value in (old_value, new_value))
        return titles.get(item_key, item_key), (field or "", f"{old} → {new}")
    return _title(old_value or new_value) or item_key, kind


def _titles(store: Store, strategy: StrategyRow, one: StrategyReport) -> dict[str, str]:
    """What a person would call the items of the latest job, by key."""
    named = next((column.name for name in _TITLES for column in strategy.columns if column.field == name), None)
    rows = job_rows(store, strategy.slug, one.latest_job_id, one.latest_completed_at) if named else None
    if rows is None or named not in rows.column_names:
        return {}
    pairs = zip(rows["_meter_item_key"].to_pylist(), rows[named].to_pylist(), strict=True)
    return {key: title for key, title in pairs if isinstance(title, str)}


def _plain(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _title(item: str | None) -> str | None:
    parsed = _plain(item)
    fields = parsed if isinstance(parsed, dict) else {}
    return next((str(fields[name]) for name in _TITLES if isinstance(fields.get(name), str)), None)
