"""DuckDB's types, and how their values are taken out of DuckDB for databases that lack some of them."""

from __future__ import annotations

from collections.abc import Collection

from meter_pipeline.store.warehouse.sql import quote

#: Kinds of types by DuckDB's name; what is missing here is nested, decimal or rare.
_KINDS = {
    "BOOLEAN": "boolean",
    "TINYINT": "smallint",
    "SMALLINT": "smallint",
    "UTINYINT": "smallint",
    "INTEGER": "integer",
    "USMALLINT": "integer",
    "BIGINT": "bigint",
    "UINTEGER": "bigint",
    "UBIGINT": "numeric",
    "HUGEINT": "numeric",
    "UHUGEINT": "numeric",
    "FLOAT": "real",
    "DOUBLE": "double",
    "VARCHAR": "text",
    "DATE": "date",
    "TIME": "time of day",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "time",
    "UUID": "uuid",
    "BLOB": "bytes",
    "JSON": "json",
}
_NESTED = ("STRUCT(", "MAP(", "UNION(")
# What Arrow has another form for, or none.
_AS_TEXT = ("numeric", "uuid", "interval", "decimal", "time of day", "timestamp", "rare")

_LARGEST = 10**38 - 1
_FIRST_DAY, _LAST_DAY = "0001-01-01", "9999-12-31"


def kind_of(type_: str) -> str:
    """The kind of a type, such as text, double, time or json."""
    if type_.startswith(_NESTED) or type_.endswith("]"):
        return "json"
    if type_.startswith("DECIMAL("):
        return "decimal"
    return _KINDS.get(type_, "interval" if type_ == "INTERVAL" else "rare")


def as_plain(name: str, type_: str) -> str:
    """DuckDB's expression for a column's values: nested ones as JSON text, rare ones as text, others as they are.

    A NUL character becomes the six characters `\\u0000`, as in the ledger: PostgreSQL has none.
    """
    kind, column = kind_of(type_), quote(name)
    if kind == "json":
        text = column if type_ == "JSON" else f"to_json({column})"
        return f"{_without_nul_escapes(f'CAST({text} AS VARCHAR)')} AS {column}"
    if kind == "text":
        return f"replace({column}, chr(0), '\\u0000') AS {column}"
    if kind == "bytes":
        return f"'\\x' || hex({column}) AS {column}"
    return f"CAST({column} AS VARCHAR) AS {column}" if kind in _AS_TEXT else column


def as_uploaded(name: str, type_: str, moments: Collection[str]) -> str:
    """`as_plain` for a Parquet file that a service reads: also days, times and long integers as text, in one spelling.

    Parquet's days and times are read in several ways. What is beyond the years 1 to 9999, or has more than 38 digits,
    becomes the nearest within.

    Args:
        name: The column.
        type_: Its type.
        moments: Which of `time` and `timestamp` the service has a type for.
    """
    kind, column = kind_of(type_), quote(name)
    if kind == "date":
        return f"CAST({clamp(column, 'DATE', _FIRST_DAY, _LAST_DAY)} AS VARCHAR) AS {column}"
    if kind in moments:
        plain, zone = ("TIMESTAMPTZ", "+00:00") if kind == "time" else ("TIMESTAMP", "")
        value = clamp(column, plain, _FIRST_DAY, f"{_LAST_DAY} 23:59:59.999999")
        return f"strftime({value}, '%Y-%m-%dT%H:%M:%S.%f{zone}') AS {column}"
    if kind == "numeric" and type_ != "UBIGINT":
        least = 0 if type_ == "UHUGEINT" else -_LARGEST
        return f"CAST({clamp(column, type_, str(least), str(_LARGEST))} AS VARCHAR) AS {column}"
    return as_plain(name, type_)


def clamp(value: str, type_: str, first: str, last: str) -> str:
    """DuckDB's expression for a value, or for the nearest of a type between two that a database reaches."""
    least = f"least(greatest({value}, {type_} '{first}'), {type_} '{last}')"
    return f"CASE WHEN {value} IS NOT NULL THEN {least} END"


def _without_nul_escapes(text: str) -> str:
    # An escaped backslash is set aside, since `\\u0000` is a backslash and a word; no control character is in JSON.
    aside = rf"replace({text}, '\\', chr(1))"
    return rf"replace(replace({aside}, '\u0000', chr(1) || 'u0000'), chr(1), '\\')"
