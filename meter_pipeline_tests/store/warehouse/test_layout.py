"""The layout's number: tables, views and macros of the warehouse do not change without a new one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from meter_pipeline.store import columns
from meter_pipeline.store.columns import Field, Type
from meter_pipeline.store.lake.lake import CHANGES, RAW, Lake, results_schema
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.times import moment
from meter_pipeline.store.warehouse import raw_side, views
from meter_pipeline.store.warehouse.layout import FINGERPRINT, LAYOUT
from meter_pipeline.store.warehouse.snapshot import link_lake, read_ledger
from meter_pipeline_tests.store.records import job, strategy

_TIME = "2026-03-02T06:00:00.000000Z"
_FIELDS = [Field("price", Type("integer"), ("", "", 0))]


class Recorder:
    """A connection that keeps the views and macros it is given, as they are written here.

    DuckDB would answer with SQL of its own, which differs from version to version.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.statements: list[str] = []

    def execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        """Runs a statement."""
        if statement.lstrip().startswith(("CREATE VIEW", "CREATE MACRO")):
            self.statements.append(" ".join(statement.split()))
        return self._connection.execute(statement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.fixture
def lines(tmp_path: Path, ledger: Ledger, lake: Lake) -> list[str]:
    """What makes the layout, a line a view, macro or column: of a loaded strategy and of one that is being loaded."""
    ledger.record_strategies([strategy("a", "Loaded"), strategy("b", "Being loaded")])
    ledger.record_jobs([job("1", "a")])
    ledger.commit("a", [{"job_id": "1", "state": "accepted", "items": 1}], fields=_FIELDS, dirty=False)
    results = results_schema(columns.columns(_FIELDS))
    for table, schema in (("raw", RAW), ("results", results), ("changes", CHANGES)):
        row = {"job_id": "1", "_meter_job_id": "1", "price": 1}
        times = dict.fromkeys(("completed_at", "_meter_completed_at", "observed_at"), moment(_TIME))
        lake.replace(table, "loaded", pa.Table.from_pylist([{**row, **times}], schema), {"1"}, thorough=False)
    folder = tmp_path / "publications" / "candidate"
    folder.mkdir(parents=True)
    shown, linked = read_ledger(ledger), link_lake(lake, folder, frozenset({"loaded"}))
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        recorder: Any = Recorder(connection)
        raw_side.build_raw_side(recorder, shown, linked, shown.moving(ledger), folder.name)
        found = connection.execute(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE schema_name IN ('meter', 'results') ORDER BY schema_name, table_name, column_index"
        ).fetchall()
    statements = [statement.replace(linked.source, "LAKE") for statement in recorder.statements]
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


def test_the_fingerprint_is_made_of_every_view_macro_and_column_and_of_no_path(
    lines: list[str], tmp_path: Path
) -> None:
    text = "\n".join(lines)
    for macro in views.MACROS:
        assert " ".join(macro.split()) in text
    for name in ("items", "item_changes", "item_versions", "changed_partitions"):
        assert f"CREATE VIEW meter.{name} AS" in text
    assert 'CREATE VIEW results."loaded" AS SELECT * FROM read_parquet(\'LAKE/' in text
    assert "WHERE strategy NOT IN ('being_loaded') OR job_id IN" in text
    assert "results loaded price BIGINT" in text
    assert "meter jobs job_id VARCHAR" in text
    assert str(tmp_path) not in text


def test_a_changed_macro_is_another_layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = views.MACROS
    monkeypatch.setattr(views, "MACROS", (first.replace("THEN value END", "THEN nullif(value, '') END"), *rest))
    assert digest(request.getfixturevalue("lines")) != FINGERPRINT
