"""Replay: recorded results come out byte for byte, appear at their time, and bad files are named with their line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from meter_pipeline.sandbox import Sandbox, SandboxError
from meter_pipeline_tests.sandbox.calls import Calls

Make = Callable[..., Sandbox]
HEADER = {"strategy": "Facts", "url": "https://facts.example/", "schedule": "daily"}


def record(folder: Path, name: str, day: int, *lines: str, **header: object) -> None:
    head = json.dumps({**HEADER, "completed_at": f"2026-01-{day:02d}T06:00:09Z", **header})
    (folder / name).write_text("\n".join([head, *lines, ""]), encoding="utf-8")


def test_items_are_served_byte_for_byte(tmp_path: Path, make_sandbox: Make) -> None:
    dirty = ['{"n": 123456789012345678901234567890, "n":NaN}', '{ "s" : "\\ud800 é" }', "-0.0", '"text"', "[1,  2]"]
    record(tmp_path, "one.jsonl", 1, *dirty, job_id="aaaaaaaa-0000-4000-8000-000000000001")
    calls = Calls(make_sandbox(replay=tmp_path))
    body = calls.get("/jobs/aaaaaaaa-0000-4000-8000-000000000001").content
    assert b'"results":[' + ",".join(dirty).encode() + b"]" in body
    assert b'"item_count":5' in body


def test_jobs_become_strategies_schedules_changes_and_failures(tmp_path: Path, make_sandbox: Make) -> None:
    record(tmp_path, "1.jsonl", 1, '{"a": 1}')
    record(tmp_path, "2.jsonl", 2, '{"a": 1}')
    record(tmp_path, "3.jsonl", 3, status="failed", error="no answer")
    record(tmp_path, "4.jsonl", 4, '{"a": 2}', item_count=9, parameters={"page": 1})
    record(tmp_path, "5.jsonl", 5, strategy="Other", schedule=None)
    sandbox = make_sandbox(replay=tmp_path)
    calls = Calls(sandbox)
    assert {row["name"] for row in calls.get("/strategies").json()} == {"Facts", "Other"}
    (plan,) = calls.get("/schedules").json()
    assert (plan["interval_seconds"], plan["next_run_at"]) == (86400, None)
    jobs = calls.get("/jobs", schedule_id=plan["schedule_id"]).json()
    assert [job["status"] for job in jobs] == ["completed", "failed", "completed", "completed"]
    assert (jobs[0]["item_count"], jobs[0]["parameters"], jobs[1]["error"]) == (9, {"page": 1}, "no answer")
    assert calls.get(f"/schedules/{plan['schedule_id']}/changes").json()["count"] == 2
    again = calls.post("/jobs/execute", {"strategy_id": jobs[0]["strategy_id"], "url": HEADER["url"]}).json()
    assert again["results"] == [{"a": 2}]


def test_jobs_appear_when_the_clock_reaches_them(tmp_path: Path, make_sandbox: Make) -> None:
    for day in (1, 2, 3):
        record(tmp_path, f"{day}.jsonl", day, f'{{"a": {day}}}')
    sandbox = make_sandbox(replay=tmp_path, start="2026-01-01T12:00:00Z")
    calls = Calls(sandbox)
    counts = []
    for _ in range(3):
        counts.append(len(calls.get("/jobs").json()))
        sandbox.advance(days=1)
    assert counts == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"bad\.jsonl:1: the file is empty"),
        ("{oops\n", r"bad\.jsonl:1: not JSON"),
        ("[]\n", r"bad\.jsonl:1: the header has no 'strategy'"),
        ('{"strategy": "S", "url": "u"}\n', r"bad\.jsonl:1: the header has no 'completed_at'"),
        (
            '{"strategy": "S", "url": "u", "completed_at": "noon"}\n',
            r"bad\.jsonl:1: 'noon' is not a valid ISO 8601 time",
        ),
        ('{"strategy": "S", "url": "u", "completed_at": "2026-01-01", "x": 1}\n', r"bad\.jsonl:1: .* unknown key 'x'"),
        ('{"strategy": "S", "url": "u", "completed_at": "2026-01-01"}\n\n{"a": 1}\n{"a"\n', r"bad\.jsonl:4: not JSON"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "bad.jsonl").write_text(text)
    with pytest.raises(SandboxError, match=complaint) as caught:
        Sandbox(replay=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_recordings_is_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"no \*\.jsonl files"):
        Sandbox(replay=tmp_path)
    with pytest.raises(SandboxError, match="no such folder"):
        Sandbox(replay=tmp_path / "none")
    (tmp_path / "latin.jsonl").write_bytes(b'{"strategy": "caf\xe9"}')
    with pytest.raises(SandboxError, match=r"latin\.jsonl:1: not UTF-8"):
        Sandbox(replay=tmp_path)
