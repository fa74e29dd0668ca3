"""Values that stand alone are numbers the way people write amounts; what has two readings is no number."""

from __future__ import annotations

import json

import pytest

from meter_pipeline.sync.changes.numbers import NumberReader


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (51.77, 51.77), (-3, -3), (1e3, 1000), ("51.77", 51.77), ("£51.77", 51.77), ("$1,299.00", 1299),
        ("1.234,56 €", 1234.56), ("1.234 €", 1234), ("1.234.567 kr", 1234567), ("0,99 €", 0.99), ("12,5", 12.5),
        ("CHF 1'299.-", 1299), ("€ 1\u00a0299,50", 1299.5), ("US$5", 5), ("12,345,678.90 USD", 12345678.9),
        ("-£5", -5), ("£-5", -5), ("−3,5", -3.5), (" 7 ", 7), ("$0", 0), ("£3.99 each", 3.99), ("from £5", 5),
        ("Price: 5 zł", 5), ("€2/kg", 2), ("€2/100g", 2), ("$1.5k", 1500), ("₹1,23,456.50", 123456.5),
        ("Rs. 500", 500), ("1,200円", 1200), ("5,- kr", 5), ("US$ 12 incl. VAT", 12),
        ("£5.00 (was £6)", 5),
    ],
)  # fmt: skip
def test_numbers_and_money(value: object, number: float) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert NumberReader().read("field", None, text).new == number


@pytest.mark.parametrize(
    "value",
    [
        None, True, "", "hello", "007", "2026-03-02", "5 %", "1,2,3", "1.2.3", "5 kg", "4 for £10", "$5 - $10", "($5)",
        "5 MHz fast", "Free", [1], {"a": 1}, "£", "9" * 50, 10**400, "\ud800", "1,234", "1.234",
        "S$5 off", "100 RPM", "x" * 2000,
    ],
)  # fmt: skip
def test_anything_else_is_no_number(value: object) -> None:
    assert NumberReader().read("field", None, json.dumps(value)).new is None
