"""Unseen sets: what a read of a schedule's changes shows, what it flags, and what can come in between."""

from __future__ import annotations

from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline_tests.sandbox.calls import Calls


@pytest.fixture
def plan(empty_sandbox: Sandbox) -> str:
    """A schedule on two urls with runs A, A, B, a failure, and A again on one; one run on the other."""
    strategy = empty_sandbox.add_strategy("S")
    plan = empty_sandbox.add_schedule(strategy, urls=["https://s.example/1", "https://s.example/2"])
    rows: dict[str, list[Any]] = {"a": [{"t": "red fox"}, {"t": "old elm"}], "b": [{"t": "red kite"}]}
    for hour, name in enumerate(["a", "a", "b", "failed", "a"]):
        fields = {"status": "failed"} if name == "failed" else {"items": rows[name]}
        empty_sandbox.insert_job("S", "https://s.example/1", schedule=plan, job_id=f"run-{hour}",
                                 completed_at=f"2026-03-01T0{hour}:00:00Z", **fields)  # fmt: skip
    empty_sandbox.insert_job("S", "https://s.example/2", rows["b"], schedule=plan, job_id="other")
    return plan


def ids(calls: Calls, plan: str, **query: Any) -> list[str]:
    answer = calls.get(f"/schedules/{plan}/changes", **query).json()
    assert answer["count"] == len(answer["changes"])
    return [entry["job_id"] for entry in answer["changes"]]


def test_an_entry_is_a_run_whose_content_differs_from_the_run_before_on_its_url(
    empty_sandbox: Sandbox, plan: str
) -> None:
    calls = Calls(empty_sandbox)
    assert ids(calls, plan, mark_seen="false") == ["run-0", "run-2", "run-4", "other"]
    empty_sandbox.set_faults(first_is_change=False, failed_in_changes=True)
    assert ids(calls, plan, mark_seen="false") == ["run-2", "run-3", "run-4"]


def test_reading_consumes_unless_reported_not_to_and_the_log_says_what(empty_sandbox: Sandbox, plan: str) -> None:
    calls = Calls(empty_sandbox)
    assert ids(calls, plan, mark_seen="0") == ids(calls, plan, mark_seen="False")
    assert empty_sandbox.marks == []
    taken = ids(calls, plan)
    assert [entry.marked for entry in empty_sandbox.marks] == [tuple(taken)]
    assert ids(calls, plan) == []
    empty_sandbox.insert_job("S", "https://s.example/2", [{"t": "new"}], schedule=plan, job_id="newer")
    assert ids(calls, plan) == ["newer"]


def test_a_filter_narrows_rows_and_flags_what_it_hid(empty_sandbox: Sandbox, plan: str) -> None:
    calls = Calls(empty_sandbox)
    preview = calls.get(f"/schedules/{plan}/changes", mark_seen="false", filter="+red -kite").json()["changes"]
    assert [(entry["job_id"], entry["results"]) for entry in preview] == [
        ("run-0", [{"t": "red fox"}]), ("run-2", []), ("run-4", [{"t": "red fox"}]), ("other", []),
    ]  # fmt: skip
    empty_sandbox.set_faults(drop_empty=True, filter_flags_hidden=False)
    assert ids(calls, plan, filter="elm") == ["run-0", "run-4"]
    empty_sandbox.set_faults(filter_flags_hidden=True)
    assert ids(calls, plan, filter="elm") == []
    assert ids(calls, plan) == []


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("fox kite", {"red fox", "red kite"}),
        ("+RED +fox", {"red fox"}),
        ("red -fox", {"red kite"}),
        ('"old elm"', {"old elm"}),
        ("-red", {"old elm"}),
        ("nothing", set()),
    ],
)
def test_filters_read_as_words_phrases_and_signs(
    empty_sandbox: Sandbox, plan: str, expression: str, kept: set[str]
) -> None:
    entries = Calls(empty_sandbox).get(f"/schedules/{plan}/changes", mark_seen="false", filter=expression).json()
    assert {row["t"] for entry in entries["changes"] for row in entry["results"]} == kept


def test_a_change_can_arrive_between_preview_and_flag(empty_sandbox: Sandbox, plan: str) -> None:
    empty_sandbox.set_faults(change_before_flag=1)
    calls = Calls(empty_sandbox)
    preview, flagged = ids(calls, plan, mark_seen="false"), ids(calls, plan)
    assert flagged[:-1] == preview
    assert ids(calls, plan) == []


def test_a_job_can_arrive_between_two_pages(empty_sandbox: Sandbox, plan: str) -> None:
    empty_sandbox.set_faults(insert_between_pages=1)
    calls = Calls(empty_sandbox)
    first = calls.get("/jobs", limit=3).json()
    second = calls.get("/jobs", limit=3, offset=3).json()
    assert second[0]["id"] == first[-1]["id"]
    assert len(calls.get("/jobs").json()) == 7


def test_entries_can_lack_results_and_the_flag_its_name(empty_sandbox: Sandbox, plan: str) -> None:
    empty_sandbox.set_faults(changes_results=False, marked_key="mark_seen")
    answer = Calls(empty_sandbox).get(f"/schedules/{plan}/changes", mark_seen="false").json()
    assert answer["mark_seen"] is False
    assert "results" not in answer["changes"][0]


def test_key_order_is_no_change_but_a_long_number_is(empty_sandbox: Sandbox) -> None:
    plan = empty_sandbox.add_schedule(empty_sandbox.add_strategy("S"))
    rows = [
        '[{"a": 1, "b": 2}]',
        '[{"b": 2, "a": 1}]',
        '[{"a": 123456789012345678901}]',
        '[{"a": 123456789012345678902}]',
    ]
    for hour, raw in enumerate(rows):
        empty_sandbox.insert_job("S", raw=raw, schedule=plan, job_id=f"run-{hour}",
                                 completed_at=f"2026-03-01T0{hour}:00:00Z")  # fmt: skip
    assert ids(Calls(empty_sandbox), plan) == ["run-0", "run-2", "run-3"]
