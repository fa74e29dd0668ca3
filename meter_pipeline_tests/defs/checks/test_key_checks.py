"""A strategy without a key, or with one that does not identify its items, is a warning; while it learns it is none."""

from __future__ import annotations

from typing import Any

import dagster as dg

from meter_pipeline_tests.defs.conftest import Pipeline


def scrape(pipeline: Pipeline, jobs: int, *, unstable: bool = False) -> None:
    """Jobs of a page whose items have a code, which may be another one in each job."""
    for day in range(jobs):
        pipeline.scrape("Books", *(_item(number, day if unstable else 0, day) for number in range(40)))


def _item(number: int, code: int, day: int) -> dict[str, Any]:
    return {"krell": f"k{code}-{number}", "place": f"shelf {number % 3}", "Price": number % 5 + day}


def evaluate(pipeline: Pipeline, key: str = "results/books") -> dg.AssetCheckEvaluation:
    """The check of a strategy in a run that loads it."""
    evaluations = pipeline.run(key).get_asset_check_evaluations()
    (found,) = (check for check in evaluations if check.check_name == "items_have_a_key")
    return found


def read_metadata(pipeline: Pipeline) -> dict[str, Any]:
    """The metadata of the books' latest materialisation."""
    event = pipeline.instance.get_latest_materialization_event(dg.AssetKey(["results", "books"]))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_a_key_that_was_found_passes_and_shows_its_candidates(pipeline: Pipeline) -> None:
    pipeline.sync()
    scrape(pipeline, 5)
    check = evaluate(pipeline)
    assert check.passed
    assert check.description == "items are identified by krell (suggested)"
    assert "**krell** · accepted · in 98% of items" in str(check.metadata["candidates"].value)
    assert "key finding" not in read_metadata(pipeline)


def test_a_strategy_without_a_key_is_a_warning_once_enough_was_seen(pipeline: Pipeline) -> None:
    pipeline.sync()
    scrape(pipeline, 1)
    learning = evaluate(pipeline)
    assert learning.passed
    assert (learning.description or "").startswith("no key yet")
    scrape(pipeline, 12, unstable=True)
    check = evaluate(pipeline)
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert (check.description or "").startswith("no key: every change shows as removed + added; candidates: krell (")
    assert "meter.yaml" in (check.description or "")
    assert read_metadata(pipeline)["key finding"] == check.description


def test_a_key_that_changes_in_every_job_is_a_warning_that_names_it(pipeline: Pipeline) -> None:
    pipeline.sync()
    scrape(pipeline, 8)
    assert evaluate(pipeline).passed
    scrape(pipeline, 16, unstable=True)
    check = evaluate(pipeline)
    assert not check.passed
    assert (check.description or "").startswith("the key that was found, krell, does not identify the items: ")


def test_items_that_never_change_need_no_key_yet(pipeline: Pipeline) -> None:
    pipeline.sync()
    for _ in range(3):
        pipeline.scrape("Lamps", *({"name": f"{word} lamp", "watt": 40} for word in ("Moon", "Sun", "Desk")))
    check = evaluate(pipeline, "results/lamps")
    assert check.passed
    assert "no item has changed so far" in (check.description or "")
