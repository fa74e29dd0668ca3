"""What the audit found stands in `status`: held jobs with their reasons, and accepted ones that it doubts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.commandline import Command


def test_status_names_held_and_doubted_jobs(
    shop: Sandbox, meter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scrape(day: int, *, is_broken: bool = False) -> str:
        items = [{"id": n, "title": f"Book {n}", "price": None if is_broken else 10 + n} for n in range(40)]
        return shop.insert_job("Pages", items=items, completed_at=shop.world.now - 86_400 * (10 - day))

    for day in range(5):
        scrape(day)
    broken = scrape(5, is_broken=True)
    (tmp_path / "meter.yaml").write_text('strategies:\n  pages:\n    audit: {flag: ["*"]}\n')
    doubted = scrape(6, is_broken=True)
    monkeypatch.setenv("METER_CONFIG", str(tmp_path / "meter.yaml"))
    meter("sync")
    shown = meter("status").out
    lines = [line for line in shown.splitlines() if broken in line or doubted in line]
    assert any(f"pages: job {broken} was accepted with a doubt:" in line and "price" in line for line in lines)
    found = json.loads(meter("status", "--json").out)["flagged"]
    assert broken in {job["job_id"] for job in found}
