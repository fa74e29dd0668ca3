"""A desk whose publications go to a catalog as well, and what its tables and their snapshots hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline.store.warehouse.open_tables import catalogs
from meter_pipeline.store.warehouse.open_tables.tables import Export, export
from meter_pipeline_tests.store.warehouse.open_tables.rest_catalog import TOKEN

Rows = Counter[str]


@dataclass
class Shelf:
    """The open tables of a ledger and a lake.

    Attributes:
        ledger: The ledger.
        lake: The lake.
        path: The warehouse.
        catalog: URL of the catalog.
        lake_url: URL of the lake, with its keys.
        credential: For a REST catalog.
        known: Rows of each snapshot that was ever seen, by table and snapshot.
    """

    ledger: Ledger
    lake: Lake
    path: Path
    catalog: str
    lake_url: str
    credential: str | None = TOKEN
    known: dict[tuple[str, int], Rows] = field(default_factory=dict)

    def publish(self, keep_hours: float = 24) -> Export:
        """Publishes the warehouse and exports it."""
        publish(self.ledger, self.lake, self.path, keep=timedelta(hours=keep_hours))
        return self.export(keep_hours)

    def export(self, keep_hours: float = 24) -> Export:
        """Exports the warehouse."""
        keep = timedelta(hours=keep_hours)
        return export(
            self.ledger,
            self.lake,
            self.path,
            catalog=self.catalog,
            lake_url=self.lake_url,
            credential=self.credential,
            keep=keep,
        )

    def open(self) -> Catalog:
        """The catalog."""
        return catalogs.open_catalog(self.catalog, self.lake, self.lake_url, self.credential)

    def tables(self) -> dict[str, Table]:
        """Every table of the catalog, also those that were replaced, by name."""
        catalog = self.open()
        names = [name for namespace in ("meter", "results") for name in catalog.list_tables(namespace)]
        return {".".join(name): catalog.load_table(name) for name in names}

    def table(self, name: str) -> Table:
        """A table of the catalog."""
        return self.open().load_table(name)

    def files(self, name: str) -> set[str]:
        """Addresses of the files that a table shows."""
        return {task.file.file_path for task in self.table(name).scan().plan_files()}

    def assert_equal_to_warehouse(self) -> None:
        """Each table has the rows of its view in the warehouse, value by value."""
        tables = self.tables()
        with reading(self.path) as connection:
            views = {"meter.raw": "meter_lake.raw", "meter.changes": "meter_lake.changes"}
            views |= {
                f"results.{name}": f'results."{name}"'
                for (name,) in connection.execute(
                    "SELECT DISTINCT strategy FROM meter.lake_files WHERE table_name = 'results'"
                ).fetchall()
            }
            for name, view in views.items():
                shown = connection.execute(f"FROM {view}").to_arrow_table()
                found = tables[name].scan().to_arrow()
                assert set(found.column_names) == set(shown.column_names), name
                assert count_rows(found.to_pylist()) == count_rows(shown.to_pylist()), name
        empty = {name for name in tables if name not in views and "__until_" not in name}
        assert all(tables[name].scan().to_arrow().num_rows == 0 for name in empty)

    def assert_snapshots_unchanged(self) -> int:
        """Each snapshot that a table lists reads what it read when it was new; returns their number."""
        listed = 0
        for name, table in self.tables().items():
            for snapshot in table.snapshots():
                rows = count_rows(table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().to_pylist())
                key = (str(table.metadata.table_uuid), snapshot.snapshot_id)
                assert rows == self.known.setdefault(key, rows), (name, snapshot.snapshot_id)
                listed += 1
        return listed


def count_rows(rows: Iterable[dict[str, Any]]) -> Rows:
    """Rows as a multiset, whatever the order of their columns."""
    return Counter(json.dumps(_sorted(row), sort_keys=True, default=str) for row in rows)


def _sorted(value: Any) -> Any:
    return (
        value.isoformat()
        if hasattr(value, "isoformat")
        else value
        if not isinstance(value, dict)
        else {name: _sorted(inner) for name, inner in value.items()}
    )
