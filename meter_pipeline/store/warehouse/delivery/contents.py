"""The months of each relation of a publication, and the state that each is in.

Rows of the lake's tables change only with a revision of the ledger that the manifest notes for each strategy's month
(`meter.partitions`), so that nothing needs to be read. Of all others, each month's rows are hashed in DuckDB: a fast
scan, and exact, whatever a model is made from.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import duckdb

from meter_pipeline.store.warehouse.delivery.dialect import STANDARD, Dialect
from meter_pipeline.store.warehouse.delivery.relations import Relation
from meter_pipeline.store.warehouse.sql import literal, quote


class Month(NamedTuple):
    """Rows that are sent together: a strategy's slug and a month as YYYY-MM, each empty where there is none."""

    strategy: str
    month: str


@dataclass(frozen=True)
class Content:
    """A relation with what it holds.

    Attributes:
        relation: The relation.
        states: A text for each month that has rows, equal only for equal rows.
        rows: What its rows are read from, as SQL.
    """

    relation: Relation
    states: Mapping[Month, str]
    rows: str


# What every kind of target has as a time; beyond it, some have another time in its place.
_MONTH = re.compile(r"(?:19|20|21)\d\d-\d\d")


def read_contents(
    connection: duckdb.DuckDBPyConnection, relations: list[Relation], known: Collection[str]
) -> list[Content]:
    """What each relation holds.

    Args:
        connection: The publication's file.
        relations: The relations.
        known: Tables that the target has. All others are sent whole, so a view among them is computed once, for the
            hashes and for the rows.
    """
    lake = _read_revisions(connection)
    return [
        _read_revised(relation, lake)
        if relation.lake is not None
        else _read_hashed(connection, relation, keep=relation.target not in known)
        for relation in relations
    ]


def condition(relation: Relation, months: Collection[Month], dialect: Dialect = STANDARD, *, in_target: bool) -> str:
    """An SQL condition for the rows of some months.

    Args:
        relation: The relation.
        months: The months; one that a relation is not divided by is ignored.
        dialect: The spelling of the database that the condition is for.
        in_target: Whether columns have their names in the target.
    """
    name = (lambda column: relation.column(column).target) if in_target else (lambda column: column)
    by_month: dict[str, set[str]] = {}
    for strategy, month in months:
        by_month.setdefault(month, set()).add(strategy)
    found = []
    for month, strategies in sorted(by_month.items()):
        terms = []
        if relation.by_strategy:
            terms.append(_among(dialect.quote(name("strategy")), strategies, dialect))
        if relation.time is not None:
            is_date = relation.column(relation.time).type == "DATE"
            terms.append(_within(dialect.quote(name(relation.time)), month, is_date, dialect))
        found.append(f"({' AND '.join(terms)})" if terms else "true")
    return " OR ".join(found) or "false"


def divide(relation: Relation) -> Month:
    """DuckDB's expressions for the strategy and the month that a row belongs to."""
    owner = literal(relation.owner or "")
    return Month(
        "coalesce(strategy, '')" if relation.by_strategy else owner,
        "''" if relation.time is None else f"coalesce({_month_of(relation)}, '')",
    )


def _read_revisions(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[Month, str]]:
    found: dict[str, dict[Month, str]] = {}
    for table, strategy, month, revision in connection.execute("FROM meter.partitions").fetchall():
        found.setdefault(table, {})[Month(strategy, month)] = str(revision)
    return found


def _read_revised(relation: Relation, lake: Mapping[str, Mapping[Month, str]]) -> Content:
    states = lake.get(relation.lake or "", {})
    if relation.owner is not None:
        states = {month: state for month, state in states.items() if month.strategy == relation.owner}
    return Content(relation, states, relation.quoted)


def _read_hashed(connection: duckdb.DuckDBPyConnection, relation: Relation, *, keep: bool) -> Content:
    rows_of = relation.quoted
    if keep and relation.is_view:
        rows_of = quote(f"_meter_kept_{relation.target}")
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {rows_of} AS FROM {relation.quoted}")
    strategy, month = divide(relation)
    columns = ", ".join(quote(column.name) for column in relation.columns)
    # Two sums of independent hashes: no rows can take each other's place by chance, in whatever order they come.
    rows = connection.execute(
        f"SELECT {strategy}, {month}, count(*) || '.' || sum(hash({columns})) || '.' || sum(hash({columns}, 1)) "  # noqa: S608
        f"FROM {rows_of} GROUP BY ALL"
    ).fetchall()
    if relation.time is not None and not all(_MONTH.fullmatch(month) or not month for _, month, _ in rows):
        # A time beyond all calendars, such as infinity, is in no month.
        return _read_hashed(connection, replace(relation, time=None), keep=keep)
    return Content(relation, {Month(slug, month): state for slug, month, state in rows}, rows_of)


def _month_of(relation: Relation) -> str:
    column = relation.column(relation.time or "")
    time = quote(column.name) if column.type == "DATE" else f"{quote(column.name)} AT TIME ZONE 'UTC'"
    return f"strftime({time}, '%Y-%m')"


def _among(column: str, strategies: Collection[str], dialect: Dialect) -> str:
    listed = f"{column} IN ({', '.join(map(dialect.literal, sorted(strategies)))})"
    return f"({listed} OR {column} IS NULL)" if "" in strategies else listed


def _within(column: str, month: str, is_date: bool, dialect: Dialect) -> str:
    if not month:
        return f"{column} IS NULL"
    first, after = (dialect.first_moment(day, is_date) for day in _bounds(month))
    return f"{column} >= {first} AND {column} < {after}"


def _bounds(month: str) -> Iterator[str]:
    year, number = map(int, month.split("-"))
    yield f"{month}-01"
    yield f"{year + number // 12:04d}-{number % 12 + 1:02d}-01"
