"""A point in time can be written as a time or as a duration before now."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from meter_pipeline.config.spans import parse_since
from meter_pipeline.config.variables import SettingsError

NOW = datetime(2026, 3, 2, 6, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24h", NOW - timedelta(days=1)),
        (" 7d ", NOW - timedelta(days=7)),
        ("90s", NOW - timedelta(seconds=90)),
        ("2026-03-02", NOW.replace(hour=0)),
        ("2026-03-02T06:00:00Z", NOW),
        ("2026-03-02T07:00:00+01:00", NOW),
        (None, None),
        ("", None),
    ],
)
def test_times_and_durations_are_read(text: str | None, moment: datetime | None) -> None:
    assert parse_since(text, NOW) == moment


@pytest.mark.parametrize("text", ["soon", "3600", "5y", "2026-13-01", "999999w"])
def test_anything_else_is_one_line_with_the_way_out(text: str) -> None:
    with pytest.raises(SettingsError, match="is not a valid time: give an ISO time such as 2026-03-02, or 24h, 7d"):
        parse_since(text, NOW)
