"""A snapshot knows which parts have rows since a time, and whether they have earlier ones, too."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pytest

from meter_pipeline.store.warehouse.snapshot import Snapshot

_START = datetime(2026, 3, 1, tzinfo=timezone.utc)
# Days of the first and the last row of each part, by slug.
_PARTS = {"books": {"long": (0, 20), "late": (20, 30)}, "lamps": {"other": (5, 40)}}


def _day(number: int) -> datetime:
    return _START + timedelta(days=number)


@pytest.fixture
def snapshot() -> Snapshot:
    """Three parts of two strategies."""
    rows = [
        {"table_name": "raw", "strategy": slug, "name": name, "first_at": _day(first), "last_at": _day(last)}
        for slug, parts in _PARTS.items()
        for name, (first, last) in parts.items()
    ]
    return Snapshot(1, {}, pa.Table.from_pylist(rows), pa.table({}))


@pytest.mark.parametrize(
    ("slugs", "day", "names", "has_earlier"),
    [
        (["books", "lamps"], 0, ["long", "late", "other"], False),
        (["books"], 1, ["long", "late"], True),
        (["books"], 20, ["long", "late"], True),
        (["books"], 21, ["late"], True),
        (["lamps"], 5, ["other"], False),
        (["books", "lamps"], 31, ["other"], True),
        (["books"], 31, [], False),
        (["unknown"], 0, [], False),
    ],
)
def test_parts_that_may_have_rows_since_a_time_are_found(
    snapshot: Snapshot, slugs: list[str], day: int, names: list[str], has_earlier: bool
) -> None:
    assert snapshot.find_names("raw", slugs, _day(day)) == (names, has_earlier)
