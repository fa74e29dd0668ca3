"""`query`: runs SQL on the published warehouse, read-only, so that no query can block a publication."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from meter_pipeline.commands.console import print_json, print_table
from meter_pipeline.commands.options import Json
from meter_pipeline.commands.tables import to_json_value
from meter_pipeline.config.settings import Settings
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.text.printable import json_text, printable

# How a formula begins for spreadsheets; some of them skip blanks before it.
_FORMULA = re.compile(r" *[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
# Rows of a table on a screen; --json and --csv print all.
_MAX_ROWS = 200
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*([eE][+-]?[0-9]+)?%?")


class QueryError(MeterPipelineError):
    """DuckDB refuses a query; the message is one line."""


@dataclass(frozen=True)
class QueryResult:
    """Names of columns, and rows with a value for each column."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def query(
    sql: Annotated[str, typer.Argument(help="A query, such as: select * from meter.jobs limit 5")],
    as_json: Json = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values; control characters show as escapes.")
    ] = False,
    safe_csv: Annotated[
        bool,
        typer.Option("--safe-csv", help="As --csv, for spreadsheets: text that looks like a formula begins with '."),
    ] = False,
    vertical: Annotated[bool, typer.Option("--vertical", help="Print a line for each column of each row.")] = False,
) -> None:
    """Run an SQL query on the published warehouse, read-only.

    On a terminal (or with COLUMNS set) the table is as wide as the screen: long text is shortened, and a line below
    names the columns that do not fit. In a pipe or a file the table is complete. --json keeps every character of the
    data.
    """
    if as_json + (as_csv or safe_csv) + vertical > 1:
        raise typer.BadParameter("--json, --csv and --vertical exclude each other")
    settings = Settings.from_env()
    result = run_query(settings.warehouse, sql, settings.lake)
    if as_csv or safe_csv:
        write_csv(result, sys.stdout, safe=safe_csv)
    elif as_json:
        print_json([dict(zip(result.columns, row, strict=True)) for row in result.rows])
    else:
        print_table(
            result.columns,
            result.rows,
            grouped=False,
            vertical=vertical,
            full_options=("--csv", "--json", "--vertical"),
            max_rows=_MAX_ROWS,
        )


def run_query(warehouse: Path, sql: str, lake_url: str | None = None) -> QueryResult:
    """Runs `sql` on the published warehouse.

    Args:
        warehouse: The published file.
        sql: The query.
        lake_url: The lake's URL, for a warehouse that reads a lake on S3 in place.

    Raises:
        WarehouseError: There is no warehouse yet, or it is damaged.
        QueryError: DuckDB refuses the query, or it is empty.
    """
    import duckdb

    from meter_pipeline.store.warehouse.build import reading

    try:
        with reading(warehouse, lake_url) as connection:
            cursor = connection.execute(sql)
            if cursor is None:
                raise QueryError("the query is empty: give one such as select * from meter.jobs limit 5")
            columns = [column[0] for column in cursor.description or ()]
            return QueryResult(columns, cursor.fetchall() if columns else [])
    except duckdb.Error as error:
        raise QueryError(_first_line(str(error))) from None


def _first_line(text: str) -> str:
    """DuckDB's message without the marked copy of the query below it."""
    return " ".join(line.strip() for line in text.split("\n\n")[0].splitlines())


def write_csv(result: QueryResult, out: TextIO, *, safe: bool = False) -> None:
    """Writes comma-separated values with a heading; nested values are JSON, control characters are escapes.

    Args:
        result: The rows.
        out: The file or stream to write to.
        safe: Whether a spreadsheet will open it. Text is then quoted, and begins with an apostrophe where a spreadsheet
            would read it as a formula: where it begins, after blanks, with = + - @ (wide ones too), a tab or a line
            break. Numbers are unchanged.
    """
    convert = _to_safe_field if safe else _to_field
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC if safe else csv.QUOTE_MINIMAL)
    writer.writerow(map(convert, result.columns))
    writer.writerows(map(convert, row) for row in result.rows)


def _to_field(value: Any) -> Any:
    """Converts a value for `csv`: numbers are unchanged, null is empty."""
    if isinstance(value, str):
        return printable(value, lines=True)
    if isinstance(value, (dict, list, tuple)):
        return json_text(to_json_value(value))
    return value


def _to_safe_field(value: Any) -> Any:
    """Converts a value so that no spreadsheet runs it, by the rules of OWASP against CSV injection."""
    value = _to_field(value)
    if value is None or isinstance(value, (int, float, Decimal)):
        return value
    text = str(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
