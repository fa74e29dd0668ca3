"""Finds strategies whose items wrap a list that holds what matters, and rules that name a list which no item has.

An item that wraps a list is alone in its job, and most of it is one array of objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa

from meter_pipeline.config.field_paths import Path, spell_path
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field
from meter_pipeline.store.item_json import parse_items
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.busy import find_latest_of_one
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.sync.items import rules as item_rules
from meter_pipeline.sync.items.elements import Arrays, choose_element_key
from meter_pipeline.sync.items.identity import NOTHING, Ignored
from meter_pipeline.sync.items.inside import take_out
from meter_pipeline.sync.items.raw import NO_TIME
from meter_pipeline.text.names import suggest

# Jobs that say enough, jobs whose elements are compared, and the share of the item's bytes that the elements have.
_FEW_JOBS, _COMPARED, _SHARE = 2, 4, 0.5


class LoneItem(NamedTuple):
    """A strategy with one item a job: path of the array in it, and times of its latest jobs by id, the latest first."""

    strategy: StrategyRow
    path: Path
    jobs: Mapping[str, str]


def find_lone_items(ledger: Ledger, strategies: Sequence[StrategyRow]) -> list[LoneItem]:
    """The strategies whose jobs all have one item with a single array of objects, by the ledger alone."""
    lists = {row.strategy_id: _find_list(row) for row in strategies}
    if not any(lists.values()):
        return []
    latest = find_latest_of_one(ledger, few=_FEW_JOBS, latest=_COMPARED)
    return [
        LoneItem(row, path, latest[row.strategy_id])
        for row in strategies
        if (path := lists[row.strategy_id]) is not None and row.strategy_id in latest
    ]


def find_unmatched(ledger: Ledger, strategies: Iterable[StrategyRow]) -> list[StrategyRow]:
    """The strategies with a rule by which nothing may have been taken out of what was received, by the ledger alone."""
    found = []
    for row in strategies:
        if _rule_of(row) is not None:
            rows = Counter[str]()
            for part in ledger.parts_of(row.slug):
                rows[part.table] += part.rows
            # Lists of one element each leave as many rows, too.
            if rows["received"] and rows["received"] == rows["raw"]:
                found.append(row)
    return found


def find_missing_lists(ledger: Ledger, lake: Lake, unmatched: Iterable[StrategyRow]) -> dict[str, str]:
    """What is wrong with rules that name a list which no item of the latest jobs has, by slug.

    Raises:
        LakeError: An item cannot be read.
    """
    found = {}
    for strategy in unmatched:
        path = _rule_of(strategy)
        jobs = {
            row.job_id: row.completed_at or NO_TIME for row in ledger.jobs(strategy.strategy_id, ("accepted", "held"))
        }
        latest = dict(sorted(jobs.items(), key=itemgetter(1))[-_COMPARED:])
        stored = lake.part_set(strategy.slug, ledger.parts_of(strategy.slug))
        received = stored.job_rows("received", ["item"], latest)["item"].cast(pa.binary()).to_pylist()
        if received and take_out(received, path) == received:
            lists = [spell_path(inner) for inner in _find_lists(strategy)]
            meant = suggest(path or "", lists) if lists else "they have no list of objects"
            found[strategy.slug] = (
                f"meter.yaml says items: {path}, but no item that was received has such a list: {meant}"
            )
    return found


def _rule_of(row: StrategyRow) -> str | None:
    return _read_rule(row.identity) if row.identity else None


# Most strategies of an account have the same rules.
@lru_cache(1_024)
def _read_rule(identity: str) -> str | None:
    return item_rules.load(identity).items


def _find_list(row: StrategyRow) -> Path | None:
    """The path of the only array of objects in a strategy's items; None if it has another number of them, or a rule."""
    found = _find_lists(row) if _rule_of(row) is None else []
    return found[0] if len(found) == 1 else None


def _find_lists(row: StrategyRow) -> list[Path]:
    """The paths of the arrays of objects that are furthest outside: `data.results` rather than `page.links.more`."""
    level: list[tuple[Path, Field]] = [((item.name,), item) for item in columns.load(row.fields)]
    while level:
        found = [path for path, item in level if item.type.element is not None and item.type.element.kind == "struct"]
        if found:
            return found
        level = [((*path, inner.name), inner) for path, item in level for inner in item.type.fields]
    return []


def find_wrappers(ledger: Ledger, lake: Lake, lone: Iterable[LoneItem]) -> dict[str, str]:
    """What to write for the strategies whose latest item is mostly its array, by slug.

    Raises:
        LakeError: An item cannot be read.
    """
    found = {}
    for strategy, path, jobs in lone:
        stored = lake.part_set(strategy.slug, ledger.parts_of(strategy.slug))
        rows = stored.job_rows("raw", ["job_id", "item"], jobs)
        items = dict(zip(rows["job_id"].to_pylist(), rows["item"].cast(pa.binary()).to_pylist(), strict=True))
        spelled = spell_path(path)
        received = [items[job_id] for job_id in jobs if job_id in items]
        inside = [take_out([item], spelled) for item in received]
        if inside and inside[0] != received[:1] and sum(map(len, inside[0])) > _SHARE * len(received[0]):
            key = _choose_key(strategy, path, [parse_items(elements) for elements in reversed(inside)])
            found[strategy.slug] = (
                f"each job has one item, most of which is the list {spelled}; where its elements are the items, write "
                f"`{_spell_rule(spelled, key)}` into meter.yaml"
            )
    return found


def _choose_key(strategy: StrategyRow, path: Path, jobs: Sequence[Sequence[Any]]) -> tuple[Path, ...]:
    """The fields by which the change feed matches the elements; none while nothing in them has changed.

    Args:
        strategy: The strategy.
        path: Path of the array.
        jobs: The elements in consecutive jobs.
    """
    identity = item_rules.load(strategy.identity).identity
    ignored: Ignored | None = identity.ignored
    for name in path:
        ignored = None if ignored is None else ignored.get(name, NOTHING)
    if ignored is None:
        return ()
    # Any field tells one element from no other, and of elements that stay as they are every field stays the same.
    changed: list[Arrays] = [
        (
            [identity.normalize(element, ignored) for element in old],
            [identity.normalize(element, ignored) for element in new],
        )
        for old, new in pairwise(jobs)
        if min(len(old), len(new)) > 1 and not identity.same(old, new, ignored)
    ]
    return choose_element_key(changed).paths if changed else ()


def _spell_rule(path: str, key: Sequence[Path]) -> str:
    """The rule as it stands in a line of `meter.yaml`."""
    import yaml

    names = [spell_path(field) for field in key]
    rule = {"items": path} | ({"key": names[0] if len(names) == 1 else names} if names else {})
    text: str = yaml.safe_dump(rule, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.strip()[1:-1]
