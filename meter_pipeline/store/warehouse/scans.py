"""SQL that reads the lake's Parquet files by a pattern, whatever the folders above them are called."""

from __future__ import annotations

import re

# Characters that DuckDB's patterns take literally only between brackets.
_WILD = re.compile(r"[*?\[]")


def pattern(folder: str, below: str) -> str:
    """The text between the quotes of an SQL string: the pattern `below` in a folder, whose name is taken literally."""
    return f"{_WILD.sub(lambda wild: f'[{wild[0]}]', folder)}/{below}".replace("'", "''")


def of_strategy(folder: str, table: str, slug: str) -> str:
    """A table function with a strategy's rows, in the columns of its files alone."""
    files = pattern(folder, f"{table}/strategy={slug}/*/*.parquet")
    return f"read_parquet('{files}', hive_partitioning = false)"


def of_table(folder: str, table: str) -> str:
    """A table function with the rows of all strategies, and `strategy`, `month` after the files' own columns."""
    files = pattern(folder, f"{table}/*/*/*.parquet")
    if "=" not in folder:
        return f"read_parquet('{files}', hive_partitioning = true, hive_types_autocast = false)"
    # DuckDB takes every folder with a = for a partition, those above the lake first. Parsing file names here instead
    # has a cost: files of other strategies are opened, too.
    names = r"regexp_extract(filename, 'strategy=([^/]+)/month=([^/]+)/[^/]+$', {}) AS {}"
    return (
        f"(SELECT * EXCLUDE (filename), {names.format(1, 'strategy')}, {names.format(2, 'month')} "  # noqa: S608
        f"FROM read_parquet('{files}', hive_partitioning = false, filename = true))"
    )
