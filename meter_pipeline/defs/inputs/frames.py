"""Converts Arrow tables to the type that an asset's input is annotated with, without changing a value.

pandas' own types have no place for a missing value beside 64-bit integers and make them floating-point numbers, which
changes ids of 17 digits and more. So scalars in a `pandas.DataFrame` have Arrow's types here, as `pandas.ArrowDtype`.
Objects and arrays are Python's dicts and lists: out of an Arrow column of these, pandas goes through NumPy for `apply`,
`map`, `to_json` and others (seen in 3.1), and makes floating-point numbers again.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import pyarrow as pa

Convert = Callable[["pa.Table"], Any]


def find_converter(wanted: Any, asset: str) -> Convert:
    """Returns the function that converts an Arrow table to the annotated type; it stays Arrow without annotation.

    Args:
        wanted: The annotation; `typing.Any` when there is none.
        asset: The key of the input's asset, for the error.

    Raises:
        dg.Failure: The type is not supported, or its library is not installed.
    """
    if wanted is Any:
        return _to_arrow
    # Compared by name, so that only the library that the asset needs is imported.
    package = str(getattr(wanted, "__module__", "")).partition(".")[0].lstrip("_")
    name = f"{package}.{getattr(wanted, '__qualname__', '')}"
    if name not in _CONVERTERS:
        *others, last = _CONVERTERS
        raise dg.Failure(
            f"{asset} can be loaded as {', '.join(others)} or {last}, not {name}: annotate the input with one of these",
            allow_retries=False,
        )
    try:
        import_module(package)
    except ImportError:
        raise dg.Failure(
            f"{asset} cannot be loaded as {name}, {package} is not installed: install meter-pipeline[{package}]",
            allow_retries=False,
        ) from None
    return _CONVERTERS[name]


def _to_arrow(table: pa.Table) -> pa.Table:
    return table


def _to_pandas(table: pa.Table) -> Any:
    import pandas as pd
    import pyarrow as pa

    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    for place, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            frame[field.name] = pd.Series(table.column(place).to_pylist(), index=frame.index, dtype=object)
    return frame


def _to_polars(table: pa.Table) -> Any:
    import polars as pl

    return pl.from_arrow(table)


def _to_lazy_polars(table: pa.Table) -> Any:
    return _to_polars(table).lazy()


def _to_duckdb(table: pa.Table) -> Any:
    import duckdb

    # On the connection that `duckdb.sql` has: inputs of different connections could not be joined. In UTC, as the
    # lake and the warehouse, since the days of a time depend on it.
    connection = duckdb.default_connection()
    connection.execute("SET TimeZone = 'UTC'")
    return connection.from_arrow(table)


_CONVERTERS: dict[str, Convert] = {
    "pandas.DataFrame": _to_pandas,
    "polars.DataFrame": _to_polars,
    "polars.LazyFrame": _to_lazy_polars,
    "duckdb.DuckDBPyRelation": _to_duckdb,
    "pyarrow.Table": _to_arrow,
}
