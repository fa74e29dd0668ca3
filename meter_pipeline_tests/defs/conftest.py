"""A pipeline in a folder of its own: a sandbox, settings in the environment, a Dagster instance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from meter_pipeline.api import set_wait_scale
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_client, open_store
from meter_pipeline.defs import build_defs
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync import SyncReport, sync

CANARY = "sk_live_canary7d1f0"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Pipeline:
    """What a data engineer has: settings, definitions loaded again at will, an instance that remembers."""

    sandbox: Sandbox
    settings: Settings
    instance: dg.DagsterInstance

    def defs(self) -> dg.Definitions:
        """Definitions as a code server would load them now."""
        return build_defs(self.settings)

    def run(
        self, *selection: str, defs: dg.Definitions | None = None, fails: bool = False, **config: Any
    ) -> dg.ExecuteInProcessResult:
        """The `sync` job, or what is selected of it."""
        ops = {"ops": {"meter_sync": {"config": config}}} if config else {}
        result = (
            (defs or self.defs())
            .resolve_job_def("sync")
            .execute_in_process(
                instance=self.instance,
                run_config={**QUIET, **ops},
                asset_selection=[dg.AssetKey.from_user_string(key) for key in selection] or None,
                raise_on_error=False,
            )
        )
        assert result.success is not fails
        return result

    def sync(self) -> SyncReport:
        """What `meter-pipeline sync` does, without Dagster."""
        with open_store(self.settings) as store, open_client(self.settings) as client:
            return sync(client, store.ledger, store.lake)

    def scrape(self, strategy: str, *items: dict[str, Any] | bytes, **fields: Any) -> str:
        """One more job of a strategy; returns its id."""
        self.sandbox.advance(hours=1)
        return self.sandbox.insert_job(strategy, items=list(items), **fields)


@pytest.fixture
def pipeline(
    make_sandbox: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """Two strategies with two jobs each, none of them loaded yet."""
    sandbox = make_sandbox(worlds=(), api_key=CANARY)
    monkeypatch.chdir(tmp_path)
    for name in ("METER_API_PREFIX", "METER_LEDGER_URL", "METER_LAKE_URL", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("METER_API_KEY", CANARY)
    monkeypatch.setenv("METER_BASE_URL", sandbox.url)
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path / "data"))
    # Most tests are about the sync; test_models.py is about the models.
    monkeypatch.setenv("METER_DBT_PROJECT", "none")
    set_wait_scale(0)
    sandbox.add_strategy("Books", "https://books.example/new")
    sandbox.add_strategy("Lamps", "https://lamps.example/")
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        made = Pipeline(sandbox, Settings.from_env(), instance)
        for price in (12.5, 11):
            made.scrape("Books", {"title": "Tide Tables", "Price": price}, {"title": "Salt Road", "Price": 9})
            made.scrape("Lamps", {"name": "Moon | Sun", "watt": 40})
        yield made
    set_wait_scale(1)


def logged(pipeline: Pipeline, result: dg.ExecuteInProcessResult) -> list[str]:
    """Messages of the run's log."""
    return [record.user_message for record in pipeline.instance.all_logs(result.run_id)]


def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
    """Keys of the assets that the run materialised, in order."""
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]


def metadata(result: dg.ExecuteInProcessResult, key: str) -> dict[str, Any]:
    """Metadata of the run's materialisation of an asset."""
    found = result.asset_materializations_for_node("meter_sync")
    return next(dict(m.metadata) for m in found if m.asset_key.to_user_string() == key)


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the failed step says."""
    event = next(event for event in result.all_events if event.is_step_failure)
    error = event.step_failure_data.error
    assert error is not None
    return error.message.strip()
