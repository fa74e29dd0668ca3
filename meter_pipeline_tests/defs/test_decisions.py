"""A person holds, releases and drops jobs from the Launchpad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from meter_pipeline.connect import open_store
from meter_pipeline_tests.defs.conftest import QUIET, Pipeline, failure, logged, materialized


def decide(pipeline: Pipeline, verb: str, *, fails: bool = False, **config: Any) -> dg.ExecuteInProcessResult:
    """Launches one of the jobs."""
    result = (
        pipeline.defs()
        .resolve_job_def(f"{verb}_jobs")
        .execute_in_process(
            instance=pipeline.instance,
            run_config={**QUIET, "ops": {f"meter_{verb}": {"config": config}}},
            raise_on_error=False,
        )
    )
    assert result.success is not fails
    return result


def states(pipeline: Pipeline) -> dict[str, str]:
    """The state of every job, by id."""
    with open_store(pipeline.settings) as store:
        return {row.job_id: row.state for row in store.ledger.jobs()}


def test_jobs_are_held_released_and_dropped_from_the_launchpad(pipeline: Pipeline) -> None:
    pipeline.sync()
    bad = pipeline.scrape("Books", {"title": "Log in"})
    pipeline.run("results/books", "meter/item_changes", "meter/jobs")
    result = decide(pipeline, "hold", jobs=[bad], reason="a login page")
    assert "books: 1 job held, 1 item left the results" in logged(pipeline, result)
    run = pipeline.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["meter/decision"] == "hold"
    assert states(pipeline)[bad] == "held"
    following = pipeline.run("results/books", "meter/item_changes", "meter/jobs")
    assert {"results/books", "meter/item_changes"} <= set(materialized(following))
    check = next(c for c in following.get_asset_check_evaluations() if c.check_name == "no_held_jobs")
    assert f"{bad} (held by hand: a login page)" in (check.description or "")
    decide(pipeline, "release", jobs=[bad])
    assert states(pipeline)[bad] == "accepted"
    decide(pipeline, "drop", jobs=[bad])
    assert states(pipeline)[bad] == "dropped"
    pipeline.sync()
    assert states(pipeline)[bad] == "dropped"


def test_jobs_held_for_the_same_are_released_together(pipeline: Pipeline) -> None:
    held = [pipeline.scrape("Books", {"title": "x"}, item_count=40 + n) for n in range(2)]
    pipeline.sync()
    decide(pipeline, "release", all_like=held[0])
    assert {states(pipeline)[job_id] for job_id in held} == {"accepted"}


def test_a_job_held_for_another_one_changes_the_results_though_no_count_changes(pipeline: Pipeline) -> None:
    held = pipeline.scrape("Books", {"title": "x"}, {"title": "y"}, item_count=40)
    pipeline.sync()
    selection = ("results/books", "meter/item_changes")
    assert set(materialized(pipeline.run(*selection))) == set(selection)
    assert materialized(pipeline.run(*selection)) == []
    accepted = next(
        job_id for job_id, state in states(pipeline).items() if state == "accepted" and job_id in _books(pipeline)
    )
    decide(pipeline, "hold", jobs=[accepted])
    decide(pipeline, "release", jobs=[held])
    assert set(materialized(pipeline.run(*selection))) == set(selection)


def _books(pipeline: Pipeline) -> set[str]:
    """Ids of the jobs of the strategy Books."""
    with open_store(pipeline.settings) as store:
        (books,) = (row for row in store.ledger.strategies() if row.slug == "books")
        return {row.job_id for row in store.ledger.jobs(books.strategy_id)}


@pytest.mark.parametrize(
    ("verb", "config", "message"),
    [
        ("hold", {"jobs": ["nobody"]}, "no job nobody: see `meter-pipeline jobs list`"),
        ("drop", {}, "no job is named: give the ids of the jobs to be dropped"),
        ("release", {"jobs": []}, "no job is named: give the ids of the jobs to be released"),
    ],
)
def test_a_mistake_fails_the_run_in_one_line(
    pipeline: Pipeline, verb: str, config: dict[str, Any], message: str
) -> None:
    pipeline.sync()
    assert message in failure(decide(pipeline, verb, fails=True, **config))


def test_rejected_items_are_let_in_from_the_launchpad(pipeline: Pipeline) -> None:
    job = pipeline.scrape("Books", *({"title": f"Book {n}"} for n in range(8)), b'{"title":"x","price":NaN}')
    pipeline.sync()
    result = decide(pipeline, "release", jobs=[job], items=True)
    assert "books: 1 rejected item of 1 job let in" in logged(pipeline, result)
    with open_store(pipeline.settings) as store:
        (row,) = store.ledger.jobs(ids=[job])
    assert (row.items, row.rejected) == (9, 0)
    assert "has no rejected items" in failure(decide(pipeline, "release", fails=True, jobs=[job], items=True))


def audit_again(pipeline: Pipeline, *, fails: bool = False, **config: Any) -> dg.ExecuteInProcessResult:
    """Launches the job `audit_again`."""
    result = (
        pipeline.defs()
        .resolve_job_def("audit_again")
        .execute_in_process(
            instance=pipeline.instance,
            run_config={**QUIET, "ops": {"meter_audit": {"config": config}}},
            raise_on_error=False,
        )
    )
    assert result.success is not fails
    return result


def test_jobs_are_judged_again_from_the_launchpad_and_the_verdicts_count_when_they_are_applied(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    for _ in range(4):
        pipeline.scrape("Boots", *({"title": f"Boot {n}", "price": n + 1.5} for n in range(12)))
    empty = pipeline.scrape("Boots", *({"title": f"Boot {n}", "price": None} for n in range(12)))
    pipeline.sync()
    assert states(pipeline)[empty] == "held"
    (tmp_path / "meter.yaml").write_text("strategies:\n  boots:\n    audit:\n      flag: ['*']\n")
    result = audit_again(pipeline, strategies=["boots"])
    assert any(f"boots: job {empty}: held, now flagged: price" in line for line in logged(pipeline, result))
    assert states(pipeline)[empty] == "held"
    audit_again(pipeline, strategies=["boots"], apply=True)
    assert states(pipeline)[empty] == "accepted"
    assert "no strategy 'nobody'" in failure(audit_again(pipeline, fails=True, strategies=["nobody"]))
