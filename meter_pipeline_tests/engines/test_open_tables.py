"""DuckDB's extensions iceberg and ducklake read the files of a publication, and agree with the warehouse.

`make engines` runs it on the DuckDB that PyPI has the extensions for.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from meter_pipeline.store.warehouse.build import reading
from meter_pipeline_tests.engines.history import SUMS, History, read_with_duckdb

pytestmark = pytest.mark.extensions

_DOCS = Path(__file__).parents[2] / "docs" / "open-tables.md"


@pytest.fixture
def extensions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The extensions of PyPI, installed for a user who had none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with duckdb.connect() as connection:
        for name in ("avro", "iceberg", "ducklake"):
            package = _folder(f"duckdb_extension_{name}")
            connection.execute(f"INSTALL '{package}/extensions/v{duckdb.__version__}/{name}.duckdb_extension'")


def _folder(package: str) -> Path:
    found = find_spec(package)
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


def test_duckdb_reads_the_open_tables(history: History, extensions: None) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET autoinstall_known_extensions = false; LOAD avro; LOAD iceberg")
        books, raw = (
            f"iceberg_scan('{history.shelf.table(name).metadata_location}')" for name in ("results.books", "meter.raw")
        )
        sums = SUMS.format(time="epoch_us(_meter_completed_at)", tags="len(tags)")
        (facts,) = connection.execute(f"SELECT {sums} FROM {books}").fetchall()
        counts = connection.execute(f"SELECT strategy, count(*) FROM {raw} GROUP BY ALL").fetchall()
    assert (facts, dict(counts)) == read_with_duckdb(history)


def test_the_ducklake_of_the_docs_lists_the_files_of_a_publication(
    history: History, extensions: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    section = _DOCS.read_text().split("## DuckLake")[1]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (tmp_path / "data").symlink_to(history.folder)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(_DOCS), "exec"), {})
    with duckdb.connect() as lake:
        lake.execute("SET autoinstall_known_extensions = false; LOAD ducklake")
        lake.execute(f"ATTACH 'ducklake:{tmp_path}/data/meter.ducklake' AS lake (READ_ONLY)")
        sums = SUMS.format(time="epoch_us(_meter_completed_at)", tags="len(tags)")
        (facts,) = lake.execute(f"SELECT {sums} FROM lake.results.books").fetchall()
        counts = lake.execute("SELECT strategy, count(*) FROM lake.meter.raw GROUP BY ALL").fetchall()
        changes = lake.execute("SELECT count(*) FROM lake.meter.changes").fetchall()
    assert (facts, dict(counts)) == read_with_duckdb(history)
    with reading(history.shelf.path) as connection:
        assert connection.execute("SELECT count(*) FROM meter.item_changes").fetchall() == changes
    assert not list(history.folder.rglob("ducklake-*.parquet"))
