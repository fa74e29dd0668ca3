"""Amounts of money are the same to Python and to the warehouse's SQL, for any text."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meter_pipeline.store.warehouse.views import MACROS
from meter_pipeline.text import money

_PIECES = (
    *"0123456789", *".,'’- \u00a0\u202f\u2009\n\t−+–()/:;*#%", "$", "US$", "£", "€", "¢", "₿", "AED", "PLN", "RPM",
    "kr.", "Kč", "лв", "円", "each", "from", "MHz", "1,234", "12,34,567", "1.234.567,89", "007", "٣", "é", "😀",
    '"', "\\",
)  # fmt: skip
_texts = st.lists(st.sampled_from(_PIECES), max_size=7).map("".join) | st.text(max_size=45)
_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just(10**400)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the macros."""
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA meter")
        for macro in MACROS:
            connection.execute(macro)
        yield connection


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(_texts | _numbers | st.sampled_from([None, True, [1], {"a": "£1"}]), min_size=1, max_size=20))
def test_python_and_sql_read_the_same_number_in_any_value(
    connection: duckdb.DuckDBPyConnection, values: list[object]
) -> None:
    spelled = [json.dumps(value, ensure_ascii=place % 2 == 0) for place, value in enumerate(values)]
    found = connection.execute("SELECT meter.number(v) FROM (SELECT unnest($1) AS v)", [spelled]).fetchall()
    assert [number for (number,) in found] == [money.read_number(text) for text in spelled]


def test_every_sign_that_unicode_calls_a_currency_is_one() -> None:
    signs = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Sc"]
    assert len(signs) > 50
    assert [sign for sign in signs if not re.fullmatch(money.CURRENCY, sign)] == []
    # The block of currency signs has room for more; anything else is none.
    others = [chr(code) for code in range(0x110000) if re.fullmatch(f"[{money.SIGNS}]", chr(code))]
    assert {sign for sign in others if unicodedata.category(sign) != "Cn"} == set(signs)


@pytest.mark.parametrize(
    ("value", "currency"),
    [
        ("AED 100", "AED"), ("100 AED", "AED"), ("£3.99 each", "£"), ("US$5", "US$"), ("1 299,50 kr.", "kr"),
        ("Rs. 500", "Rs"), ("5 zł", "zł"), ("1,200円", "円"), ("100", None), ("100 RPM", None), ("Free", None),
        ("EUR", None), ("£5 (was £6)", None), ("in PLN", None), (5, None), (["£5"], None), (None, None),
    ],
)  # fmt: skip
def test_a_currency_is_one_only_beside_an_amount(
    connection: duckdb.DuckDBPyConnection, value: object, currency: str | None
) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert connection.execute("SELECT meter.currency(?)", [text]).fetchone() == (currency,)


def test_a_currency_can_be_asked_for_from_another_database(connection: duckdb.DuckDBPyConnection) -> None:
    with duckdb.connect() as other:
        other.execute("ATTACH ':memory:' AS published; CREATE SCHEMA published.meter; USE published")
        for macro in MACROS:
            other.execute(macro)
        other.execute("USE memory")
        assert other.execute("""SELECT published.meter.currency('"£5"')""").fetchone() == ("£",)
