"""Rows of the change feed: the texts of old and new values, and the numbers in them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.store.lake.lake import CHANGES
from meter_pipeline.sync.changes import fields
from meter_pipeline.sync.changes.diff import ADDED, CHANGED, MOVED, REMOVED, Counts, Row, Rows, Seen, changed_rows
from meter_pipeline.sync.changes.fields import ElementKeys
from meter_pipeline.sync.changes.numbers import NumberReader
from meter_pipeline.sync.items.identity import Identity

_VALUES = st.sampled_from((None, "12", "-1.5", '"£3.20"', '"1.234,50 €"', '"sold out"', "[1]", "true", '"007"'))
_NUMBERS = {"12": (12, None), "-1.5": (-1.5, None), '"£3.20"': (3.2, "GBP"), '"1.234,50 €"': (1234.5, "EUR")}


def _seen(number: int) -> Seen:
    return Seen(f"j{number}", None, None, None, "target", f"2026-03-{number + 1:02}T00:00:00Z")


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
        tuple(None if text is None or kind != CHANGED else _NUMBERS.get(text) for text in (old, new))
        for _, kind, _, old, new in given_rows
    ]
    numbers = list(zip(table["old_number"].to_pylist(), table["new_number"].to_pylist(), strict=True))
    currencies = list(zip(table["old_currency"].to_pylist(), table["new_currency"].to_pylist(), strict=True))
    assert numbers == [(old and old[0], new and new[0]) for old, new in expected]
    assert currencies == [(old and old[1], new and new[1]) for old, new in expected]
    assert counts.kinds.get(MOVED, 0) == sum(bool(old and new and old[1] == new[1]) for old, new in expected)


_FIELD = st.sampled_from((None, 1, 1.0, True, -0.0, 0.0, "1", " 1", "£5", "\ud800", "a\nb", 10**30))
_VALUE = st.recursive(
    _FIELD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
)
_ITEM = st.dictionaries(st.sampled_from(("price", "odd.name", "nested", "id")), _VALUE) | _VALUE
_IDENTITIES = st.builds(
    Identity,
    st.builds(
        ItemRules,
        ignore=st.sampled_from(((), ("price",), ("nested.x",))),
        whitespace=st.booleans(),
        numbers=st.booleans(),
        array_order=st.sampled_from((None, True, False)),
    ),
)


@given(st.lists(st.tuples(_ITEM, _ITEM), max_size=6), _IDENTITIES)
def test_items_that_are_compared_together_have_the_rows_of_each_alone(
    items: list[tuple[object, object]], identity: Identity
) -> None:
    def rows_of(names: Sequence[str]) -> list[Row]:
        old, new = ([items[int(name)][side] for name in names] for side in (0, 1))
        return changed_rows(names, old, new, identity, ElementKeys(identity, lambda: items))

    names = [str(number) for number in range(len(items))]
    rows = rows_of(names)
    with pytest.MonkeyPatch.context() as patch:
        # As objects whose names are data are compared.
        patch.setattr(fields, "_SPARSE", 0.5)
        assert rows_of(names) == rows
    assert rows == [row for name in names for row in rows_of([name])]
    assert rows == sorted(rows, key=lambda row: (int(row[0]), row[2] or ""))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"£5"', '"Free"', (5, 0, "GBP", "GBP", True)),
        ("4", '"free"', (4, None, None, None, False)),
        ('"Free"', '"sold out"', (None, None, None, None, False)),
        ('"£5"', '"€5"', (5, 5, "GBP", "EUR", False)),
        ('"£2 / kg"', '"£3"', (2, 3, "GBP/kg", "GBP", False)),
        ('"£2 / kg"', '"£3 / kg"', (2, 3, "GBP/kg", "GBP/kg", True)),
        ('"£1.234"', '"£2"', (None, 2, None, "GBP", False)),
        ('"1,234"', '"2"', (None, 2, None, None, False)),
        ('"3 million USD"', '"USD 950,000"', (3e6, 950_000, "USD", "USD", True)),
    ],
)
def test_numbers_of_values_alone_are_right_or_empty(
    old: str, new: str, expected: tuple[float | None, float | None, str | None, str | None, bool]
) -> None:
    numbers = NumberReader().read("price", old, new)
    assert (*numbers, numbers.moved) == expected


def test_a_number_beyond_any_double_is_no_number() -> None:
    rows = Rows(Counts())
    huge = json.dumps(10**400)
    rows.append(_seen(0), _seen(1), [("k", CHANGED, "price", huge, "1")])
    assert rows.table()["old_number"].to_pylist() == [None]
