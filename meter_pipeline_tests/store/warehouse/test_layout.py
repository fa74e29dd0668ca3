"""The layout's number: tables and views of the warehouse do not change without a new one."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse import item_versions, ledger_tables, raw_side, views
from meter_pipeline.store.warehouse.layout import FINGERPRINT, LAYOUT
from meter_pipeline.store.warehouse.snapshot import read_snapshot
from meter_pipeline_tests.store.records import strategy
from meter_pipeline_tests.store.warehouse.desk import MARCH, Desk


class Recorder:
    """A connection that keeps the views it is given, as they are written here.

    DuckDB would answer with SQL of its own, which differs from version to version.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.statements: list[str] = []

    def execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        """Runs a statement."""
        if statement.lstrip().startswith(("CREATE VIEW", "CREATE OR REPLACE VIEW")):
            self.statements.append(" ".join(statement.split()).replace("OR REPLACE ", "", 1))
        return self._connection.execute(statement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.fixture
def lines(tmp_path: Path, ledger: Ledger, lake: Lake) -> list[str]:
    """What makes the layout, a line a view or column: of a loaded strategy and of an empty one."""
    ledger.record_strategies([strategy("empty", "Empty")])
    Desk(ledger, lake, tmp_path / "warehouse.duckdb").load("loaded", "1", MARCH, "a")
    root = str(tmp_path / "lake")
    with duckdb.connect(str(tmp_path / "candidate.duckdb")) as connection, ledger.reading_state() as state:
        recorder: Any = Recorder(connection)
        snapshot = read_snapshot(state)
        jobs = ledger_tables.job_batches(state, snapshot.slugs)
        raw_side.create_ledger_tables(recorder, snapshot, jobs)
        item_versions.create(recorder)
        raw_side.create_lake_views(recorder, snapshot, root, None)
        found = connection.execute(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE schema_name IN ('meter', 'meter_lake', 'results') ORDER BY schema_name, table_name, column_index"
        ).fetchall()
    # The names of parts are random.
    statements = [re.sub(r"'[^']*\.parquet'", "PART", statement) for statement in recorder.statements]
    return [*statements, *(" ".join(column) for column in found)]


def digest(lines: list[str]) -> str:
    """The fingerprint of a layout."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:20]


def test_the_layout_is_the_one_that_its_number_stands_for(lines: list[str]) -> None:
    found = digest(lines)
    assert found == FINGERPRINT, (
        f"the layout has changed: raise LAYOUT (it is {LAYOUT}) and note the new fingerprint in "
        f'meter_pipeline/store/warehouse/layout.py: FINGERPRINT = "{found}"'
    )


def test_the_fingerprint_is_made_of_every_view_and_column_and_of_no_path(lines: list[str], tmp_path: Path) -> None:
    text = "\n".join(lines)
    for name in ("items", "item_changes", "item_versions", "changed_partitions"):
        assert f"CREATE VIEW meter.{name} AS" in text
    assert 'CREATE VIEW results."loaded" AS SELECT * FROM read_parquet([PART]' in text
    assert "results loaded price BIGINT" in text
    assert "meter jobs job_id VARCHAR" in text
    assert str(tmp_path) not in text


def test_a_changed_view_is_another_layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    before = views.item_changes
    monkeypatch.setattr(views, "item_changes", lambda rows: before(rows).replace("new_number = 0", "new_number < 0"))
    assert digest(request.getfixturevalue("lines")) != FINGERPRINT
