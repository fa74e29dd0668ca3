"""The audit reads each text by itself, in one way."""

from __future__ import annotations

import re
import unicodedata

import pytest

from meter_pipeline.sync.audit.amounts import CURRENCY, read_amount


def test_every_sign_that_unicode_calls_a_currency_is_one() -> None:
    signs = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Sc"]
    assert len(signs) > 50
    assert [sign for sign in signs if not re.fullmatch(CURRENCY, sign)] == []
    # The block of currency signs has room for more; anything else is none.
    others = [chr(code) for code in range(0x110000) if re.fullmatch(CURRENCY, chr(code))]
    found = {sign for sign in others if unicodedata.category(sign) not in ("Cn", "Lo", "Ll", "Lu")}
    assert found == set(signs)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("AED 100", 100), ("£51.77", 51.77), ("1.234,56 €", 1234.56), ("1.234 €", 1234), ("1.234", 1.234),
        ("12,345,678.90 USD", 12345678.9), ("₹1,23,456.50", 123456.5), ("from £5", 5), ("£3.99 each", 3.99),
        ("US$5", 5), ("5,- kr", 5), ("12,5", 12.5), ("100 RPM", 100), ("-£5", -5), ("£ -5", -5), ("1,2,3", None),
        ("007", None), ("5 %", None), ("£5.00 (was £6)", None), ("2026-03-02", None), ("sold out", None),
        ("9" * 41, None), ("", None), ("€2/kg", 2), ("1\u00a0299,50 kr.", 1299.5), ("٣ $", None),
    ],
)  # fmt: skip
def test_an_amount_is_one_number_with_at_most_one_currency(text: str, amount: float | None) -> None:
    assert read_amount(text) == amount
