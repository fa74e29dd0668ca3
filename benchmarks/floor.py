"""The floor: what a few lines that load the same world cost, without care for anything that may go wrong.

Run as ``python -m benchmarks.floor URL FOLDER``. It fetches with requests, parses with PyArrow's JSON reader, writes a
Parquet file a strategy and a DuckDB table of all. Types are what PyArrow makes of each body; nothing is tried again,
compared, audited or safe to interrupt, and there are no changes, no raw copy and no second load.
"""

from __future__ import annotations

import io
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
import requests

from benchmarks.server import API_KEY

DATABASE = "floor.duckdb"
PAGE = 100


def load(url: str, folder: Path) -> None:
    """Loads a world into a folder: ``parquet/*.parquet``, and ``floor.duckdb`` with the schema ``meter``."""
    (folder / "parquet").mkdir(parents=True, exist_ok=True)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {API_KEY}"
    strategies = pa.Table.from_pylist(_list(session, f"{url}/api/strategies"))
    jobs = sorted(_list(session, f"{url}/api/jobs"), key=lambda row: (row["strategy_id"], row["created_at"]))
    for strategy, rows in groupby(jobs, key=lambda row: row["strategy_id"]):
        tables = [_fetch(session, url, row["id"]) for row in rows]
        pq.write_table(
            pa.concat_tables(tables, promote_options="permissive"), folder / "parquet" / f"{strategy}.parquet"
        )
    with duckdb.connect(str(folder / DATABASE)) as connection:
        connection.execute("CREATE SCHEMA meter")
        connection.register("found", strategies)
        connection.execute("CREATE TABLE meter.strategies AS FROM found")
        files = str(folder / "parquet" / "*.parquet")
        connection.execute("CREATE TABLE meter.items AS FROM read_parquet(?, union_by_name = true)", [files])


def _list(session: requests.Session, url: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while page := session.get(url, params={"limit": PAGE, "offset": len(rows)}, timeout=60).json():
        rows += page
    return rows


def _fetch(session: requests.Session, url: str, job_id: str) -> pa.Table:
    body = session.get(f"{url}/api/jobs/{job_id}", timeout=600).content
    items = parse_items(body)
    return items.append_column("job_id", pa.array([job_id] * len(items)))


def parse_items(body: bytes) -> pa.Table:
    """The ``results`` of a job's body as a table: by PyArrow, or by Python where PyArrow cannot read them."""
    try:
        # The body is one row, and a row must fit into a block.
        options = pa.json.ReadOptions(block_size=len(body) + 1)
        results = pa.json.read_json(io.BytesIO(body), read_options=options)["results"].combine_chunks()
        return pa.Table.from_struct_array(results.flatten())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError):
        return pa.Table.from_pylist(json.loads(body)["results"])


if __name__ == "__main__":
    load(sys.argv[1], Path(sys.argv[2]))
