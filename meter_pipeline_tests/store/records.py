"""Records as the API would send them, for tests that have no need of a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meter_pipeline.api import Job, Schedule, Strategy
from meter_pipeline.store.ledger.jobs import Commit
from meter_pipeline.store.ledger.ledger import Ledger


def strategy(strategy_id: str, name: str | None = "New books", **more: Any) -> Strategy:
    """A strategy."""
    return Strategy.from_json(
        {"strategy_id": strategy_id, "name": name, "url": "https://books.example", "created_at": _TIME, **more}
    )


def schedule(schedule_id: str, strategy_id: str, **more: Any) -> Schedule:
    """A schedule that runs hourly."""
    record = {"schedule_id": schedule_id, "strategy_id": strategy_id, "interval_seconds": 3600, "enabled": True}
    return Schedule.from_json({**record, "created_at": _TIME, **more})


def job(job_id: str, strategy_id: str, **more: Any) -> Job:
    """A completed job."""
    record = {"job_id": job_id, "strategy_id": strategy_id, "status": "completed", "item_count": 1}
    return Job.from_json({**record, "created_at": _TIME, "completed_at": _TIME, **more})


_TIME = "2026-03-02T06:00:00Z"


def commit(ledger: Ledger, strategy_id: str, rows: Sequence[dict[str, Any]], **more: Any) -> None:
    """Commits jobs of a strategy, built on its present version."""
    row = ledger.strategy(strategy_id)
    assert row is not None
    ledger.commit(Commit(strategy_id, row.version, rows, **more))
