"""The ledger's rows as Arrow batches are the rows that the database has, whatever stands in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from meter_pipeline.store.ledger import tables
from meter_pipeline.store.ledger.batches import read_batches, read_table, schema_of
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.times import iso
from meter_pipeline_tests.behaviour import thorough

_SCHEMA = schema_of(tables.jobs)
_ODD = ["", "NULL", "'", "''", '"', ",", "\n", "\r\n", "\\", "a'b\nc", "%Q", "é\u2028"]
_TEXTS = (
    st.none()
    | st.sampled_from(_ODD)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
)
_NUMBERS = {
    "INTEGER": st.none() | st.integers(-(2**31), 2**31 - 1),
    "BIGINT": st.none() | st.integers(-(2**63), 2**63 - 1),
}
_TIMES = st.none() | st.datetimes(timezones=st.just(timezone.utc)).map(iso)


def _cells(name: str, kind: str) -> st.SearchStrategy[Any]:
    if name.endswith("_at"):
        return _TIMES
    return _NUMBERS.get(kind, _TEXTS)


_ROWS = st.lists(
    st.fixed_dictionaries({column.name: _cells(column.name, str(column.type)) for column in tables.jobs.columns}),
    max_size=5,
)


def test_every_value_is_read_as_it_was_written(open_ledger: Callable[[], Ledger]) -> None:
    ledger = open_ledger()

    @given(rows=_ROWS)
    @settings(max_examples=20 * thorough.TIMES)
    def check(rows: list[dict[str, Any]]) -> None:
        _write_and_compare(ledger, rows)

    check()


def _write_and_compare(ledger: Ledger, rows: list[dict[str, Any]]) -> None:
    required = {"strategy_id": "s", "state": "known", "known_at": "2026-03-02T06:00:00.000000Z", "attempts": 0}
    written = [
        {**row, **{name: value if row[name] is None else row[name] for name, value in required.items()}}
        | {"job_id": f"job {place}", "revision": place}
        for place, row in enumerate(rows)
    ]
    with ledger.writing() as connection:
        connection.execute(delete(tables.jobs))
        if written:
            connection.execute(tables.jobs.insert(), written)
    with ledger.reading_state() as connection:
        read = read_table(connection, tables.jobs, _SCHEMA)
        again = [dict(row._mapping) for row in connection.execute(select(tables.jobs))]
        late = read_table(connection, tables.jobs, _SCHEMA, "revision > 1").num_rows
    spelled = [
        {name: iso(value) if name.endswith("_at") else value for name, value in row.items()} for row in read.to_pylist()
    ]
    assert sorted(spelled, key=lambda row: row["job_id"]) == sorted(again, key=lambda row: row["job_id"]) == written
    assert late == max(len(rows) - 2, 0)


def test_many_rows_come_in_batches(open_ledger: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter_pipeline.store.ledger.batches._BLOCK_BYTES", 10_000)
    ledger = open_ledger()
    rows = [
        {"job_id": str(number), "strategy_id": "s", "state": "known", "known_at": "2026-03-02T06:00:00.000000Z"}
        for number in range(3_000)
    ]
    with ledger.writing() as connection:
        connection.execute(tables.jobs.insert(), rows)
    with ledger.reading_state() as connection:
        batches = list(read_batches(connection, tables.jobs, _SCHEMA))
    assert sum(batch.num_rows for batch in batches) == 3_000
    assert len(batches) > 10
