"""Snapshots that a publication is made from: ledger and manifest as of one moment, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, select

from meter_pipeline.store.lake.tables import SHOWN
from meter_pipeline.store.ledger import facts, tables
from meter_pipeline.store.ledger.batches import read_table, schema_of
from meter_pipeline.store.ledger.rows import StrategyRow
from meter_pipeline.store.warehouse.ledger_tables import READ

_PARTS = schema_of(tables.parts, hidden=("revision_in", "revision_out", "left_at"))
_PARTITIONS = schema_of(tables.partitions)
_IS_SHOWN = "table_name IN ('{}')".format("', '".join(SHOWN))


@dataclass(frozen=True)
class Snapshot:
    """The ledger as of one moment, but for its jobs, which are too many to be held.

    Attributes:
        revision: The ledger's revision.
        rows: Rows of the ledger's small tables, by table name.
        parts: The parts that count of the tables in `SHOWN`: the ledger's columns, and `strategy`, the slug.
        partitions: When each month of a strategy last changed: table_name, strategy, month, revision; all, or
            those that have changed since another state.
    """

    revision: int
    rows: Mapping[str, list[Any]]
    parts: pa.Table
    partitions: pa.Table

    @cached_property
    def strategies(self) -> list[StrategyRow]:
        """Every strategy, in the order of their slugs."""
        return sorted((StrategyRow(**row._mapping) for row in self.rows["strategies"]), key=lambda row: row.slug)

    @cached_property
    def slugs(self) -> dict[str, str]:
        """Slugs by strategy id."""
        return {row.strategy_id: row.slug for row in self.rows["strategies"]}

    @cached_property
    def names(self) -> dict[str, dict[str, list[str]]]:
        """Names of the parts by table of the lake and slug."""
        return {
            table: {slug: [name for name, *_ in parts] for slug, parts in by_slug.items()}
            for table, by_slug in self._spans.items()
        }

    def find_names(self, table: str, slugs: Iterable[str], since: datetime) -> tuple[list[str], bool]:
        """Names of the parts of a table that may have rows of some strategies since a time.

        Returns:
            The names, and whether these parts may have earlier rows, too.
        """
        start = since.timestamp() * 1e6
        found = [part for slug in slugs for part in self._spans[table].get(slug, ()) if part[2] >= start]
        return [name for name, _, _ in found], any(first_at < start for _, first_at, _ in found)

    @cached_property
    def _spans(self) -> dict[str, dict[str, list[tuple[str, int, int]]]]:
        """Name, first and last time (microseconds since 1970) of the parts by table of the lake and slug."""
        found: dict[str, dict[str, list[tuple[str, int, int]]]] = {table: {} for table in SHOWN}
        columns = (self.parts[name].to_pylist() for name in ("table_name", "strategy", "name"))
        times = (self.parts[name].cast(pa.int64()).to_pylist() for name in ("first_at", "last_at"))
        for table, slug, *span in zip(*columns, *times, strict=True):
            found[table].setdefault(slug, []).append(tuple(span))
        return found


def read_snapshot(connection: Connection, since: int | None = None) -> Snapshot:
    """What a transaction sees that sees one state of the ledger: see `Ledger.reading_state`.

    Args:
        connection: The transaction.
        since: A revision: only partitions that have changed after it; all when None.
    """
    rows = {name: list(connection.execute(select(tables.metadata.tables[name]))) for name in READ}
    slugs = {row.strategy_id: row.slug for row in rows["strategies"]}
    parts = _with_slug(read_table(connection, tables.parts, _PARTS, f"revision_out IS NULL AND {_IS_SHOWN}"), slugs)
    is_new = "true" if since is None else f"revision > {since:d}"
    changed = read_table(connection, tables.partitions, _PARTITIONS, f"{_IS_SHOWN} AND {is_new}")
    partitions = _with_slug(changed, slugs)
    return Snapshot(
        revision=facts.read_revision(connection),
        rows=rows,
        parts=parts.sort_by([("table_name", "ascending"), ("strategy", "ascending"), ("first_at", "ascending")]),
        partitions=partitions.select(["table_name", "strategy", "month", "revision"]),
    )


def _with_slug(table: pa.Table, slugs: Mapping[str, str]) -> pa.Table:
    """Adds `strategy`, the slug; rows of strategies without a row of their own are left out, as there are none."""
    ids = pa.array(slugs.keys(), pa.string())
    names = pa.array(slugs.values(), pa.string()).take(pc.index_in(table["strategy_id"].combine_chunks(), ids))
    return table.append_column("strategy", names)
