"""`publish --tables iceberg`: what it prints, and the lines of what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.catalog import load_catalog

from meter_pipeline.host import extras
from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.commandline import Command, one_line


def test_a_publication_goes_to_the_tables_that_are_asked_for(meter: Command, tmp_path: Path) -> None:
    meter("sync")
    done = meter("publish", "--tables", "iceberg")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "open tables: 3 of 4 changed, 3 files came and 0 went"
    catalog = load_catalog("meter", type="sql", uri=f"sqlite:///{tmp_path}/data/catalog.sqlite", warehouse="data")
    assert catalog.load_table("results.books").scan().to_arrow()["price"].to_pylist() == [12, 11]


def test_the_setting_does_as_the_option_and_the_option_wins(meter: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METER_TABLES", "iceberg")
    meter("sync")
    assert "open tables" not in meter("publish", "--tables", "none").out
    assert meter("publish", "--json").document["open_tables"]["changed"] == 3
    assert meter("publish").out.splitlines()[-1] == "open tables: none of 4 has changed"


def test_a_publication_that_is_put_back_is_shown_by_the_tables(
    meter: Command, shop: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METER_TABLES", "iceberg")
    meter("sync")
    meter("publish")
    shop.advance(hours=1)
    shop.insert_job("Books", items=[{"title": "Tide Tables", "price": 10}])
    meter("sync")
    meter("publish")
    assert "open tables: 3 of 4 changed" in meter("publish", "--rollback").out


def test_without_the_package_nothing_is_published(
    meter: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    meter("sync")
    monkeypatch.setitem(extras._MODULES, "iceberg", ("no_such_package",))
    line = one_line(meter("publish", "--tables", "iceberg"))
    assert "pip install 'meter-pipeline[iceberg]'" in line
    assert not (tmp_path / "data" / "warehouse.duckdb").exists()
