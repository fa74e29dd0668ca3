"""What a run says when it cannot work, and what it never says."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest

from meter_pipeline.api import JobBody, MeterClient
from meter_pipeline.config import origin
from meter_pipeline.store.errors import StoreError
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline_tests.behaviour.thorough import slow
from meter_pipeline_tests.defs.conftest import CANARY, Pipeline, failure, materialized


def test_a_wrong_key_is_one_line_and_no_retry(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METER_API_KEY", "sk_live_wrong")
    result = pipeline.run(fails=True)
    assert "401" in failure(result)
    assert "METER_API_KEY" in failure(result)
    assert len(failure(result).splitlines()) == 1
    event = next(event for event in result.all_events if event.is_step_failure)
    assert event.step_failure_data.user_failure_data is not None
    assert "sk_live_wrong" not in "".join(map(str, result.all_events))


def test_a_missing_key_names_the_variable(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METER_API_KEY")
    assert "METER_API_KEY is not set" in failure(pipeline.run(fails=True))


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [("METER_API_KEY", "sk_live_wrong", "configuration"), slow("METER_API_KEY", "", "configuration"),
     ("METER_BASE_URL", "api.meter.sh", "configuration")],
)  # fmt: skip
def test_what_ended_a_run_stands_in_the_record_of_its_sync(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str, value: str, cause: str
) -> None:
    pipeline.sync()
    monkeypatch.setenv(name, value)
    failed = failure(pipeline.run(fails=True))
    ledger = Ledger.open(pipeline.settings.ledger)
    last = ledger.last_sync()
    ledger.close()
    assert last is not None
    assert (last["ended_by"], last["exit_code"]) == (cause, 2)
    assert last["problem"] in failed


def test_a_fault_of_this_program_fails_the_run_once_everything_else_is_loaded(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.sync()
    pipeline.run("results/books")
    ids = [pipeline.scrape("Books", {"title": "Tide Tables", "Price": price}) for price in (8, 9, 10)]
    usual = MeterClient.job_body

    def job_body(self: MeterClient, job_id: str) -> JobBody:
        return usual(self, job_id) if job_id != ids[1] else usual(self, None).missing  # type: ignore[arg-type]

    monkeypatch.setattr(MeterClient, "job_body", job_body)
    result = pipeline.run("results/books", fails=True)
    assert f"books: job {ids[1]} is unreadable: a fault of meter-pipeline itself" in failure(result)
    assert "results/books" in materialized(result)


def test_an_api_that_is_not_there_is_one_line(pipeline: Pipeline) -> None:
    pipeline.sandbox.stop()
    assert "connection refused" in failure(pipeline.run(fails=True))


def test_a_strategy_that_is_not_there_is_one_line(pipeline: Pipeline) -> None:
    assert "no strategy 'nope'" in failure(pipeline.run(fails=True, strategies=["nope"]))


def test_the_data_of_meter_does_not_land_among_the_sandboxs(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.write(pipeline.settings.data_dir, origin.Origin())
    pipeline.sync()
    monkeypatch.setenv("METER_BASE_URL", "https://api.meter.sh")
    pipeline.settings = type(pipeline.settings).from_env()
    assert "holds the sandbox's data" in failure(pipeline.run(fails=True))


def test_what_was_scraped_reaches_no_terminal_through_dagsters_logs(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\x9b1m\u202e"
    job = pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8}, item_count=40, job_id=f"job{hostile}")
    loud = {"loggers": {"console": {"config": {"log_level": "DEBUG"}}}}
    monkeypatch.setattr("meter_pipeline_tests.defs.conftest.QUIET", loud)
    pipeline.run()
    pipeline.run(fails=True, strategies=[f"no{hostile}"])

    for error in (ValueError(f"a defect that quotes {hostile}"), StoreError(f"a file called {hostile}")):

        def breaks(*arguments: object, error: Exception = error, **options: object) -> None:
            raise error

        monkeypatch.setattr("meter_pipeline.sync.sync", breaks)
        pipeline.run(fails=True)
    shown = "".join(capfd.readouterr())
    assert job == f"job{hostile}"
    for said in ("is held", "did not pass", "no strategy", "a defect that quotes", "a file called"):
        assert said in shown
    # Dagster's own colours are the only sequences that are left.
    left = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert not set(left) & set("\x1b\x07\x9b\u202e")


def test_the_key_is_nowhere_in_what_dagster_or_the_pipeline_keeps(pipeline: Pipeline, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    pipeline.scrape("Books", {"title": "Tide Tables", "Price": 8}, item_count=40)
    with dg.DagsterInstance.from_config(str(home)) as pipeline.instance:
        result = pipeline.run()
    assert CANARY not in "".join(map(str, result.all_events))
    assert CANARY not in repr(pipeline.defs().resources)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
