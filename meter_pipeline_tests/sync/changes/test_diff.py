"""Rows of the change feed: the texts of old and new values, and the numbers in them."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.store.lake.lake import CHANGES
from meter_pipeline.sync.changes.diff import ADDED, CHANGED, MOVED, REMOVED, Counts, Row, Rows, Seen
from meter_pipeline.text.money import read_number

_VALUES = st.sampled_from((None, "12", "-1.5", '"£3.20"', '"1.234,50 €"', '"sold out"', "[1]", "true", '"007"'))


def _seen(number: int) -> Seen:
    return Seen(f"j{number}", None, None, None, "target", f"2026-03-{number + 1:02}T00:00:00Z")


@settings(deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from((ADDED, REMOVED, CHANGED)), _VALUES, _VALUES), max_size=6), max_size=4)
)
def test_a_changed_value_has_its_number_beside_it_and_any_other_row_has_none(
    jobs: list[list[tuple[str, str | None, str | None]]],
) -> None:
    counts = Counts()
    rows = Rows(counts)
    given_rows: list[Row] = []
    for number, changes in enumerate(jobs):
        of_job: list[Row] = [(f"key {place}", kind, "price", *texts) for place, (kind, *texts) in enumerate(changes)]
        rows.append(_seen(number), _seen(number + 1), of_job)
        given_rows += of_job
    table = rows.table()
    assert table.schema == CHANGES
    assert table["old_value"].to_pylist() == [old for _, _, _, old, _ in given_rows]
    expected = [
        tuple(None if text is None or kind != CHANGED else read_number(text) for text in (old, new))
        for _, kind, _, old, new in given_rows
    ]
    assert list(zip(table["old_number"].to_pylist(), table["new_number"].to_pylist(), strict=True)) == expected
    assert counts.kinds.get(MOVED, 0) == sum(None not in numbers for numbers in expected)


def test_a_number_beyond_any_double_is_no_number() -> None:
    rows = Rows(Counts())
    huge = json.dumps(10**400)
    rows.append(_seen(0), _seen(1), [("k", CHANGED, "price", huge, "1")])
    assert rows.table()["old_number"].to_pylist() == [None]
