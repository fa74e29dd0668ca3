"""A run brings the open tables up to date; where it cannot, the warehouse is published all the same."""

from __future__ import annotations

import pytest

from meter_pipeline_tests.defs.conftest import Pipeline, failure, materialized


def test_a_run_ends_with_the_open_tables_of_what_it_has_published(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METER_TABLES", "iceberg")
    result = pipeline.run()
    (event,) = [found for found in result.get_asset_materialization_events() if found.asset_key.path[-1] == "warehouse"]
    facts = event.materialization.metadata
    # A table without rows has no snapshot yet.
    assert facts["open tables"].value > facts["open tables changed"].value > 2


def test_a_catalog_that_is_down_fails_the_run_in_one_line_after_the_publication(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METER_TABLES", "iceberg")
    monkeypatch.setenv("METER_CATALOG_URL", "postgresql://me:canary-5c2ab@127.0.0.1:1/db")
    result = pipeline.run(fails=True)
    assert "warehouse" in materialized(result)
    line = failure(result)
    assert "published, but the open tables of postgresql://127.0.0.1:1/db are not up to date" in line
    assert "canary-5c2ab" not in line + repr(list(result.all_events))
