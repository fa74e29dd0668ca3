"""Numbers are read out of JSON texts the way people write amounts, and nothing else passes for one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import duckdb
import pytest

from meter_pipeline.store.warehouse.views import MACROS


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the macros."""
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA meter")
        for macro in MACROS:
            connection.execute(macro)
        yield connection


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (51.77, 51.77), (-3, -3), (1e3, 1000), ("51.77", 51.77), ("£51.77", 51.77), ("$1,299.00", 1299),
        ("1.234,56 €", 1234.56), ("1.234 €", 1234), ("1.234.567 kr", 1234567), ("0,99 €", 0.99), ("12,5", 12.5),
        ("1,234", 1234), ("1.234", 1.234), ("CHF 1'299.-", 1299), ("€ 1\u00a0299,50", 1299.5), ("US$5", 5),
        ("12,345,678.90 USD", 12345678.9), ("-£5", -5), ("£-5", -5), ("−3,5", -3.5), (" 7 ", 7), ("$0", 0),
        ("12 EUR", 12), ("£3.99 each", 3.99), ("from £5", 5), ("Price: 5 zł", 5), ("€2/kg", 2), (" S$5 off", 5),
        ("₹1,23,456.50", 123456.5), ("Rs. 500", 500), ("1,200円", 1200), ("5,- kr", 5), ("US$ 12 incl. VAT", 12),
    ],
)  # fmt: skip
def test_numbers_and_money(connection: duckdb.DuckDBPyConnection, value: object, number: float) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert connection.execute("SELECT meter.number(?)", [text]).fetchone() == (number,)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "hello",
        "007",
        "2026-03-02",
        "5 %",
        "1,2,3",
        "1.2.3",
        "5 kg",
        "4 for £10",
        "£5.00 (was £6)",
        "$5 - $10",
        "($5)",
        "$1.5k",
        "€2/100g",
        "5 MHz fast",
        "Free",
        [1],
        {"a": 1},
        "£",
        "9" * 50,
        10**400,
    ],
)
def test_anything_else_is_no_number(connection: duckdb.DuckDBPyConnection, value: object) -> None:
    assert connection.execute("SELECT meter.number(?)", [json.dumps(value)]).fetchone() == (None,)
    assert connection.execute("SELECT meter.number('\"\\ud800\"')").fetchone() == (None,)
