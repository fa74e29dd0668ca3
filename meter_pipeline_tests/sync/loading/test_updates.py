"""An update changes the columns of a job's row that it names, and no others; updates are committed together."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.api import Job
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.ledger.ledger import job_values
from meter_pipeline.sync.loading.updates import KEEP, JobUpdate
from meter_pipeline_tests.behaviour.station import Station
from meter_pipeline_tests.store.records import commit

TIME = "2026-03-02T06:00:00.000000Z"
VALUES = {
    "completed_at": st.sampled_from([TIME, KEEP]),
    "reason": st.sampled_from([None, "held", KEEP]),
    "items": st.sampled_from([None, 0, 7, KEEP]),
    "duplicates": st.sampled_from([None, 2, KEEP]),
    "changes": st.sampled_from([None, 3, KEEP]),
    "bytes": st.sampled_from([0, KEEP]),
    "loaded_at": st.sampled_from([None, TIME, KEEP]),
    "attempts": st.sampled_from([0, 3, KEEP]),
    "retry_at": st.sampled_from([None, TIME, KEEP]),
    "released_at": st.sampled_from([None, TIME, KEEP]),
}


@given(st.fixed_dictionaries(VALUES))
def test_a_row_names_exactly_the_columns_that_change(values: dict[str, Any]) -> None:
    changes = {name: value for name, value in values.items() if value is not KEEP}
    assert JobUpdate("job", "held", **values).as_row() == {"job_id": "job", "state": "held", **changes}


def test_the_record_of_the_api_gives_its_columns_except_for_the_time_that_was_settled() -> None:
    record = Job(job_id="job", url="https://books.example/", status="completed", item_count=3)
    row = JobUpdate("job", "accepted", values=job_values(record), completed_at=TIME).as_row()
    assert row == {**job_values(record), "state": "accepted", "completed_at": TIME}


def test_an_update_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        JobUpdate("job", "held").state = "accepted"  # type: ignore[misc]


def test_updates_of_different_columns_are_committed_and_leave_all_other_columns_as_they_are(
    station: Station, empty_sandbox: Sandbox
) -> None:
    ids = [empty_sandbox.insert_job("Books", items=[{"id": number}]) for number in range(3)]
    station.sync()
    before = {job_id: asdict(row) for job_id, row in station.jobs().items()}
    (strategy,) = station.ledger.strategies()
    updates = [
        JobUpdate(ids[0], "unreadable", reason="broken", attempts=2, retry_at=TIME),
        JobUpdate(ids[1], "known", reason=None, loaded_at=None),
        JobUpdate(ids[2], "accepted", duplicates=5),
    ]
    commit(station.ledger, strategy.strategy_id, [update.as_row() for update in updates])
    after = {job_id: {**asdict(row), "revision": 0} for job_id, row in station.jobs().items()}
    assert after == {update.job_id: {**before[update.job_id], **update.as_row(), "revision": 0} for update in updates}
