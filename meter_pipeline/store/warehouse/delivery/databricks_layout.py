"""How a schema of Databricks holds deliveries: tables that rows are added to, and views that show the newest delivery.

No transaction of Databricks reaches over several tables. So the rows of a delivery are added to *data tables*, each
with the delivery that brought it (its *load*), its strategy and its month. `_meter_partitions` lists, for each
delivery, which load of each month belongs to it. The views join both for the delivery with the highest number in
`_meter_deliveries`: the one row that is added there makes a delivery visible, in all views at once.

A column of a data table has its type in its name. It is never dropped, and one whose type has changed is another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from meter_pipeline.store.warehouse.delivery.dialect import Dialect
from meter_pipeline.store.warehouse.delivery.state import DELIVERIES, PARTITIONS

#: The beginning of a data table's name.
DATA = "_meter_data_"
#: Columns of every data table: who brought a row, and which strategy's month it belongs to.
LOAD, STRATEGY, MONTH = "_load", "_strategy", "_month"
_READABLE = 40


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(text: str) -> str:
    # A dollar and a brace would be replaced by a setting.
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024") + "'"


def _first_moment(day: str, is_date: bool) -> str:
    return f"DATE '{day}'" if is_date else f"TIMESTAMP '{day} 00:00:00+00:00'"


DIALECT = Dialect(_quote, _literal, _first_moment)


@dataclass(frozen=True)
class View:
    """A view as it is to be.

    Attributes:
        name: Its name.
        columns: Types of the columns by name, in their order.
        comments: Comments of columns; those without one are absent.
        comment: What it shows.
    """

    name: str
    columns: Mapping[str, str]
    comments: Mapping[str, str]
    comment: str


def name_column(name: str, type_: str) -> str:
    """The column of a data table for values of one type: Delta's names have no spaces, commas or brackets."""
    digest = blake2b(f"{name}\0{type_}".encode(), digest_size=6).hexdigest()
    return f"{re.sub(r'[^a-z0-9]+', '_', name.lower())[:_READABLE]}_{digest}"


def write_view(view: View, schema: str, before: Mapping[str, str]) -> str:
    """The statement that makes a view.

    Args:
        view: The view.
        schema: Its schema as SQL.
        before: Types of the columns before this delivery: until it is visible, the old rows are shown by them.
    """
    columns = ", ".join(_quote(name) + _note(view.comments.get(name)) for name in view.columns)
    values = ", ".join(
        f"{_value(name, type_, before.get(name, type_))} AS {_quote(name)}" for name, type_ in view.columns.items()
    )
    return (
        f"CREATE OR REPLACE VIEW {schema}.{_quote(view.name)} ({columns}) COMMENT {_literal(view.comment)} AS "  # noqa: S608
        f"SELECT {values} FROM {schema}.{_quote(DATA + view.name)} AS d "
        f"INNER JOIN {schema}.{PARTITIONS} AS p ON {_is_listed(view.name)} "
        f"WHERE p.delivery_id = (SELECT max_by(delivery_id, number) FROM {schema}.{DELIVERIES})"
    )


def write_deletion(name: str, schema: str) -> str:
    """The statement that deletes the rows of a data table which no delivery in `_meter_partitions` lists."""
    return (
        f"DELETE FROM {schema}.{_quote(DATA + name)} AS d WHERE NOT EXISTS "  # noqa: S608
        f"(SELECT 1 FROM {schema}.{PARTITIONS} AS p WHERE {_is_listed(name)})"
    )


def define_column(name: str, type_: str) -> str:
    """A column of a data table, as SQL."""
    return f"{name_column(name, type_)} {type_} COMMENT {_literal(name)}"


def _is_listed(name: str) -> str:
    return (
        f"p.table_name = {_literal(name)} AND p.load = d.{LOAD} AND p.strategy = d.{STRATEGY} AND p.month = d.{MONTH}"
    )


def _value(name: str, type_: str, before: str) -> str:
    column = f"d.{name_column(name, type_)}"
    return column if before == type_ else f"coalesce({column}, try_cast(d.{name_column(name, before)} AS {type_}))"


def _note(comment: str | None) -> str:
    return f" COMMENT {_literal(comment)}" if comment else ""
