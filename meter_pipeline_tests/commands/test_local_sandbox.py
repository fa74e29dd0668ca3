"""What keeps the data of a sandbox apart from Meter's; `builds/test_wheel.py` plays the demo itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from meter_pipeline.commands import local_sandbox
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.connect import open_client, open_store
from meter_pipeline.sandbox import DEMO_WORLDS, Sandbox
from meter_pipeline.sync import sync


def _load(settings: Settings, sandbox: Sandbox) -> int:
    """Syncs; returns how many jobs were listed in all."""
    with open_store(settings) as store, open_client(settings) as client:
        sync(client, store.ledger, store.lake, reconcile=True)
        return sum(count.jobs for count in store.ledger.counts())


def test_the_next_sandbox_goes_on_with_the_same_world(tmp_path: Path) -> None:
    known = []
    for hours in (0, 6):
        with local_sandbox.continue_sandbox(tmp_path, first_days=0.5) as sandbox:
            sandbox.advance(hours=hours)
            settings = Settings(api_key=sandbox.api_key, base_url=sandbox.url, data_dir=tmp_path)
            local_sandbox.refuse_foreign(settings)
            known.append(_load(settings, sandbox))
            now = sandbox.now
    with Sandbox(seed=origin.SEED, worlds=DEMO_WORLDS, days=0.75) as undisturbed:
        assert undisturbed.now == now
        # The world is the same as if it had never stopped: what was known before is not listed under other names.
        assert known[1] == len(undisturbed.world.jobs)
    assert known[1] > known[0]
    assert origin.read(tmp_path) == origin.Origin(origin.SEED, now)


def test_a_sandbox_keeps_out_of_a_folder_with_other_data(tmp_path: Path, sandbox: Sandbox) -> None:
    sandbox.advance(timedelta(hours=2))
    settings = Settings(api_key=sandbox.api_key, base_url=sandbox.url, data_dir=tmp_path)
    local_sandbox.refuse_foreign(settings)
    _load(settings, sandbox)
    with pytest.raises(SettingsError, match="no sandbox made"):
        local_sandbox.refuse_foreign(settings)
    with pytest.raises(SettingsError, match="shared store"):
        local_sandbox.refuse_foreign(Settings(data_dir=tmp_path, lake_url="s3://bucket/lake"))
