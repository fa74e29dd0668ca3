"""The rules for a strategy's items, declared once: `meter.yaml` states them, the ledger keeps them, `Identity` applies
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from meter_pipeline.config.field_paths import Path, spell_path

RUN, PAGE = "run", "page"
# A page that was missing in this many consecutive runs is no longer expected, and an item that none of them showed is
# gone: otherwise a page that is gone for good, or a job that always rejects an item, would keep every item for ever.
PATIENCE = 5
NO_TYPES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class ItemRules:
    """What a strategy's rows depend on besides its items.

    Attributes:
        key: Paths of the fields that identify an item; empty: its hash does; None: the key is found in the data.
        ignore: Paths of fields whose values do not count as a change; a path goes through arrays.
        array_order: Whether the order of an array's elements counts; None: only that of numbers, booleans and arrays.
        whitespace: Whether runs of white space, and white space at the ends, count.
        numbers: Whether the spelling of a number counts: 5, 5.0 and the texts "5" and "5.00".
        types: Narrowest types of columns, by field, or by the path of a nested one, which goes through arrays:
            integer, double, text or json.
        compare: What is compared with what came before: each `page`, or the pages of a `run` as one list; None: the
            data decides.
        items: Path of an array in each received item whose elements are the items; None: the received ones are.
    """

    key: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    array_order: bool | None = None
    whitespace: bool = True
    numbers: bool = True
    types: Mapping[str, str] = field(default_factory=lambda: NO_TYPES)
    compare: str | None = None
    items: str | None = None

    @property
    def rules(self) -> tuple[Any, ...]:
        """The rules as a tuple that is equal for rules that make the same rows."""
        types = tuple(sorted(self.types.items()))
        compare = self.compare or PAGE
        return (
            self.key,
            tuple(sorted(self.ignore)),
            self.array_order,
            self.whitespace,
            self.numbers,
            types,
            compare,
            self.items,
        )

    def type_of(self, path: Path) -> str | None:
        """The narrowest type of the field at a path, if any; a field of items may go by its plain name."""
        return self.types.get(spell_path(path)) or (self.types.get(path[0]) if len(path) == 1 else None)

    def rows_alike(self, other: ItemRules) -> bool:
        """Whether both make the same rows."""
        return self.rules == other.rules
