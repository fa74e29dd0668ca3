"""A strategy that several syncs in a row have skipped is named by a check, with its holder."""

from __future__ import annotations

import os

import dagster as dg

from meter_pipeline.connect import open_ledger
from meter_pipeline_tests.defs.conftest import Pipeline


def _check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [check for check in result.get_asset_check_evaluations() if check.check_name == "no_strategy_is_held_up"]
    return found


def _sync(pipeline: Pipeline) -> dg.ExecuteInProcessResult:
    return pipeline.run("meter/jobs", "results/books")


def test_a_strategy_that_three_syncs_have_skipped_is_a_warning_until_it_is_free(pipeline: Pipeline) -> None:
    pipeline.sync()
    pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8})
    with open_ledger(pipeline.settings) as holder:
        claim = holder.claims.try_claim("books")
        assert claim is not None
        assert [_check(_sync(pipeline)).passed for _ in range(3)] == [True, True, False]
        check = _check(_sync(pipeline))
        assert check.severity == dg.AssetCheckSeverity.WARN
        assert (check.description or "").startswith(f"books: meter-pipeline (process {os.getpid()} on ")
        assert (check.description or "").endswith("UTC, skipped 4 times")
    assert _check(_sync(pipeline)).passed
