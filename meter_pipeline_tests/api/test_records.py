"""Records take what both dialects send, and what nobody has documented."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from meter_pipeline.api.records import Comparison, Job, Schedule, Strategy, timestamp
from meter_pipeline.api.syntax import Malformed

MOMENT = datetime(2026, 3, 2, 6, 0, 11, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T06:00:11Z", MOMENT),
        ("2026-03-02T06:00:11z", MOMENT),
        ("2026-03-02T06:00:11+00:00", MOMENT),
        ("2026-03-02T08:00:11+0200", MOMENT),
        ("2026-03-02T06:00:11", MOMENT),
        ("2026-03-02 06:00:11", MOMENT),
        ("2026-03-02T06:00:11.5Z", MOMENT.replace(microsecond=500_000)),
        ("2026-03-02T06:00:11.123456789Z", MOMENT.replace(microsecond=123_456)),
        ("2026-03-02T08:00:11.25+0200", MOMENT.replace(microsecond=250_000)),
        ("", None),
        (None, None),
        (1772431211, None),
        ("soon", None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_timestamps_are_aware_or_none(text: object, expected: datetime | None) -> None:
    assert timestamp(text) == expected


@pytest.mark.parametrize("key", ["job_id", "id"])
def test_identifiers_have_two_names(key: str) -> None:
    assert Job.from_json({key: "j1"}).job_id == "j1"
    assert Strategy.from_json({key.replace("job", "strategy"): "s1"}).strategy_id == "s1"


def test_without_an_identifier_there_is_no_record() -> None:
    with pytest.raises(Malformed, match="neither job_id nor id"):
        Job.from_json({"status": "completed"})


def test_unknown_keys_are_kept_and_results_are_not() -> None:
    job = Job.from_json({"job_id": "j", "results": [1], "summary": "s", "item_count": 2.0})
    assert job.raw == {"job_id": "j", "summary": "s", "item_count": 2.0}
    assert job.item_count == 2
    assert "summary" not in repr(job)


@pytest.mark.parametrize(
    ("status", "terminal"), [("completed", True), ("failed", True), ("running", False), (None, False)]
)
def test_only_the_documented_ends_are_ends(status: str | None, terminal: bool) -> None:
    assert Job.from_json({"id": "j", "status": status}).is_terminal is terminal


def test_a_webhook_secret_is_neither_shown_nor_kept_raw() -> None:
    schedule = Schedule.from_json({"schedule_id": "s", "webhook_secret": "whsec_1", "urls": ["a", "b"]})
    assert schedule.webhook_secret == "whsec_1"
    assert "whsec_1" not in repr(schedule) + repr(schedule.raw)
    assert schedule.urls == ("a", "b")


def test_a_comparison_may_lack_the_semantic_score() -> None:
    comparison = Comparison.from_json("a", "b", {"content_hash_match": False, "structural_changes": [{"x": 1}, "y"]})
    assert comparison.semantic_similarity is None
    assert comparison.structural_changes == ("{'x': 1}", "y")
