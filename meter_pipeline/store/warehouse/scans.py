"""SQL that reads listed Parquet files of the lake, whatever the folders above them are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Characters that DuckDB's patterns take literally only between brackets.
_WILD = re.compile(r"[*?\[]")
# Number of files that are listed as one text, with this mark between them: each item of a list is parsed, copied and
# evaluated by itself, which for 20,000 files takes a publication and every query twice as long.
_MANY = 100
_MARK = "|"


def literal(name: str) -> str:
    """A file's name as DuckDB's functions take it, in quotes."""
    return "'" + _WILD.sub(lambda wild: f"[{wild[0]}]", name).replace("'", "''") + "'"


def listed(root: str, names: Sequence[str]) -> str:
    """A list of files below a folder or URL, as SQL."""
    folder = literal(root)[1:-1]
    if len(names) > _MANY and _MARK not in folder:
        texts = f"'{folder}/' || replace('{_MARK.join(names)}', '{_MARK}', '{_MARK}{folder}/')"
        return f"string_split({texts}, '{_MARK}')"
    return "[" + ", ".join(f"'{folder}/{name}'" for name in names) + "]"


def of_strategy(root: str, names: Sequence[str]) -> str:
    """A table function with a strategy's rows, in the columns of its files alone."""
    return f"read_parquet({listed(root, names)}, hive_partitioning = false)"


def of_table(root: str, names: Sequence[str]) -> str:
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
