"""Typed columns beside text fields, as the ledger keeps them.

The sync recognises prices, dates and other values in the texts of a field, and notes here which columns it makes of
them: `{"rules": 1, "fields": {"price": {..., "columns": [["amount", "price_amount", "decimal"], ...]}}}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from meter_pipeline.store.columns import Column

TYPES: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    # Exact, as prices are; enough for dong by the trillion and for coins of a millionth of a cent.
    "decimal": pa.decimal128(38, 12),
    "double": pa.float64(),
    "integer": pa.int64(),
    "date": pa.date32(),
    "time": pa.timestamp("us"),
    "moment": pa.timestamp("us", "UTC"),
}
"""Types by the word that the ledger has for them."""
_PARTS = {
    "amount": "amount of money",
    "currency": "currency of the amount",
    "unit": "unit that the amount is for",
    "number": "number",
    "percent": "number of per cent",
    "rating": "rating as a number",
    "count": "count",
    "date": "date",
    "at": "time",
}


@dataclass(frozen=True)
class Derived:
    """A typed column beside a text field: which part of the text's value it has, its name, and its kind in `TYPES`."""

    part: str
    name: str
    kind: str


def load(text: str | None) -> dict[str, list[Derived]]:
    """The typed columns by field, from the ledger's JSON text."""
    fields = json.loads(text)["fields"] if text else {}
    return {
        name: [Derived(*column) for column in form["columns"]] for name, form in fields.items() if "columns" in form
    }


def load_reasons(text: str | None) -> dict[str, str]:
    """Why fields stay text although their texts look like values, by field, from the ledger's JSON text."""
    fields = json.loads(text)["fields"] if text else {}
    return {name: form["reason"] for name, form in fields.items() if "reason" in form}


def beside(columns: Sequence[Column], derived: Mapping[str, Sequence[Derived]]) -> list[Column]:
    """Columns of fields, each with the typed columns made from its texts behind it."""
    found = []
    for column in columns:
        found.append(column)
        found += [
            Column(own.name, column.field, TYPES[own.kind], own.kind, own.part) for own in derived.get(column.field, ())
        ]
    return found


def describe_part(column: Column) -> str:
    """What a typed column beside a field has, in words."""
    return _PARTS.get(column.part, column.part)
