"""Types of scraped fields: inferred over every item, only ever widened, built into Arrow columns.

A type is an element of a lattice, and `merge` is its join: associative, commutative and idempotent. So the columns of
a strategy depend on the set of its items alone, and not on the order in which they came. A field also carries the
stamp of the first item that had it (time of the job, job id, position); names and order of columns follow the stamps,
so that a field that turns up later never takes the name of an earlier one.

    null < boolean                      < text
    null < integer < double             < text      integers beyond 2^53 skip double: it could not hold them
    null < struct, null < list
    text, struct and list against each other: JSON text
    struct < JSON text                  when its names are data: see `keyed_names`
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any

import pyarrow as pa

from meter_pipeline.store.field_values import FieldValues
from meter_pipeline.store.item_json import spell, spell_json_all
from meter_pipeline.store.keyed_names import are_data

Stamp = tuple[str, str, int]

# Deeper values are kept as JSON text: engines that read Parquet give up on deep types long before JSON parsers do.
MAX_DEPTH = 48
# Columns that a reader of the lake gets from the names of folders; they would hide columns of files with these names.
RESERVED = frozenset({"strategy", "month"})

_EXACT_DOUBLE = 2**53
_INT64 = 2**63
_NUMBERS = {int, float}
_SCALARS = {str, int, float, bool}


@dataclass(frozen=True, slots=True)
class Field:
    """A key of an object: its name as received, its type, and the stamp of the first item that had it."""

    name: str
    type: Type
    first: Stamp


@dataclass(frozen=True, slots=True)
class Type:
    """One element of the lattice: a `kind`, with `fields` for a struct and `element` for a list."""

    kind: str
    fields: tuple[Field, ...] = ()
    element: Type | None = None


NULL, BOOLEAN, INTEGER, LONG, DOUBLE, TEXT, JSON = (
    Type(kind) for kind in ("null", "boolean", "integer", "long", "double", "text", "json")
)
EMPTY = Type("struct")


@dataclass(frozen=True)
class Column:
    """A column of a strategy's results: a field as received, or what was read from its texts, which `part` names."""

    name: str
    field: str
    type: pa.DataType
    kind: str
    part: str = ""


# -- the lattice -------------------------------------------------------------------------------------------------------


def merge(a: Type, b: Type) -> Type:
    """The narrowest type that holds the values of both."""
    if a is b or a == b or b.kind == "null":
        return a
    if a.kind == "null":
        return b
    if a.kind == b.kind == "struct":
        return _struct(merge_fields(a.fields, b.fields))
    if a.kind == b.kind == "list" and a.element is not None and b.element is not None:
        return Type("list", element=merge(a.element, b.element))
    kinds = {a.kind, b.kind}
    if kinds & {"struct", "list", "json"}:
        return JSON
    if kinds == {"integer", "long"}:
        return LONG
    if kinds == {"integer", "double"}:
        return DOUBLE
    return TEXT


def merge_fields(a: Iterable[Field], b: Iterable[Field]) -> tuple[Field, ...]:
    """The fields of both, each with the narrowest type that holds the values of both, in the order of their stamps."""
    fields = {field.name: field for field in a}
    for new in b:
        old = fields.get(new.name)
        fields[new.name] = new if old is None else Field(new.name, merge(old.type, new.type), min(old.first, new.first))
    return tuple(sorted(fields.values(), key=lambda item: (item.first, item.name)))


def _struct(fields: tuple[Field, ...]) -> Type:
    """A record; JSON text where the names are data: a map, whose type would grow with every name."""
    return JSON if are_data([field.name for field in fields]) else Type("struct", fields)


def settle(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Fields of an older version with the types that this one gives to their values."""
    return tuple(Field(field.name, _settle(field.type), field.first) for field in fields)


def _settle(kind: Type) -> Type:
    if kind.kind == "struct":
        return _struct(settle(kind.fields))
    return kind if kind.element is None else Type(kind.kind, element=_settle(kind.element))


def infer(values: Sequence[Any], stamp: Stamp, depth: int = 0) -> Type:
    """The type of a column of parsed JSON values; `stamp` is that of the first value."""
    kinds = set(map(type, values))
    if type(None) in kinds:
        kinds.discard(type(None))
        values = [value for value in values if value is not None]
    if not kinds:
        return NULL
    if kinds == {str}:
        return TEXT
    if kinds == {dict}:
        return _struct(infer_fields(values, stamp, depth + 1)) if depth < MAX_DEPTH else JSON
    if kinds == {list}:
        if depth >= MAX_DEPTH:
            return JSON
        return Type("list", element=infer(list(chain.from_iterable(values)), stamp, depth + 1))
    if not kinds <= _SCALARS:
        return JSON
    if kinds == {bool}:
        return BOOLEAN
    if kinds <= _NUMBERS:
        return _number(values, kinds)
    return TEXT


def infer_fields(values: Sequence[dict[str, Any]], stamp: Stamp, depth: int = 0) -> tuple[Field, ...]:
    """The fields of objects, in the order in which they first appear."""
    return infer_columns(FieldValues(values), stamp, depth)


def infer_columns(values: FieldValues, stamp: Stamp, depth: int = 0) -> tuple[Field, ...]:
    """`infer_fields` for objects that are taken apart already."""
    time, job, start = stamp
    return tuple(
        Field(name, infer(values.present(name)[1], stamp, depth), (time, job, start + position))
        for position, name in enumerate(values.names)
    )


def _number(values: Sequence[Any], kinds: set[type]) -> Type:
    if kinds == {float}:
        return DOUBLE
    integers = values if kinds == {int} else [value for value in values if type(value) is int]
    low, high = min(integers), max(integers)
    if low < -_INT64 or high >= _INT64:
        return TEXT
    exact = low >= -_EXACT_DOUBLE and high <= _EXACT_DOUBLE
    if kinds == {int}:
        return INTEGER if exact else LONG
    return DOUBLE if exact else TEXT


# -- names -------------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"([a-z\d])([A-Z])|([A-Z]+)([A-Z][a-z])")


# Most strategies of an account share most of their names.
@lru_cache(maxsize=4_096)
def snake(name: str) -> str:
    """A field's name as a column name: lower case, words joined by `_`, no `_` in front; letters of any script stay."""
    text = _WORD.sub(lambda m: f"{m[1] or m[3]}_{m[2] or m[4]}", name)
    text = re.sub(r"[^\w]+|_+", "_", text.lower()).strip("_")
    if not text:
        return "field"
    return f"n{text}" if text[0].isdigit() else text


def names(fields: Sequence[Field], reserved: frozenset[str] = frozenset()) -> list[str]:
    """Column names of fields in the order of their stamps: unique in any case, the earlier field keeps the name."""
    taken = {name.casefold() for name in reserved}
    result = []
    for item in fields:
        base = snake(item.name)
        name, number = base, 2
        while name.casefold() in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name.casefold())
        result.append(name)
    return result


# -- Arrow -------------------------------------------------------------------------------------------------------------


def arrow_type(kind: Type) -> pa.DataType:
    """The Arrow type of a column; a field that was always null, or an object without keys, is stored as text."""
    if kind.kind == "boolean":
        return pa.bool_()
    if kind.kind in ("integer", "long"):
        return pa.int64()
    if kind.kind == "double":
        return pa.float64()
    if kind.kind == "list" and kind.element is not None:
        return pa.list_(arrow_type(kind.element))
    if kind.kind == "struct" and kind.fields:
        return pa.struct(
            [pa.field(n, arrow_type(f.type)) for n, f in zip(names(kind.fields), kind.fields, strict=True)]
        )
    return pa.string()


def columns(fields: Sequence[Field]) -> list[Column]:
    """The columns of a strategy, in the order of `fields`."""
    return [
        Column(name, item.name, arrow_type(item.type), item.type.kind)
        for name, item in zip(names(fields, RESERVED), fields, strict=True)
    ]


def json_paths(fields: Sequence[Field]) -> list[list[str]]:
    """Paths of values stored as JSON text, at any depth; Arrow's type does not distinguish these from plain text."""
    return [[item.name, *path] for item in fields for path in _json_paths(item.type)]


def names_within(fields: Sequence[Field], path: Sequence[str]) -> tuple[str, ...] | None:
    """Names of the fields within the field at a path, through arrays; None within JSON text, which may have any."""
    for name in path:
        kind = next((field.type for field in fields if field.name == name), NULL)
        while kind.element is not None:
            kind = kind.element
        if kind == JSON:
            return None
        fields = kind.fields
    return tuple(field.name for field in fields)


def _json_paths(kind: Type) -> list[list[str]]:
    if kind.kind == "json":
        return [[]]
    if kind.element is not None:
        return [["[]", *path] for path in _json_paths(kind.element)]
    return json_paths(kind.fields)


def build(values: Sequence[Any], kind: Type) -> pa.Array:
    """Parsed JSON values as an Arrow array of `arrow_type(kind)`; the type must hold them: see `infer`, `merge`."""
    if kind.kind == "text":
        return _texts(values)
    if kind.kind == "struct" and kind.fields:
        return _structs(values, kind)
    if kind.kind == "list" and kind.element is not None:
        return _lists(values, kind.element)
    if kind.kind in ("json", "struct"):
        return pa.array(spell_json_all(values), pa.string())
    return pa.array(values, arrow_type(kind))


def _texts(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        return pa.array([value if value is None else spell(value) for value in values], pa.string())


def _structs(values: Sequence[Any], kind: Type) -> pa.Array:
    missing = [value is None for value in values]
    rows = [{} if value is None else value for value in values] if any(missing) else values
    inner = FieldValues(rows)
    children = [build(inner[item.name], item.type) for item in kind.fields]
    return pa.StructArray.from_arrays(children, fields=list(arrow_type(kind)), mask=pa.array(missing, pa.bool_()))


def _lists(values: Sequence[Any], element: Type) -> pa.Array:
    present = [value or () for value in values]
    ends = accumulate(map(len, present), initial=0)
    flat = build(list(chain.from_iterable(present)), element)
    missing = None if None not in values else pa.array([value is None for value in values])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat, type=pa.list_(flat.type), mask=missing)


# -- the ledger's form -------------------------------------------------------------------------------------------------


def dump(fields: Sequence[Field]) -> str:
    """Fields as JSON text, for `load`."""
    return json.dumps([_dump_field(item) for item in fields], separators=(",", ":"))


def load(text: str) -> tuple[Field, ...]:
    """The inverse of `dump`."""
    return tuple(_load_field(item) for item in json.loads(text))


def _dump_field(item: Field) -> dict[str, Any]:
    return {"name": item.name, "first": list(item.first), **_dump_type(item.type)}


def _dump_type(kind: Type) -> dict[str, Any]:
    form: dict[str, Any] = {"kind": kind.kind}
    if kind.fields:
        form["fields"] = [_dump_field(item) for item in kind.fields]
    if kind.element is not None:
        form["element"] = _dump_type(kind.element)
    return form


def _load_field(form: dict[str, Any]) -> Field:
    time, job, position = form["first"]
    return Field(form["name"], _load_type(form), (time, job, position))


def _load_type(form: dict[str, Any]) -> Type:
    element = form.get("element")
    return Type(
        form["kind"],
        tuple(_load_field(item) for item in form.get("fields", ())),
        None if element is None else _load_type(element),
    )
