"""Finds strategies whose items wrap a list that holds what matters: one item a job, most of it one array of objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa

from meter_pipeline.config.field_paths import spell_path
from meter_pipeline.store import columns
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.busy import find_latest_of_one
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.inside import take_out

# Jobs that say enough, and the share of the item's bytes that the array's elements have.
_FEW_JOBS, _SHARE = 2, 0.5


class LoneItem(NamedTuple):
    """A strategy with one item a job: path of its only array of objects, its latest job, and the time of that job."""

    strategy: StrategyRow
    path: str
    job_id: str
    time: str


def find_lone_items(ledger: Ledger, strategies: Sequence[StrategyRow]) -> list[LoneItem]:
    """The strategies whose jobs all have one item with exactly one array of objects, by the ledger alone."""
    lists = {row.strategy_id: _find_list(row) for row in strategies}
    if not any(lists.values()):
        return []
    latest = find_latest_of_one(ledger, few=_FEW_JOBS)
    return [
        LoneItem(row, path, *latest[row.strategy_id])
        for row in strategies
        if (path := lists[row.strategy_id]) is not None and row.strategy_id in latest
    ]


def _find_list(row: StrategyRow) -> str | None:
    """The path of the only array of objects in a strategy's items; None if it has another number of them, or a rule."""
    if row.identity and item_rules.load(row.identity).items is not None:
        return None
    found = [
        field.name
        for field in columns.load(row.fields)
        if field.type.element is not None and field.type.element.kind == "struct"
    ]
    return spell_path(found) if len(found) == 1 else None


def find_wrappers(ledger: Ledger, lake: Lake, lone: Iterable[LoneItem]) -> dict[str, str]:
    """What to write for the strategies whose latest item is mostly its array, by slug.

    Raises:
        LakeError: An item cannot be read.
    """
    import yaml

    found = {}
    for strategy, path, job_id, time in lone:
        stored = lake.part_set(strategy.slug, ledger.parts_of(strategy.slug))
        rows = stored.job_rows("raw", ["item"], {job_id: time})
        items = rows["item"].cast(pa.binary()).to_pylist()
        elements = take_out(items, path)
        if elements != items and sum(map(len, elements)) > _SHARE * sum(map(len, items)):
            rule = yaml.safe_dump({"items": path}, allow_unicode=True, width=float("inf")).strip()
            found[strategy.slug] = (
                f"each job has one item, most of which is the list {path}; where its elements are the items, write "
                f"`{rule}` into meter.yaml"
            )
    return found
