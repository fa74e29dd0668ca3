"""Types of scraped fields: a lattice whose join is `merge`, unique names, and no value ever lost."""

from __future__ import annotations

import json
import math
from itertools import permutations
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.store import columns
from meter_pipeline.store.columns import RESERVED, Field, Type
from meter_pipeline.store.item_json import parse_items
from meter_pipeline_tests.store.survival import survives

STAMP = ("2026-03-02T06:00:00.000000Z", "job", 0)
KEYS = [
    "price",
    "Price",
    "PRICE",
    "price_2",
    "job_id",
    "month",
    "strategy",
    "",
    " ",
    "_",
    "名前",
    "a.b",
    "9",
    "preis €",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(["NaN", "null", "-Infinity", "", "1e400", 2**53, 2**53 + 1, -(2**63), 2**63, -0.0, 0.1])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)
objects = st.lists(st.dictionaries(st.sampled_from(KEYS), values, max_size=5), min_size=1, max_size=6)
stamps = st.tuples(st.sampled_from(["2026-03-01", "2026-03-02"]), st.sampled_from("abc"), st.integers(0, 3))
types = st.builds(columns.infer, st.lists(values, max_size=4), stamps)
few = settings(max_examples=30)


def typed(rows: list[dict[str, Any]]) -> tuple[tuple[Field, ...], dict[str, list[Any]]]:
    """Fields of objects, and their cells by the field's own name."""
    fields = columns.infer_fields(rows, STAMP)
    cells = {f.name: columns.build([row.get(f.name) for row in rows], f.type).to_pylist() for f in fields}
    return fields, cells


@few
@given(types, types, types)
def test_merging_types_is_associative_commutative_and_idempotent(a: Type, b: Type, c: Type) -> None:
    assert columns.merge(a, columns.merge(b, c)) == columns.merge(columns.merge(a, b), c)
    assert columns.merge(a, b) == columns.merge(b, a)
    assert columns.merge(a, a) == a
    assert columns.merge(a, columns.merge(a, b)) == columns.merge(a, b)


@few
@given(st.lists(objects, min_size=2, max_size=3))
def test_the_columns_do_not_depend_on_the_order_of_the_jobs(jobs: list[list[dict[str, Any]]]) -> None:
    seen = [columns.infer_fields(rows, ("2026-03-02", f"job-{i}", 0)) for i, rows in enumerate(jobs)]
    outcomes = []
    for order in permutations(seen):
        fields: tuple[Field, ...] = ()
        for other in order:
            fields = columns.merge_fields(fields, other)
        outcomes.append(fields)
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert all(columns.columns(outcome) == columns.columns(outcomes[0]) for outcome in outcomes)


@few
@given(objects)
def test_every_value_is_in_its_column_equal_and_never_null(rows: list[dict[str, Any]]) -> None:
    fields, cells = typed(rows)
    assert {f.name for f in fields} == {key for row in rows for key in row}
    for field in fields:
        for row, cell in zip(rows, cells[field.name], strict=True):
            assert survives(row.get(field.name), cell, field.type), (field, row, cell)


@few
@given(objects, objects)
def test_widened_columns_hold_the_values_of_both_sides(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    fields = columns.merge_fields(
        columns.infer_fields(one, ("2026-03-02", "a", 0)), columns.infer_fields(two, ("2026-03-02", "b", 0))
    )
    for field in fields:
        source = [row.get(field.name) for row in one + two]
        built = columns.build(source, field.type)
        assert built.type == columns.arrow_type(field.type)
        for value, cell in zip(source, built.to_pylist(), strict=True):
            assert survives(value, cell, field.type), (field, value, cell)


@few
@given(objects)
def test_fields_survive_the_ledgers_form(rows: list[dict[str, Any]]) -> None:
    fields = columns.infer_fields(rows, STAMP)
    assert columns.load(columns.dump(fields)) == fields


@few
@given(st.lists(st.sampled_from(KEYS) | st.text(max_size=5), unique=True, max_size=12))
def test_names_are_unique_whatever_the_case_and_earlier_fields_keep_theirs(keys: list[str]) -> None:
    fields = [Field(key, columns.TEXT, ("2026-03-02", "job", i)) for i, key in enumerate(keys)]
    names = columns.names(fields, RESERVED)
    assert len({name.casefold() for name in names}) == len(names)
    assert not {name.casefold() for name in names} & RESERVED
    assert all(name and not name.startswith("_") for name in names)
    for end in range(len(fields)):
        assert columns.names(fields[:end], RESERVED) == names[:end]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("price", "price"),
        ("unitPrice", "unit_price"),
        ("HTMLBody", "html_body"),
        ("Preis (€)", "preis"),
        ("straße", "straße"),
        ("名前", "名前"),
        ("2nd", "n2nd"),
        ("", "field"),
        ("€", "field"),
        ("month", "month_2"),
        ("Strategy", "strategy_2"),
        ("_meter_job_id", "meter_job_id"),
        ("job_id", "job_id"),
        ("\ud800", "field"),
    ],
)
def test_a_field_becomes_a_readable_column_name(field: str, name: str) -> None:
    assert columns.names([Field(field, columns.TEXT, STAMP)], RESERVED) == [name]


def test_fields_in_any_script_and_emoji_are_columns_of_their_own_in_sql() -> None:
    items = [{"価格": 1, "价格": 2, "🔥": 3, "🚀": 4, "कीमत": 5, "price €": 6, "select": 7, "İ": 8, "i": 9}]
    found = columns.columns(columns.infer_fields(items, STAMP))
    # Names that ledgers hold results under: they must stay as they are.
    names = [column.name for column in found]
    assert names == ["価格", "价格", "field", "field_2", "क_मत", "price", "select", "i", "i_2"]
    rows = duckdb.from_arrow(pa.table({name: [place] for place, name in enumerate(names)}))
    for place, name in enumerate(names):
        assert rows.query("rows", f'select "{name}" from rows').fetchall() == [(place,)]


def test_price_in_three_spellings_makes_three_columns() -> None:
    fields, _ = typed([{"price": 1, "Price": "1", "PRICE": 1.5, "price_2": True}])
    assert [column.name for column in columns.columns(fields)] == ["price", "price_2", "price_3", "price_2_2"]


def test_a_field_that_turns_up_in_an_older_job_takes_its_place_by_time() -> None:
    late = columns.infer_fields([{"Price": 1}], ("2026-03-02", "b", 0))
    early = columns.infer_fields([{"price": 1}], ("2026-03-01", "a", 0))
    assert [(c.name, c.field) for c in columns.columns(columns.merge_fields(late, early))] == [
        ("price", "price"),
        ("price_2", "Price"),
    ]


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (1, None, "integer"),
        (None, None, "null"),
        (1, 2.5, "double"),
        (1, "x", "text"),
        (2.5, "x", "text"),
        (True, 1, "text"),
        (True, "x", "text"),
        (2**53 + 1, 1, "long"),
        (2**53 + 1, 2.5, "text"),
        (2**63, 1, "text"),
        (-(2**63), 1, "long"),
        ({"a": 1}, "x", "json"),
        ({"a": 1}, [1], "json"),
        ([1], 1, "json"),
        ({"a": 1}, {"b": 1}, "struct"),
        ({}, {"b": 1}, "struct"),
        ([], [1], "list"),
        ([1], ["x"], "list"),
        ({}, None, "struct"),
        ("2026-03-02", "NaN", "text"),
        ("NaN", 1.5, "text"),
    ],
)
def test_what_two_values_of_a_field_come_to(first: Any, second: Any, kind: str) -> None:
    rows = [{"f": first}, {"f": second}]
    for order in (rows, rows[::-1]):
        fields, cells = typed(order)
        assert fields[0].type.kind == kind
        assert all(survives(row["f"], cell, fields[0].type) for row, cell in zip(order, cells["f"], strict=True))


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        (b'{"f":123456789012345678901234567890}', "123456789012345678901234567890"),
        (b'{"f":1e400}', "1e400"),
        (b'{"f":-1e400}', "-1e400"),
        (b'{"f":"NaN"}', "NaN"),
        (b'{"f":"\\ud800 x"}', "\\ud800 x"),
        (b'{"f":"\\u0000"}', "\0"),
        (b'{"f":9223372036854775807}', 2**63 - 1),
        (b'{"f":-9223372036854775808}', -(2**63)),
        (b'{"f":9007199254740993}', 2**53 + 1),
        (b'{"f":[]}', []),
        (b'{"f":{}}', "{}"),
        (b'{"f":[[[[1]]],[]]}', [[[[1]]], []]),
        (b'{"f":[{"a":1},{"b":"\\udfff"}]}', [{"a": 1, "b": None}, {"a": None, "b": "\\udfff"}]),
    ],
)
def test_odd_json_is_kept_exactly(text: bytes, cell: Any) -> None:
    _, cells = typed(parse_items([text]))
    assert cells["f"] == [cell]


def test_minus_zero_keeps_its_sign() -> None:
    _, cells = typed(parse_items([b'{"f":-0.0}']))
    assert math.copysign(1, cells["f"][0]) == -1


def test_a_number_beyond_a_double_beside_numbers_is_text_with_all_digits() -> None:
    _, cells = typed(parse_items([b'{"f":1e400}', b'{"f":1.5}', b'{"f":7}']))
    assert cells["f"] == ["1e400", "1.5", "7"]


def test_six_hundred_fields_are_six_hundred_columns() -> None:
    fields, cells = typed([{f"Field {i}": i for i in range(600)}])
    assert len({column.name for column in columns.columns(fields)}) == 600
    assert [cells[f"Field {i}"][0] for i in range(600)] == list(range(600))


def test_forty_levels_stay_nested_and_deeper_ones_become_json_text() -> None:
    def nest(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = {"in": value}
        return value

    fields, cells = typed([{"f": nest(40)}])
    assert fields[0].type.kind == "struct"
    assert cells["f"] == [nest(40)]
    fields, cells = typed([{"f": nest(200)}])
    assert survives(nest(200), cells["f"][0], fields[0].type)


def test_ten_megabytes_of_text_are_one_cell() -> None:
    text = "é" * 5_000_000
    _, cells = typed([{"f": text}, {"f": 1}])
    assert cells["f"] == [text, "1"]


def test_an_object_with_data_for_keys_is_json_text() -> None:
    value = {f"2026-{i}": i for i in range(1_001)}
    fields, cells = typed([{"f": value}])
    assert fields[0].type.kind == "json"
    assert json.loads(cells["f"][0]) == value


def test_rows_without_any_element_fit_a_list_of_objects() -> None:
    (field,) = columns.infer_fields([{"tags": [{"t": 1}]}], STAMP)
    assert columns.build([[], None], field.type).to_pylist() == [[], None]
