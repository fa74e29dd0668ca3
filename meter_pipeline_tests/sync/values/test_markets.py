"""Prices of markets that the tables of spellings know little of are right or empty, in sources of every mixture."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal

import pytest
from babel.numbers import format_currency, get_currency_precision

from meter_pipeline.sync.values.deciding import decide
from meter_pipeline.sync.values.facts import observe
from meter_pipeline.sync.values.reading import Reading
from meter_pipeline.sync.values.recognition import read
from meter_pipeline_tests.sync.values.markets import MARKETS, OPEN_SIZES, SIZES, Row, disguise, open_source

_LOCALES = """
    en_US en_GB en_IN de_DE de_CH fr_FR fr_CA es_ES es_MX es_AR pt_BR pt_PT it_IT nl_NL sv_SE da_DK nb_NO fi_FI pl_PL
    cs_CZ hu_HU ro_RO bg_BG hr_HR ru_RU uk_UA tr_TR el_GR he_IL ar_EG ar_AE fa_IR hi_IN bn_BD th_TH vi_VN id_ID ja_JP
    ko_KR zh_CN zh_TW lt_LT ka_GE kk_KZ af_ZA sw_KE
"""
_CURRENCIES = """
    USD EUR GBP CHF JPY CNY INR SEK NOK DKK PLN CZK HUF RUB UAH TRY BRL MXN CAD AUD KRW VND IDR THB ILS AED SAR ZAR NGN
    KES ARS COP EGP RON BGN ISK SGD
"""
# Markets whose signs are shared with other markets: a mixture has no way to tell the currency of a bare sign.
_OWN_SIGNS = sorted(name for name, market in MARKETS.items() if " " not in market.codes)


def _judge(rows: Sequence[Row]) -> tuple[int, int]:
    """Asserts that no amount is wrong; returns how many plain prices have one, and how many there are."""
    texts = [row.text for row in rows]
    columns = read(decide(observe(texts)), texts)
    amounts = columns["amount"].to_pylist() if columns else [None] * len(rows)
    read_rows = [(row, amount) for row, amount in zip(rows, amounts, strict=True) if amount is not None]
    assert [(row.text, amount) for row, amount in read_rows if amount != row.amount] == []
    return sum(row.plain for row, _ in read_rows), sum(row.plain for row in rows)


def test_twenty_sources_of_mixed_markets_have_no_wrong_amount_and_nearly_all() -> None:
    random_ = random.Random(2026)
    present = total = 0
    for number in range(20):
        names = random_.sample(sorted(MARKETS), 2 + number % 3)
        found, all_ = _judge(list(open_source(random_, names, 1000)))
        present, total = present + found, total + all_
    assert present >= 0.97 * total > 17_000


@pytest.mark.parametrize("name", sorted(MARKETS))
def test_every_market_by_itself_is_read(name: str) -> None:
    present, total = _judge(list(open_source(random.Random(name), [name], 250)))
    assert present >= 0.97 * total


def test_currencies_of_markets_with_signs_of_their_own_are_those_of_the_market() -> None:
    random_ = random.Random(5)
    for _ in range(10):
        rows = list(open_source(random_, random_.sample(_OWN_SIGNS, 3), 200))
        texts = [row.text for row in rows]
        found = read(decide(observe(texts)), texts)
        for row, amount, currency in zip(rows, found["amount"].to_pylist(), found["currency"].to_pylist(), strict=True):
            assert amount is None or currency is None or currency in row.codes, (row, currency)


def test_any_currency_in_the_format_of_any_locale_is_right_or_empty() -> None:
    random_ = random.Random(20)
    present = total = 0
    for _ in range(200):
        locale, currency = random_.choice(_LOCALES.split()), random_.choice(_CURRENCIES.split())
        decimals = get_currency_precision(currency)
        rows = []
        for _ in range(25):
            amount = Decimal(int(10 ** random_.uniform(0.5 + decimals, 6 + decimals))).scaleb(-decimals)
            text = format_currency(amount, currency, locale=locale)
            rows.append(Row(disguise(random_, text), amount, True, frozenset()))
        found, all_ = _judge(rows)
        present, total = present + found, total + all_
    assert present >= 0.95 * total


def _sized(forms: str, number: Decimal, mark: str) -> list[str]:
    return [form.replace("#", f"{number}".replace(".", mark)) for form in forms.split("|")]


def test_words_for_the_size_of_an_amount_scale_it_or_leave_it_empty() -> None:
    present = total = 0
    for mark in ".,":
        for power, forms in SIZES.items():
            for number in (Decimal("1.5"), Decimal("12.75"), Decimal(340), Decimal(3)):
                texts = _sized(forms, number, mark)
                found = read(decide(observe(texts)), texts).get("amount")
                amounts = found.to_pylist() if found is not None else [None] * len(texts)
                truth = number.scaleb(power)
                assert [(text, one) for text, one in zip(texts, amounts, strict=True) if one not in (None, truth)] == []
                present, total = present + sum(amount is not None for amount in amounts), total + len(amounts)
    assert present >= 0.8 * total
    for text in _sized(OPEN_SIZES, Decimal("1.5"), ",") + _sized(OPEN_SIZES, Decimal(3), ","):
        found = read(decide(observe([text])), [text]).get("amount")
        assert found is None or found.to_pylist() == [None], text


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("$1,250/mo.", "1250", "mo"),
        ("£1,250 pcm", "1250", "pcm"),
        ("1.250 € p.m.", "1250", "p.m."),
        ("€1,459/l", None, None),
        ("1.459 €/kg", None, None),
        ("1 299:- /st", "1299", "st"),
        ("416 Ft / 665 Ft", None, None),
        ("£5 / 2 kg", "5", "2 kg"),
    ],
)
def test_three_digits_after_a_mark_are_thousands_unless_the_price_is_one_of_a_measure(
    text: str, amount: str | None, unit: str | None
) -> None:
    found = read(decide(observe([text])), [text])
    assert (found["amount"][0].as_py() if found else None) == (Decimal(amount) if amount else None)
    assert (found["unit"][0].as_py() if found else None) == unit


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("£12.99 (was £19.99)", "12.99"),
        ("12,99 € statt 19,99 €", "12.99"),
        ("de R$ 19,90 por R$ 12,90", "12.90"),
        ("12,99 € inkl. MwSt., zzgl. Versandkosten", "12.99"),
        ("$12.99 & FREE Shipping", "12.99"),
        ("Only £12.00!", "12"),
        ("12,00 €¹", "12"),
        ("KSh 1,299/=", "1299"),
        ("R1,299.00 pm", "1299"),
        ("₹1,299 (incl. of all taxes)", "1299"),
        ("החל מ-₪50", "50"),
        ("12.900円〜", None),
        ("€12⁹⁹", None),
        ("$12.99 + $4.99 shipping", None),
        ("Save £20", None),
        ("£5 for 3", None),
        ("up to $50", None),
        ("12x R$ 99,90", None),
    ],
)
def test_words_beside_a_price_are_understood_or_leave_it_empty(text: str, amount: str | None) -> None:
    found = read(decide(observe([text])), [text]).get("amount")
    assert (found.to_pylist() if found is not None else [None]) == [Decimal(amount) if amount else None]


def test_a_shared_sign_beside_a_code_is_another_style_than_the_sign_alone() -> None:
    texts = ["$4.320 CLP", "$18.331 CLP", "$12.50", "$1,204.99", "$9.99"]
    assert read(decide(observe(texts)), texts)["amount"].to_pylist() == [
        Decimal(amount) for amount in ("4320", "18331", "12.50", "1204.99", "9.99")
    ]


@pytest.mark.parametrize("texts", [["1.234", "5.678"], ["12,345", "67,890"]])
def test_numbers_with_nothing_but_a_mark_before_three_digits_are_text_and_say_why(texts: list[str]) -> None:
    reading = decide(observe(texts))
    assert reading == Reading("text", f"no number shows whether its mark begins decimals, as in {texts[0]!r}")
