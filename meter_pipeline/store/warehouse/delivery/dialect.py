"""How a database spells names, texts and times in SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meter_pipeline.store.warehouse.sql import literal, quote


def _first_moment(day: str, is_date: bool) -> str:
    # Constants, since files and row groups of the lake are skipped by them alone.
    return f"DATE '{day}'" if is_date else f"TIMESTAMP WITH TIME ZONE '{day} 00:00:00+00'"


@dataclass(frozen=True)
class Dialect:
    """The spelling of one kind of database; the defaults are those of the SQL standard, of DuckDB and PostgreSQL.

    Attributes:
        quote: A name as SQL.
        literal: A text as SQL.
        first_moment: The beginning of a day, given as YYYY-MM-DD, as a constant of type date if the second argument is
            true, else of the type that times have.
    """

    quote: Callable[[str], str] = quote
    literal: Callable[[str], str] = literal
    first_moment: Callable[[str, bool], str] = _first_moment


STANDARD = Dialect()
