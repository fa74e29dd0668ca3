"""Whether a value survived: the one statement that all tests of typed columns come down to."""

from __future__ import annotations

import json
from typing import Any

from meter_pipeline.store import columns
from meter_pipeline.store.columns import Type
from meter_pipeline.store.item_json import spell


def survives(value: Any, cell: Any, kind: Type) -> bool:
    """Whether an Arrow cell, as Python has it, says the same as a JSON value."""
    if value is None or cell is None:
        return value is None and cell is None
    if kind.kind == "text":
        return cell == spell(value) if isinstance(value, str) else json.loads(cell) == value
    if kind.kind == "struct" and kind.fields:
        named = dict(zip(columns.names(kind.fields), kind.fields, strict=True))
        return all(survives(value.get(f.name), cell[name], f.type) for name, f in named.items()) and set(value) <= {
            f.name for f in kind.fields
        }
    if kind.kind == "list" and kind.element is not None:
        pairs = zip(value, cell, strict=True)
        return all(survives(inner, part, kind.element) for inner, part in pairs)
    if kind.kind in ("json", "struct"):
        return bool(json.loads(cell) == value)
    return bool(cell == value) and isinstance(cell, bool) == isinstance(value, bool)
