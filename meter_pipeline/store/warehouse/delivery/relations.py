"""What a publication holds for a target: its relations with their columns, keys, and the columns they are divided by.

A relation is divided into *months*: those of a strategy, or of no strategy, by a column of time. A month that is as it
was at the last delivery is not sent again. See `contents` for how that is found out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import blake2b

import duckdb

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.sql import quote

# The most that PostgreSQL keeps of a name, in bytes; a longer one would be cut off, and two names become one.
_MAX_NAME_BYTES = 63
_DIGEST_CHARACTERS = 8
# What a table of the lake is divided by, and the key of its rows.
_LAKE = {
    "meter.items": ("raw", "completed_at", ("job_id", "item_index")),
    "meter.item_changes": ("changes", "observed_at", ()),
    "results": ("results", "_meter_completed_at", ("_meter_job_id", "_meter_item_index")),
}
# Keys of the tables and models that come with the package; a model of a user's own declares it as a constraint.
_KEYS = {
    "meter.strategies": ("strategy_id",),
    "meter.schedules": ("schedule_id",),
    "meter.jobs": ("job_id",),
    "marts.dim_items": ("item_id",),
    "marts.dim_schedules": ("schedule_id",),
    "marts.dim_strategies": ("strategy",),
    "marts.fct_daily_activity": ("activity_id",),
    "marts.fct_item_changes": ("change_id",),
    "marts.fct_price_changes": ("change_id",),
    "marts.fct_scrape_jobs": ("job_id",),
}
# The first of these columns that a relation has divides it: what is over for good comes before what goes on, so that
# the rows that change with every job are together, in the month that has no name.
_TIMES = (
    "valid_to", "removed_at", "observed_at", "created_at", "completed_at", "day", "observed_on", "started_at", "date",
)  # fmt: skip
_DIVIDING_TYPES = ("TIMESTAMP WITH TIME ZONE", "DATE")
# Every table and view here is of no use outside the file: what its views read, or what the next publication needs.
_INTERNAL = ("meter_lake", "information_schema", "pg_catalog")


@dataclass(frozen=True)
class Column:
    """A column: its name in the warehouse and in the target, DuckDB's type, and its comment."""

    name: str
    target: str
    type: str
    comment: str | None = None


@dataclass(frozen=True)
class Relation:
    """A table or view of the publication, and the table that it becomes.

    Attributes:
        source: `schema.name` in the warehouse.
        target: The table's name in the target.
        columns: Its columns in order.
        key: Columns of the primary key, named as in the warehouse; empty without one.
        time: The column of time that divides it; None if none does.
        by_strategy: Whether its column `strategy` divides it.
        lake: The table of the lake that its months come from; None for a relation that the lake's manifest says nothing
            about.
        owner: The slug of the strategy whose rows it has alone.
        comment: What it holds.
        is_view: Whether it is computed when it is read.
    """

    source: str
    target: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    time: str | None = None
    by_strategy: bool = False
    lake: str | None = None
    owner: str | None = None
    comment: str | None = None
    is_view: bool = False

    def column(self, name: str) -> Column:
        """The column of a name in the warehouse."""
        return next(column for column in self.columns if column.name == name)

    @property
    def dividing(self) -> tuple[str, ...]:
        """The columns that divide it into months, named as in the warehouse."""
        return (*(("strategy",) if self.by_strategy else ()), *((self.time,) if self.time else ()))

    @property
    def indexed(self) -> tuple[str, ...]:
        """The columns of the index by which months are found again; empty where the primary key begins with them."""
        return () if self.key[: len(self.dividing)] == self.dividing else self.dividing

    @property
    def quoted(self) -> str:
        """Its name in the warehouse, as SQL."""
        schema, _, name = self.source.partition(".")
        return f"{quote(schema)}.{quote(name)}"


def read_relations(
    connection: duckdb.DuckDBPyConnection, patterns: Sequence[str], fold: Callable[[str], str] = str
) -> list[Relation]:
    """The relations that match one of some patterns, in the order of their names in the target.

    Args:
        connection: The publication's file.
        patterns: `schema.name`, with `*` as wildcard.
        fold: What becomes of a name in the target: some databases have all names in one case.

    Raises:
        WarehouseError: A pattern matches none, or two relations would become the same table.
    """
    columns = _read_columns(connection)
    comments = _read_comments(connection)
    keys = _read_keys(connection)
    chosen = [name for name in columns if any(fnmatchcase(name, pattern) for pattern in patterns)]
    for pattern in patterns:
        # A wildcard may match what is not there yet.
        if "*" not in pattern and pattern not in columns:
            raise WarehouseError(f"the warehouse has no table {pattern}: see `meter-pipeline query 'show all tables'`")
    views = _read_views(connection)
    relations = [
        _fold(replace(_describe(name, columns[name], comments.get(name), keys), is_view=name in views), fold)
        for name in chosen
    ]
    _refuse_collisions(relations)
    return sorted(relations, key=lambda relation: relation.target)


def name_in_target(source: str) -> str:
    """The table that a relation becomes: `marts.x` and `meter.x` are `x`, `results.x` is `results_x`."""
    schema, _, name = source.partition(".")
    return shorten(name if schema in ("marts", "meter") else f"{schema}_{name}")


def shorten(name: str) -> str:
    """A name of at most 63 bytes: one that is too long ends with a digest of the whole of it."""
    if len(name.encode()) <= _MAX_NAME_BYTES:
        return name
    digest = blake2b(name.encode(), digest_size=_DIGEST_CHARACTERS // 2).hexdigest()
    kept = name.encode()[: _MAX_NAME_BYTES - _DIGEST_CHARACTERS - 1].decode(errors="ignore")
    return f"{kept}_{digest}"


def _describe(
    source: str, columns: Sequence[Column], comment: str | None, keys: Mapping[str, tuple[str, ...]]
) -> Relation:
    schema, _, name = source.partition(".")
    types = {column.name: column.type for column in columns}
    lake, time, key = _LAKE.get(source) or _LAKE.get(schema) or (None, None, ())
    if lake is None:
        time = next((name for name in _TIMES if types.get(name) in _DIVIDING_TYPES), None)
        key = keys.get(source) or _KEYS.get(source) or ()
    return Relation(
        source=source,
        target=name_in_target(source),
        columns=tuple(columns),
        # A model of a user's own may have taken the place of ours.
        key=key if all(name in types for name in key) else (),
        time=time,
        by_strategy=schema != "results" and types.get("strategy") == "VARCHAR",
        lake=lake,
        owner=name if schema == "results" else None,
        comment=comment,
    )


def _fold(relation: Relation, fold: Callable[[str], str]) -> Relation:
    columns = tuple(replace(column, target=fold(column.target)) for column in relation.columns)
    return replace(relation, target=fold(relation.target), columns=columns)


def _read_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Column]]:
    rows = connection.execute(
        "SELECT schema_name || '.' || table_name, column_name, data_type, comment FROM duckdb_columns() "
        "WHERE NOT internal AND database_name = current_database() AND NOT list_contains(?, schema_name) "
        "ORDER BY schema_name, table_name, column_index",
        [list(_INTERNAL)],
    ).fetchall()
    found: dict[str, list[Column]] = {}
    for relation, name, type_, comment in rows:
        found.setdefault(relation, []).append(Column(name, shorten(name), type_, comment and comment.replace("\0", "")))
    return found


def _read_comments(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    rows = connection.execute(
        "SELECT schema_name || '.' || table_name, comment FROM duckdb_tables() WHERE comment IS NOT NULL UNION ALL "
        "SELECT schema_name || '.' || view_name, comment FROM duckdb_views() WHERE NOT internal AND comment IS NOT NULL"
    ).fetchall()
    return {name: comment.replace("\0", "") for name, comment in rows}


def _read_views(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute("SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal")
    return {name for (name,) in rows.fetchall()}


def _read_keys(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    rows = connection.execute(
        "SELECT schema_name || '.' || table_name, constraint_column_names FROM duckdb_constraints() "
        "WHERE constraint_type = 'PRIMARY KEY'"
    ).fetchall()
    return {name: tuple(columns) for name, columns in rows}


def _refuse_collisions(relations: Iterable[Relation]) -> None:
    taken: dict[str, str] = {}
    for relation in relations:
        # Names that differ in case alone are the same to some databases.
        other = taken.setdefault(relation.target.lower(), relation.source)
        if other != relation.source:
            raise WarehouseError(
                f"{other} and {relation.source} would both become the table {relation.target}: deliver one of them, by "
                "`tables` in meter.yaml"
            )
        if re.match(r"_meter_", relation.target, re.IGNORECASE):
            raise WarehouseError(
                f"{relation.source}: tables that begin with _meter_ are those of deliveries: rename it"
            )
