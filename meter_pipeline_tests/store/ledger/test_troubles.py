"""Pages that fail at Meter, late schedules, gaps and paused schedules are different things."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.api import Job
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.troubles import find_failing, find_gaps, find_silences
from meter_pipeline_tests.store.records import commit, job, schedule, strategy


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with one strategy."""
    opened = Ledger.open(str(tmp_path / "ledger.sqlite"))
    opened.record_strategies([strategy("a")])
    yield opened
    opened.close()


def scraped(job_id: str, hour: str, page: str = "1", **more: Any) -> Job:
    """A job of a page."""
    time = f"2026-03-02T{hour}:00:00Z"
    return job(job_id, "a", url=f"https://books.example/{page}", created_at=time, completed_at=time, **more)


def test_a_page_is_failing_until_a_later_job_of_it_comes_through(ledger: Ledger) -> None:
    failure = {"status": "failed", "error": "timed out"}
    ledger.record_jobs(
        [
            scraped("first", "06", **failure),
            scraped("second", "08", **failure),
            scraped("other", "06", "2", **failure),
            scraped("through", "07"),
        ]
    )
    assert [row.job_id for row in find_failing(ledger)] == ["first", "other", "second"]
    for state in ("accepted", "held", "dropped"):
        commit(ledger, "a", [{"job_id": "through", "state": state}])
        assert [row.job_id for row in find_failing(ledger)] == ["other", "second"]


def test_a_schedule_is_late_after_two_intervals_and_a_paused_one_never(ledger: Ledger) -> None:
    plans: dict[str, dict[str, Any]] = {
        "late": {},
        "paused": {"enabled": False},
        "daily": {"interval_seconds": 86_400},
        "punctual": {},
    }
    ledger.record_schedules([schedule(id_, "a", **more) for id_, more in plans.items()])
    hours = {"late": "06", "paused": "06", "daily": "06", "punctual": "08"}
    ledger.record_jobs([scraped(f"of {id_}", hour, schedule_id=id_) for id_, hour in hours.items()])
    assert [silence.schedule_id for silence in find_silences(ledger)] == ["paused"]
    ledger.record_jobs([scraped("newest", "09")])
    late, paused = find_silences(ledger)
    assert (late.schedule_id, late.missed, late.is_paused) == ("late", 3, False)
    assert late.describe("06:00") == "is late: no job since 06:00, about 3 runs"
    assert (paused.schedule_id, paused.missed, paused.is_paused) == ("paused", 0, True)
    assert paused.describe("06:00") == "is paused at Meter, its last job was at 06:00"


def test_a_run_without_a_job_makes_a_schedule_late_when_nothing_else_runs(ledger: Ledger) -> None:
    ledger.record_schedules([schedule("silent", "a", last_run_at="2026-03-02T12:00:00Z")])
    ledger.record_jobs([scraped("last", "06", schedule_id="silent")])
    (late,) = find_silences(ledger)
    assert (late.slug, late.missed) == ("new_books", 6)


def test_gaps_are_those_of_the_last_month_or_of_the_latest_intervals_of_a_rare_schedule(
    open_ledger: Callable[[], Ledger],
) -> None:
    ledger, day = open_ledger(), 86_400
    ledger.record_strategies([strategy("a")])
    ledger.record_schedules([schedule("daily", "a", interval_seconds=day), schedule("none", "a", interval_seconds=0)])

    def record(schedule_id: str, *days: str) -> None:
        times = [f"2026-{text}T06:00:00Z" for text in days]
        ledger.record_jobs(
            [job(f"{schedule_id} {time}", "a", schedule_id=schedule_id, created_at=time) for time in times]
        )

    record("none", "03-01", "03-20")
    record("daily", "01-01", "01-06", "02-25", "02-26", "03-02", "03-03", "03-05", "03-20")
    found = [(gap.schedule_id, gap.slug, gap.since[5:10], gap.until[5:10], gap.missed) for gap in find_gaps(ledger)]
    assert found == [("daily", "new_books", "03-05", "03-20", 14), ("daily", "new_books", "02-26", "03-02", 3)]
    ledger.record_schedules([schedule("monthly", "a", interval_seconds=30 * day)])
    record("monthly", "01-01", "03-10")
    found = [(gap.schedule_id, gap.slug, gap.since[5:10], gap.until[5:10], gap.missed) for gap in find_gaps(ledger)]
    assert found[1:] == [
        ("monthly", "new_books", "01-01", "03-10", 1),
        ("daily", "new_books", "02-26", "03-02", 3),
        ("daily", "new_books", "01-06", "02-25", 49),
        ("daily", "new_books", "01-01", "01-06", 4),
    ]
