"""What a strategy's rows were keyed, hashed and typed with, as the ledger keeps it, and what `meter.yaml` wants of it.

Once chosen it is as good as configuration: rows depend on it and on nothing else that could change. A strategy that
`meter.yaml` does not name keeps what it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from meter_pipeline.config.field_paths import parse_path
from meter_pipeline.config.meter_yaml import StrategyConfig
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field, Type
from meter_pipeline.sync.items.identity import Identity

CONFIGURED, SUGGESTED, NONE = "configured", "suggested", "none"
_TYPES: Mapping[str, Type] = {
    "integer": columns.INTEGER,
    "double": columns.DOUBLE,
    "text": columns.TEXT,
    "json": columns.JSON,
}


@dataclass(frozen=True)
class Chosen:
    """What a strategy's rows are made with.

    Attributes:
        key: Fields that name an item, as paths; none: its hash does.
        ignore: Fields whose values are no change, as paths.
        array_order: Whether the order of an array's elements is a change.
        whitespace: Whether white space is one.
        numbers: Whether the spelling of a number is one.
        types: Narrowest types of columns, by field.
        source: Where the key comes from: `configured`, `suggested`, or `none` while there is none.
        chosen_at: When, ISO.
        evidence: What speaks for a suggested key: see `meter_pipeline.sync.items.keys`.
        attempts: How often a key was looked for in vain.
        pending: Whether the rows are being made anew with it, and may still be as they were before.
    """

    key: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    array_order: bool = True
    whitespace: bool = True
    numbers: bool = True
    types: Mapping[str, str] = field(default_factory=dict)
    source: str = NONE
    chosen_at: str | None = None
    evidence: Mapping[str, Any] | None = None
    attempts: int = 0
    pending: bool = False

    @property
    def identity(self) -> Identity:
        """The same as the rules of the items' keys and hashes."""
        return Identity(
            key=tuple(map(parse_path, self.key)),
            ignore=frozenset(map(parse_path, self.ignore)),
            array_order=self.array_order,
            whitespace=self.whitespace,
            numbers=self.numbers,
        )

    def rows_alike(self, other: Chosen) -> bool:
        """Whether the same rows come of both."""
        return self.rules == other.rules

    @property
    def rules(self) -> tuple[Any, ...]:
        """What the rows depend on."""
        types = tuple(sorted(self.types.items()))
        return self.key, tuple(sorted(self.ignore)), self.array_order, self.whitespace, self.numbers, types

    def wanted(self, config: StrategyConfig | None, moment: str) -> Chosen:
        """What it has to become for `meter.yaml`, which may leave the key to the data."""
        if config is None:
            return self
        rules: dict[str, Any] = {
            "ignore": config.ignore,
            "array_order": config.array_order,
            "whitespace": config.whitespace,
            "numbers": config.numbers,
            "types": dict(config.types),
        }
        if config.key is not None and (config.key != self.key or self.source != CONFIGURED):
            rules |= {"key": config.key, "source": CONFIGURED, "chosen_at": moment, "evidence": None}
        return replace(self, **rules)

    def floor(self, fields: Sequence[Field]) -> tuple[Field, ...]:
        """Fields with no type narrower than configured."""
        return tuple(
            Field(one.name, columns.merge(one.type, _TYPES[self.types[one.name]]), one.first)
            if one.name in self.types
            else one
            for one in fields
        )

    def dump(self) -> str:
        """As JSON text, for `load`."""
        return json.dumps(asdict(self), separators=(",", ":"))


def load(text: str | None) -> Chosen:
    """What the ledger says; nothing chosen yet when it says nothing."""
    if text is None:
        return Chosen()
    form = json.loads(text)
    known = {name: value for name, value in form.items() if name in Chosen.__dataclass_fields__}
    return Chosen(**{**known, "key": tuple(known["key"]), "ignore": tuple(known["ignore"])})
