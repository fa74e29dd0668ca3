"""The demo from the first command to the last line, and what keeps its data apart from Meter's."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from meter_pipeline.commands import local_sandbox
from meter_pipeline.config import origin
from meter_pipeline.config.settings import Settings, SettingsError
from meter_pipeline.connect import open_client, open_store
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.sync import sync


def _bare(folder: Path) -> dict[str, str]:
    """The environment of a machine on which nothing is configured."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "METER_DATA_DIR": str(folder / "data"),
        "XDG_CACHE_HOME": cache,
        # How memory is allocated, see the Makefile.
        **{name: value for name, value in os.environ.items() if name in ("GLIBC_TUNABLES", "PYTHONMALLOC")},
    }


@pytest.mark.timeout(1600)
def test_the_demo_loads_through_dagster_and_shows_what_came_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "meter_pipeline", "demo", "--days", "1"],
        cwd=tmp_path, env=_bare(tmp_path), capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0
    for title in (
        "Biggest price moves this week",
        "Postings that vanished within two days",
        "What the bookshop looked like last Tuesday",
        "Which schedules run late",
        "The price of one book, version by version",
        "The latest changes",
        "Items and changes per strategy and day",
        "Jobs by state",
        "What next:",
    ):
        assert title in done.stdout
    assert done.stdout.count("Dagster job sync") == 2
    assert len(done.stdout.splitlines()) < 150
    assert "sk_live_sandbox" not in done.stdout
    reached = origin.read(tmp_path / "data")
    assert reached is not None
    assert reached.reached is not None


def _load(settings: Settings, sandbox: Sandbox) -> int:
    """Syncs; returns how many jobs were listed in all."""
    with open_store(settings) as store, open_client(settings) as client:
        sync(client, store.ledger, store.lake, reconcile=True)
        return sum(count.jobs for count in store.ledger.counts())


def test_the_next_sandbox_goes_on_with_the_same_world(tmp_path: Path) -> None:
    known = []
    for hours in (0, 12):
        with local_sandbox.continue_sandbox(tmp_path, first_days=1) as sandbox:
            sandbox.advance(hours=hours)
            settings = Settings(api_key=sandbox.api_key, base_url=sandbox.url, data_dir=tmp_path)
            local_sandbox.refuse_foreign(settings)
            known.append(_load(settings, sandbox))
            now = sandbox.now
    with Sandbox(seed=origin.SEED, days=1.5) as undisturbed:
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
