"""SQL over the published warehouse: read-only, so that no question can stand in a publication's way."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO


class QueryError(Exception):
    """A question that the warehouse cannot answer; the message is one line."""


@dataclass(frozen=True)
class Answer:
    """Columns by name and rows in their order."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def ask(warehouse: Path, sql: str) -> Answer:
    """What the published warehouse answers to `sql`.

    Raises:
        WarehouseError: There is no warehouse yet, or it is damaged.
        QueryError: DuckDB refuses the question.
    """
    import duckdb

    from meter_pipeline.store.warehouse import reading

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


def write_csv(answer: Answer, out: TextIO) -> None:
    """The answer as comma-separated values with a heading."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)
