"""A folder as a reader has it after a while: synced from the sandbox and published with models, twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from meter_pipeline.api import set_wait_scale
from meter_pipeline.cli import run
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store import Ledger
from meter_pipeline_tests.docs.snippets import ROOT

STRATEGY = "new_books"


@dataclass(frozen=True)
class Reader:
    """What somebody has who follows the pages.

    Attributes:
        folder: Their checkout: the working folder of every snippet.
        sandbox: The API behind it.
        names: Real values for the placeholders of the pages.
    """

    folder: Path
    sandbox: Sandbox
    names: dict[str, str]

    @property
    def warehouse(self) -> Path:
        """The published file."""
        return self.folder / "data" / "warehouse.duckdb"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / ".env.example", folder)
    shutil.copytree(
        ROOT / "dbt_project", folder / "dbt_project", ignore=shutil.ignore_patterns("target", "logs", "results")
    )
    # The tests of the models take most of a build, and the pages have nothing to do with them.
    for path in (folder / "dbt_project" / "models").rglob("*__models.yml"):
        path.write_text(yaml.safe_dump(_without_tests(yaml.safe_load(path.read_text()))))
    with Sandbox(days=0.25) as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("METER_API_PREFIX", "METER_LEDGER_URL", "METER_LAKE_URL", "METER_CONFIG"):
            patch.delenv(name, raising=False)
        for account in ("", "SHOP_"):
            patch.setenv(f"{account}METER_API_KEY", sandbox.api_key)
            patch.setenv(f"{account}METER_BASE_URL", sandbox.url)
        patch.setenv("SHOP_LEDGER_URL", str(folder / "data" / "shop" / "ledger.sqlite"))
        patch.setenv("SHOP_LAKE_URL", str(folder / "data" / "shop" / "lake"))
        patch.setenv("METER_DATA_DIR", str(folder / "data"))
        patch.setenv("METER_DBT_PROJECT", str(folder / "dbt_project"))
        patch.setenv("METER_PROCESSES", "1")
        set_wait_scale(0)
        # Of another strategy than the one that snippets name: loading jobs again ends with 1 when one is held.
        held = sandbox.insert_job("Book shelves", items=[{"title": "Tide Tables", "price": "€8.00"}], item_count=2)
        # 1: the held job is named.
        assert run(["sync"]) == 1
        assert run(["publish", "--raw"]) == 0
        sandbox.advance(hours=2)
        for arguments in (["sync"], ["publish", "--tables", "iceberg"]):
            assert run(arguments) == 0
        yield Reader(folder, sandbox, {"HELD_JOB": held, **_known(folder)})
        set_wait_scale(1)


def _without_tests(described: Any) -> Any:
    """What a file of dbt describes, without its tests."""
    if isinstance(described, list):
        return [_without_tests(inner) for inner in described]
    if not isinstance(described, dict):
        return described
    return {name: _without_tests(inner) for name, inner in described.items() if name != "data_tests"}


def _known(folder: Path) -> dict[str, str]:
    publications = sorted(path.name for path in (folder / "data" / "publications").iterdir() if path.is_dir())
    with closing(Ledger.open(str(folder / "data" / "ledger.sqlite"))) as ledger:
        (strategy,) = [row for row in ledger.strategies() if row.slug == STRATEGY]
        job = next(row.job_id for row in ledger.jobs(strategy.strategy_id) if row.state == "accepted")
    return {"STRATEGY": STRATEGY, "SLUG": STRATEGY, "JOB": job, "PUBLICATION": publications[0]}
