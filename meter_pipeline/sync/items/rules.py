"""The item rules that a strategy's rows were made with, as the ledger keeps them, and what `meter.yaml` makes of them.

Rows depend on these rules, and on the version of the code that applies them, and on nothing else that can change. A
strategy that `meter.yaml` does not name keeps its rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from meter_pipeline.config.field_paths import Path
from meter_pipeline.config.item_rules import PAGE, ItemRules
from meter_pipeline.config.meter_yaml import StrategyConfig
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field, Type
from meter_pipeline.sync.items.identity import Identity

#: Goes up when the same rules make other rows than before: the next sync then makes all rows again from raw.
#: 2: changes go to the elements of arrays; the order of objects and texts does not count.
RULES_VERSION = 2
# The first version by which not every array's order counts.
_ORDER_IGNORED = 2
CONFIGURED, SUGGESTED, FOUND, NONE = "configured", "suggested", "found", "none"
_TYPES: Mapping[str, Type] = {
    "integer": columns.INTEGER,
    "double": columns.DOUBLE,
    "text": columns.TEXT,
    "json": columns.JSON,
}


@dataclass(frozen=True)
class ChosenRules(ItemRules):
    """The item rules of a strategy's rows, and how its key was chosen.

    Attributes:
        key: As in `ItemRules`, but never None: while no key is found it is empty, and `source` is `none`.
        source: Where the key comes from: `configured`, `suggested`, or `none` while there is none.
        chosen_at: When the key was chosen, ISO 8601.
        evidence: Measurements that support a suggested key: see `meter_pipeline.sync.items.keys`.
        by_page: Whether the one item of a page is the same item as long as the page is the same.
        search: The search for a key so far: see `meter_pipeline.sync.items.keys.KeySearch`.
        version: The `RULES_VERSION` of the code that made the rows.
        compare: As in `ItemRules`, but never None.
        compare_source: Where `compare` comes from: `configured`, `found`, or `none` (then it is `page`).
        pages: Whether items move between the pages of a run, by list: see `meter_pipeline.sync.loading.page_search`.
    """

    key: tuple[str, ...] = ()
    source: str = NONE
    chosen_at: str | None = None
    evidence: Mapping[str, Any] | None = None
    by_page: bool = False
    search: Mapping[str, Any] | None = None
    version: int = RULES_VERSION
    compare: str = PAGE
    compare_source: str = NONE
    pages: Mapping[str, Any] | None = None

    def rows_alike(self, other: ItemRules) -> bool:
        """Whether both make the same rows; rules that no rows were made with yet are of this version."""
        return super().rows_alike(other) and self.version == getattr(other, "version", RULES_VERSION)

    @property
    def compare_reason(self) -> str:
        """Why pages or runs are compared, in one line."""
        if self.compare_source == CONFIGURED:
            return CONFIGURED
        reasons = {found["compare"]: str(found["reason"]) for found in (self.pages or {}).values()}
        return reasons.get(self.compare, "no two complete runs of several pages to compare")

    @property
    def identity(self) -> Identity:
        """The keys and hashes of items under these rules."""
        return Identity(self, by_page=self.by_page)

    @property
    def rules(self) -> tuple[Any, ...]:
        """The rules as a tuple that is equal for rules that make the same rows."""
        return (*super().rules, "by page") if self.by_page else super().rules

    def with_key(self, key: tuple[str, ...], moment: str) -> ChosenRules:
        """These rules with a configured key, chosen at a time (ISO 8601)."""
        return replace(self, key=key, source=CONFIGURED, chosen_at=moment, evidence=None, by_page=False, search=None)

    def without_key(self) -> ChosenRules:
        """These rules without a key, so that one is looked for in the data."""
        return replace(self, key=(), source=NONE, chosen_at=None, evidence=None, by_page=False, search=None)

    def wanted(self, config: StrategyConfig | None, moment: str) -> ChosenRules:
        """These rules with those of `meter.yaml` in their place; a key that it leaves open stays as it is.

        Args:
            config: The strategy's entry; None where it has none.
            moment: When a key of the entry counts as chosen, ISO 8601.
        """
        if config is None:
            return self if self.version == RULES_VERSION else replace(self, version=RULES_VERSION)
        rules: dict[str, Any] = {rule.name: getattr(config, rule.name) for rule in fields(ItemRules)}
        key = rules.pop("key")
        rules |= {"types": dict(config.types), "version": RULES_VERSION}
        compare = rules.pop("compare")
        if compare is not None:
            rules |= {"compare": compare, "compare_source": CONFIGURED}
        elif self.compare_source == CONFIGURED:
            # From now on the data decides, with the next jobs.
            rules["compare_source"] = NONE
        if rules["items"] != self.items:
            # What was found out about other items says nothing about these.
            kept = self._forget_found().wanted(replace(config, items=self.items), moment)
            return replace(kept, items=config.items)
        is_new = key is not None and (key != self.key or self.source != CONFIGURED)
        return replace(self.with_key(key, moment) if is_new else self, **rules)

    def _forget_found(self) -> ChosenRules:
        """These rules without a key and a way to compare that were found in the data."""
        rules = replace(self if self.source == CONFIGURED else self.without_key(), search=None, pages=None)
        return replace(rules, compare=PAGE, compare_source=NONE) if self.compare_source == FOUND else rules

    def floor(self, fields: Sequence[Field], path: Path = ()) -> tuple[Field, ...]:
        """Fields with no type narrower than configured.

        Args:
            fields: Fields of items, or of the objects at a path.
            path: The path.
        """
        return tuple(self._floor(item, (*path, item.name)) for item in fields) if self.types else tuple(fields)

    def _floor(self, item: Field, path: Path) -> Field:
        kind, wanted = self._floor_within(item.type, path), self.type_of(path)
        return Field(item.name, kind if wanted is None else columns.merge(kind, _TYPES[wanted]), item.first)

    def _floor_within(self, kind: Type, path: Path) -> Type:
        element = None if kind.element is None else self._floor_within(kind.element, path)
        return Type(kind.kind, self.floor(kind.fields, path), element)

    def dump(self) -> str:
        """The rules as JSON text, the inverse of `load`."""
        return json.dumps({**vars(self), "types": dict(self.types)}, separators=(",", ":"))


def load(text: str | None) -> ChosenRules:
    """The rules that `dump` wrote; those of a new strategy where there are none."""
    if text is None:
        return ChosenRules()
    form = json.loads(text)
    known = {name: value for name, value in form.items() if name in ChosenRules.__dataclass_fields__}
    known.setdefault("version", 1)
    if known["version"] < _ORDER_IGNORED:
        # The default of that time, which nobody had to ask for; `meter.yaml` keeps the order where it says so.
        known = {name: value for name, value in known.items() if (name, value) != ("array_order", True)}
    return ChosenRules(**{**known, "key": tuple(known["key"]), "ignore": tuple(known["ignore"])})
