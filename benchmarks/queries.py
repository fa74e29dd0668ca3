"""What a query of a published warehouse costs: its rows as objects of Python, and as an Arrow table.

Run it as ``python -m benchmarks.queries WAREHOUSE QUERY``; `ask` does that in a process of its own. Opening the file is
left out, and so are the imports.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from benchmarks.measure import Cost

_TIMES = 3
_FETCHED: dict[str, Callable[[duckdb.DuckDBPyConnection], object]] = {
    "as rows": lambda connection: connection.fetchall(),
    "as Arrow": lambda connection: connection.to_arrow_table(),
}


def ask(warehouse: Path, query: str) -> dict[str, Cost]:
    """The least of three times for each way to fetch the rows of a query; the memory is not measured."""
    command = [sys.executable, "-m", "benchmarks.queries", str(warehouse), query]
    printed = subprocess.run(command, cwd=Path(__file__).parent.parent, check=True, capture_output=True, text=True)
    return {kind: Cost(wall, cpu, 0) for kind, (wall, cpu) in json.loads(printed.stdout).items()}


def main() -> None:
    """Prints seconds of wall and CPU time as JSON."""
    warehouse, query = sys.argv[1:]
    found: dict[str, list[float]] = {}
    with duckdb.connect(warehouse, read_only=True) as connection:
        connection.execute("SELECT 1").to_arrow_table()
        connection.execute("SELECT now()").fetchall()
        for kind, fetch in _FETCHED.items():
            costs = [_time(connection, query, fetch) for _ in range(_TIMES)]
            found[kind] = [min(values) for values in zip(*costs, strict=True)]
    print(json.dumps(found))


def _time(
    connection: duckdb.DuckDBPyConnection, query: str, fetch: Callable[[duckdb.DuckDBPyConnection], object]
) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    connection.execute(query)
    fetch(connection)
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
