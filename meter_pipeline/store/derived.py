"""Typed columns beside text fields, as the ledger keeps them.

The sync recognises prices, dates and other values in the texts of a field, and notes here which columns it makes of
them: `{"rules": 3, "fields": {"price": {..., "columns": [["amount", "price_amount", "decimal"], ...]}}}`. Fields are
written as paths: `offer.price` is the field `price` of the object `offer`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from meter_pipeline.config.field_paths import Path, parse_path, spell_path
from meter_pipeline.store import columns
from meter_pipeline.store.columns import Column, Field

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
    """A typed column made from a text field: which part of a text's value it has, its name, and its kind in `TYPES`."""

    part: str
    name: str
    kind: str


class TextField(NamedTuple):
    """A text field of items, or of objects in them at any depth: its path, and the column name made from it."""

    path: Path
    name: str


def find_text_fields(fields: Sequence[Field]) -> Iterator[TextField]:
    """The text fields of items and of the objects in them, in the order of the fields; not those in arrays."""
    return _find_text_fields(fields, columns.names(fields, columns.RESERVED), (), "")


def _find_text_fields(fields: Iterable[Field], names: Sequence[str], path: Path, prefix: str) -> Iterator[TextField]:
    for item, name in zip(fields, names, strict=True):
        own = (*path, item.name)
        if item.type.kind == "text":
            yield TextField(own, prefix + name)
        elif item.type.fields:
            inner = item.type.fields
            yield from _find_text_fields(inner, columns.names(inner), own, f"{prefix}{name}_")


def load(text: str | None) -> dict[str, list[Derived]]:
    """The typed columns by path of a field, from the ledger's JSON text."""
    fields = json.loads(text)["fields"] if text else {}
    return {
        name: [Derived(*column) for column in form["columns"]] for name, form in fields.items() if "columns" in form
    }


def load_reasons(text: str | None) -> dict[str, str]:
    """Why fields stay text although their texts look like values, by path, from the ledger's JSON text."""
    fields = json.loads(text)["fields"] if text else {}
    return {name: form["reason"] for name, form in fields.items() if "reason" in form}


def columns_of(fields: Sequence[Field], derived: Mapping[str, Sequence[Derived]]) -> list[Column]:
    """The columns of a strategy: those of its fields, each with the typed columns made from its texts behind it.

    Args:
        fields: The fields.
        derived: Typed columns by path of the text field.
    """
    made: dict[str, list[Column]] = {}
    for text in find_text_fields(fields) if derived else ():
        spelled = spell_path(text.path)
        name = text.path[0] if len(text.path) == 1 else spelled
        made.setdefault(text.path[0], []).extend(
            Column(own.name, name, TYPES[own.kind], own.kind, own.part) for own in derived.get(spelled, ())
        )
    found = []
    for column in columns.columns(fields):
        found += [column, *made.get(column.field, ())]
    return found


def explain_text(column: Column, reasons: Mapping[str, str]) -> str | None:
    """Why the texts of a received column stay text, those in its objects included; None where nothing is to be said.

    Args:
        column: The column.
        reasons: Reasons by path of the text field.
    """
    if column.part:
        return None
    own = spell_path((column.field,))
    said = [
        reason if path == own else f"{path}: {reason}"
        for path, reason in reasons.items()
        if path == own or parse_path(path)[0] == column.field
    ]
    return "; ".join(said) or None


def describe_part(column: Column) -> str:
    """What a typed column beside a field has, in words."""
    return _PARTS.get(column.part, column.part)
