"""Facts about the change feed for the UI: numbers worth plotting, and the latest changes, old and new side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.defs.metadata import Metadata, grid, present, table

if TYPE_CHECKING:
    from meter_pipeline.connect import Store
    from meter_pipeline.store.rows import StrategyRow
    from meter_pipeline.sync import StrategyReport, SyncReport

_LATEST = 12
_TITLES = ("title", "name", "headline")

CHANGE_COLUMNS = {
    "strategy": "VARCHAR",
    "job_id": "VARCHAR",
    "previous_job_id": "VARCHAR",
    "schedule_id": "VARCHAR",
    "url": "VARCHAR",
    "parameters": "VARCHAR",
    "item_key": "VARCHAR",
    "kind": "VARCHAR",
    "field": "VARCHAR",
    "old_value": "VARCHAR",
    "new_value": "VARCHAR",
    "observed_at": "TIMESTAMPTZ",
    "old_number": "DOUBLE",
    "new_number": "DOUBLE",
    "relative_change": "DOUBLE",
}
VERSION_COLUMNS = {
    "strategy": "VARCHAR",
    "url": "VARCHAR",
    "parameters": "VARCHAR",
    "item_key": "VARCHAR",
    "version": "BIGINT",
    "valid_from": "TIMESTAMPTZ",
    "valid_to": "TIMESTAMPTZ",
    "is_current": "BOOLEAN",
    "first_job_id": "VARCHAR",
    "last_job_id": "VARCHAR",
    "item_hash": "VARCHAR",
    "item": "VARCHAR",
}


def change_facts(store: Store, report: SyncReport | None) -> Metadata:
    """What a sync saw change."""
    done = _done(report)
    return present(
        {
            **table("meter.item_changes", uri="lake/changes", columns=_columns(CHANGE_COLUMNS)),
            "items added": sum(one.added for one in done),
            "items removed": sum(one.removed for one in done),
            "items changed": sum(one.changed for one in done),
            "numbers moved": sum(one.moved for one in done),
            "latest changes": _latest(store, done),
        }
    )


def version_facts(store: Store, report: SyncReport | None) -> Metadata:
    """How many versions of items a sync brought, and ended."""
    done = _done(report)
    return present(
        {
            **table("meter.item_versions", columns=_columns(VERSION_COLUMNS)),
            "versions begun": sum(one.added + one.changed for one in done),
            "versions ended": sum(one.removed + one.changed for one in done),
            "repeated keys in all": sum(store.ledger.duplicates().values()),
        }
    )


def key_facts(strategy: StrategyRow) -> Metadata:
    """What a strategy's items are told apart by, and what speaks for it."""
    from meter_pipeline.sync.chosen import load

    chosen = load(strategy.identity)
    evidence = chosen.evidence or {}
    return present(
        {
            "key": f"{', '.join(chosen.key) or 'hash of the item'} ({chosen.source})",
            "key stability": evidence.get("stability"),
            "key evidence": json.dumps(dict(evidence)) if evidence else None,
            "ignored fields": ", ".join(chosen.ignore) or None,
        }
    )


def _done(report: SyncReport | None) -> list[StrategyReport]:
    return [] if report is None else list(report.strategies.values())


def _columns(types: dict[str, str]) -> list[dg.TableColumn]:
    return [dg.TableColumn(name=name, type=kind) for name, kind in types.items()]


def _latest(store: Store, done: Iterable[StrategyReport]) -> dg.MarkdownMetadataValue | None:
    """Changes that the latest jobs of this sync show, a few of each strategy."""
    busy = sorted((one for one in done if one.latest_job_id), key=lambda one: one.latest_completed_at or "")[::-1]
    rows: list[tuple[Any, ...]] = []
    names = ["item_key", "kind", "field", "old_value", "new_value"]
    for one in busy:
        jobs = {one.latest_job_id: one.latest_completed_at}
        found = store.lake.job_rows("changes", one.slug, names, jobs).slice(0, max(2, _LATEST // len(busy)))
        rows += [(one.slug, *_shown(*row.values())) for row in found.to_pylist()]
    return grid(("strategy", "item", "change", "old", "new"), rows[:_LATEST]) if rows else None


def _shown(key: str, kind: str, field: str | None, old: str | None, new: str | None) -> tuple[Any, ...]:
    if kind == "changed":
        return key, field, _plain(old), _plain(new)
    return _title(old or new) or key, kind, "present" if old else "", "present" if new else ""


def _plain(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _title(item: str | None) -> str | None:
    parsed = _plain(item)
    fields = parsed if isinstance(parsed, dict) else {}
    return next((str(fields[name]) for name in _TITLES if isinstance(fields.get(name), str)), None)
