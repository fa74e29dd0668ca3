"""SQL that reads listed Parquet files of the lake, whatever the folders above them are called."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Characters that DuckDB's patterns take literally only between brackets.
_WILD = re.compile(r"[*?\[]")


def literal(name: str) -> str:
    """A file's name as DuckDB's functions take it, in quotes."""
    return "'" + _WILD.sub(lambda wild: f"[{wild[0]}]", name).replace("'", "''") + "'"


def listed(root: str, names: Iterable[str]) -> str:
    """A list of files below a folder or URL, as SQL."""
    folder = literal(root)[1:-1]
    return "[" + ", ".join(f"'{folder}/{name}'" for name in names) + "]"


def of_strategy(root: str, names: Iterable[str]) -> str:
    """A table function with a strategy's rows, in the columns of its files alone."""
    return f"read_parquet({listed(root, names)}, hive_partitioning = false)"


def of_table(root: str, names: Iterable[str]) -> str:
    """A table function with the rows of several strategies, and `strategy` after the files' own columns."""
    if "=" not in root:
        return f"read_parquet({listed(root, names)}, hive_partitioning = true, hive_types_autocast = false)"
    # DuckDB takes every folder with a = for a partition, those above the lake first. Parsing file names here instead
    # has a cost: files of other strategies are opened, too.
    slug = "regexp_extract(filename, 'strategy=([^/]+)/[^/]+$', 1) AS strategy"
    return (
        f"(SELECT * EXCLUDE (filename), {slug} "  # noqa: S608
        f"FROM read_parquet({listed(root, names)}, hive_partitioning = false, filename = true))"
    )
