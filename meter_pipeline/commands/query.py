"""SQL over the published warehouse: read-only, so that no question can stand in a publication's way."""

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

from meter_pipeline.commands.console import emit, show
from meter_pipeline.commands.options import Json
from meter_pipeline.commands.tables import plain
from meter_pipeline.config.settings import Settings
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.text.printable import json_text, printable

# What spreadsheets take for the beginning of a formula, some of them after blanks, too.
_FORMULA = re.compile(r" *[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
# A table for people; whoever wants more rows takes --json or --csv.
_ROWS_SHOWN = 200
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*([eE][+-]?[0-9]+)?%?")


class QueryError(MeterPipelineError):
    """A question that the warehouse cannot answer; the message is one line."""


@dataclass(frozen=True)
class Answer:
    """Columns by name and rows in their order."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def query(
    sql: Annotated[str, typer.Argument(help="For example: select * from meter.jobs limit 5")],
    as_json: Json = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values; control characters show as escapes.")
    ] = False,
    safe_csv: Annotated[
        bool,
        typer.Option("--safe-csv", help="The same for spreadsheets: text that would be a formula begins with '."),
    ] = False,
    vertical: Annotated[
        bool, typer.Option("--vertical", help="Show each row upright, a line for each column.")
    ] = False,
) -> None:
    """Ask the published warehouse, read-only.

    On a terminal (or with COLUMNS set) a table is as wide as the screen, long text is shortened with an ellipsis, and a
    line below names the columns that are not shown. Into a pipe or a file it has every row and column, whole.
    --json keeps every character of the data.
    """
    if as_json + (as_csv or safe_csv) + vertical > 1:
        raise typer.BadParameter("--json, --csv and --vertical exclude each other")
    answer = ask(Settings.from_env().warehouse, sql)
    if as_csv or safe_csv:
        write_csv(answer, sys.stdout, safe=safe_csv)
    elif as_json:
        emit([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    else:
        whole = ("--csv", "--json", "--vertical")
        show(answer.columns, answer.rows, grouped=False, vertical=vertical, whole=whole, most=_ROWS_SHOWN)


def ask(warehouse: Path, sql: str) -> Answer:
    """What the published warehouse answers to `sql`.

    Raises:
        WarehouseError: There is no warehouse yet, or it is damaged.
        QueryError: DuckDB refuses the question.
    """
    import duckdb

    from meter_pipeline.store.warehouse.build import reading

    with reading(warehouse) as connection:
        try:
            cursor = connection.execute(sql)
            if cursor is None:
                raise QueryError("there is no question: give a query, as select * from meter.jobs limit 5")
            columns = [column[0] for column in cursor.description or ()]
            return Answer(columns, cursor.fetchall() if columns else [])
        except duckdb.Error as error:
            raise QueryError(_first_line(str(error))) from None


def _first_line(text: str) -> str:
    """DuckDB's message without the picture of the query that follows it."""
    return " ".join(line.strip() for line in text.split("\n\n")[0].splitlines())


def write_csv(answer: Answer, out: TextIO, *, safe: bool = False) -> None:
    """The answer as comma-separated values with a heading; nested values are JSON, control characters escapes.

    Args:
        answer: What to write.
        out: Where to.
        safe: Whether a spreadsheet will open it. Text is quoted, and begins with an apostrophe where it would be taken
            for a formula: after blanks, with = + - @ (wide ones too), a tab or a line break. Numbers stay as they are.
    """
    field = _safe_field if safe else _field
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC if safe else csv.QUOTE_MINIMAL)
    writer.writerow(map(field, answer.columns))
    writer.writerows(map(field, row) for row in answer.rows)


def _field(value: Any) -> Any:
    """A value as `csv` takes it: numbers as they are, null as nothing."""
    if isinstance(value, str):
        return printable(value, lines=True)
    if isinstance(value, (dict, list, tuple)):
        return json_text(plain(value))
    return value


def _safe_field(value: Any) -> Any:
    """A value that no spreadsheet runs: rules of OWASP for CSV injection."""
    value = _field(value)
    if value is None or isinstance(value, (int, float, Decimal)):
        return value
    text = str(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
