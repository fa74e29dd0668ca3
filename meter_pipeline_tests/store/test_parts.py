"""Parts know which months and which times their rows can be of."""

from __future__ import annotations

import pytest

from meter_pipeline.store.parts import Part


def part(first_at: str, last_at: str) -> Part:
    """A part with rows of some times."""
    return Part("raw/strategy=s/1.parquet", "raw", 1, 1, first_at, last_at, "")


@pytest.mark.parametrize(
    ("first_at", "last_at", "months"),
    [
        ("2026-03-02T06:00:00.000000Z", "2026-03-02T06:00:00.000000Z", ["2026-03"]),
        ("2025-11-30T00:00:00.000000Z", "2026-02-01T00:00:00.000000Z", ["2025-11", "2025-12", "2026-01", "2026-02"]),
        ("9999-12-31T23:00:00.000000Z", "9999-12-31T23:00:00.000000Z", ["9999-12"]),
        ("0001-01-01T00:00:00.000000Z", "0001-02-01T00:00:00.000000Z", ["0001-01", "0001-02"]),
    ],
)
def test_the_months_go_from_the_first_row_to_the_last(first_at: str, last_at: str, months: list[str]) -> None:
    assert list(part(first_at, last_at).months()) == months


def test_rows_of_a_time_within_its_span_may_be_in_a_part() -> None:
    some = part("2026-03-02T06:00:00.000000Z", "2026-03-04T06:00:00.000000Z")
    assert some.may_hold(["2026-03-03T00:00:00.000000Z"])
    assert some.may_hold(["2026-03-04T06:00:00.000000Z"])
    assert not some.may_hold(["2026-03-02T05:59:59.999999Z", "2026-03-04T06:00:00.000001Z"])
