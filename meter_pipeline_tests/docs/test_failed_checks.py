"""The page about Dagster has a sensor that logs the checks that failed in a run."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from meter_pipeline_tests.docs.snippets import read_snippets


@dg.asset(check_specs=[dg.AssetCheckSpec("no_held_jobs", asset="books"), dg.AssetCheckSpec("rows", asset="books")])
def books() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(
                passed=False,
                check_name="no_held_jobs",
                severity=dg.AssetCheckSeverity.WARN,
                description="1 held: no items",
            ),
            dg.AssetCheckResult(passed=True, check_name="rows"),
        ]
    )


def test_each_failed_check_of_a_run_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [snippet] = [found for found in read_snippets() if "def failed_checks" in found.text]
    names: dict[str, dg.SensorDefinition] = {}
    exec(compile(snippet.text, str(snippet), "exec", dont_inherit=True), names)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        done = dg.materialize([books], instance=instance)
        [ended] = done.filter_events(lambda event: event.event_type == dg.DagsterEventType.PIPELINE_SUCCESS)
        capsys.readouterr()
        with dg.build_run_status_sensor_context("failed_checks", ended, instance, done.dagster_run) as context:
            names["failed_checks"](context)
    lines = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert len(lines) == 1
    assert "books:no_held_jobs: 1 held: no items" in lines[0]
