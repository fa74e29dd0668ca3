"""Prices are read as people read them, or not at all."""

from __future__ import annotations

import random
from decimal import Decimal

import pyarrow as pa
import pytest
from babel import Locale
from babel.numbers import format_compact_currency, format_compact_decimal, format_currency, get_currency_precision
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.sync.values.deciding import decide
from meter_pipeline.sync.values.facts import observe
from meter_pipeline.sync.values.recognition import read
from meter_pipeline.sync.values.vocabulary import may_be_value
from meter_pipeline_tests.sync.values.spellings import LARGE, MORE, PRICES
from meter_pipeline_tests.sync.values.worlds import SPELLINGS, sample, with_noise

# What stands in fields of prices beside prices; none is one.
_JUNK = ["POA", "Sold out", "£5 - £9", "2 for $5", "$5-$9", "3 x 5,00 €", "12:30", "~£37", "10% off", "€9+", "v1.2", ""]
_LOCALES = """
    en_US USD en_GB GBP de_DE EUR de_CH CHF fr_FR EUR fr_CA CAD es_ES EUR es_MX MXN es_CL CLP pt_BR BRL it_IT
    EUR nl_NL EUR sv_SE SEK da_DK DKK nb_NO NOK pl_PL PLN cs_CZ CZK hu_HU HUF ru_RU RUB uk_UA UAH tr_TR TRY
    ja_JP JPY ko_KR KRW zh_CN CNY hi_IN INR ar_EG EGP fa_IR IRR he_IL ILS th_TH THB vi_VN VND id_ID IDR en_ZA
    ZAR bn_BD BDT ro_RO RON ne_NP NPR ar_KW KWD
"""


def _read(texts: list[str]) -> tuple[list[Decimal | None], list[str | None]]:
    reading = decide(observe(texts))
    assert reading.kind == "money", reading
    columns = read(reading, texts)
    return columns["amount"].to_pylist(), columns["currency"].to_pylist()


@pytest.mark.parametrize("table", [PRICES, LARGE, PRICES + LARGE + MORE], ids=["usual", "large", "together"])
def test_spellings_of_many_places_are_read_or_left_empty(table: list[tuple[str, str | None]]) -> None:
    amounts, _ = _read([text for text, _ in table])
    wrong = [
        (text, amount)
        for (text, truth), amount in zip(table, amounts, strict=True)
        if amount is not None and (truth is None or amount != Decimal(truth))
    ]
    assert wrong == []
    plain = [amount for (_, truth), amount in zip(table, amounts, strict=True) if truth is not None]
    assert sum(amount is not None for amount in plain) >= 0.95 * len(plain)


def _judge(rows: list[tuple[str, Decimal]]) -> int:
    """Asserts that no amount is wrong, and returns how many are present."""
    junk = _JUNK * (len(rows) // 200)
    amounts, _ = _read([text for text, _ in rows] + junk)
    wrong = [
        (text, truth, amount)
        for (text, truth), amount in zip(rows, amounts, strict=False)
        if amount is not None and amount != truth
    ]
    assert wrong == []
    assert not any(amount is not None for amount in amounts[len(rows) :])
    return sum(amount is not None for amount in amounts[: len(rows)])


def test_twenty_sources_of_mixed_spelling_have_no_wrong_amount_and_nearly_all() -> None:
    random_ = random.Random(17)
    present = 0
    for number in range(20):
        kinds = random_.sample(sorted(SPELLINGS), 1 + number % 4)
        present += _judge([sample(random_, random_.choice(kinds)) for _ in range(1000)])
    assert present >= 0.97 * 20_000


def test_prices_that_locales_write_have_no_wrong_amount_and_nearly_all() -> None:
    random_ = random.Random(7)
    words = _LOCALES.split()
    present = total = 0
    for locale, currency in zip(words[::2], words[1::2], strict=True):
        decimals = get_currency_precision(currency)
        rows = []
        for _ in range(150):
            amount = Decimal(int(10 ** random_.uniform(2, 8))).scaleb(-decimals)
            text = format_currency(amount, currency, locale=locale)
            rows.append((with_noise(random_, text), amount))
        present += _judge(rows)
        total += len(rows)
    assert present >= 0.97 * total


def test_amounts_with_a_word_for_their_size_are_right_or_empty_in_every_locale() -> None:
    random_ = random.Random(3)
    words = _LOCALES.split()
    present = 0
    for locale, currency in zip(words[::2], words[1::2], strict=True):
        rows = []
        for power in range(3, 14):
            amount = Decimal(random_.randint(1, 99)).scaleb(power - 1)
            rows.append((format_compact_currency(amount, currency, locale=locale, fraction_digits=2), amount))
            length = "long" if "long" in Locale.parse(locale).compact_decimal_formats else "short"
            word = format_compact_decimal(amount, format_type=length, locale=locale, fraction_digits=2)
            rows += [(form.format(word), amount) for form in ("{} €", "€ {}", "€{}", f"{{}} {currency}", "${}")]
        reading = decide(observe([text for text, _ in rows]))
        if reading.kind == "money":
            present += _judge(rows)
    assert present >= 1000


@settings(max_examples=60)
@given(
    kinds=st.lists(st.sampled_from(sorted(SPELLINGS)), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    size=st.integers(1, 40),
)
def test_no_mixture_of_spellings_makes_an_amount_wrong(kinds: list[str], seed: int, size: int) -> None:
    random_ = random.Random(seed)
    rows = [sample(random_, random_.choice(kinds)) for _ in range(size)]
    reading = decide(observe([text for text, _ in rows]))
    if reading.kind == "money":
        _judge(rows)
    else:
        assert reading.columns.keys() <= {"number", "count"}


@pytest.mark.parametrize(
    ("texts", "amounts"),
    [
        (["$1,459", "$2.50"], ["1459", "2.5"]),
        (["1,459 €", "1,509 €"], [None, None]),
        (["1,459 €", "9.99 €"], ["1459", "9.99"]),
        (["$37.990", "$12.990"], [None, None]),
        (["$37.990", "$1.112.990"], ["37990", "1112990"]),
        (["$ 37.990", "$ 2.495", "$ 990"], ["37990", "2495", "990"]),
        # Fixed decimals would be written in 990, and zeros that are left out in 37.990: here one of both may be so.
        (["$ 37.995", "$ 2.495", "$ 990"], [None, None, "990"]),
        (["$ 37.990", "$ 2.490", "$ 5"], [None, None, "5"]),
        # Other ways to write prices, which say nothing of each other.
        (["$ 37.990", "US$ 990"], [None, "990"]),
        (["$ 37.990", "$ 37,990", "$ 990"], [None, "37990", "990"]),
        (["$ 37.990 / kg", "$ 990"], [None, "990"]),
        (["$ 37.990 / kg", "$ 37.990", "$ 990"], [None, None, "990"]),
        (["$ 37.990 al mes", "$ 990"], ["37990", "990"]),
        (["US$ 12.50", "$ 37.990", "$ 990"], ["12.5", None, "990"]),
        (["KWD 12.950", "KWD 990"], [None, "990"]),
        (["1 234,500 TND", "12,750 TND", "900 TND"], ["1234.5", "12.75", "900"]),
        (["1 234,500 DT", "12,750 DT"], ["1234.5", "12.75"]),
        (["1 234,500 €", "12,50 €"], [None, "12.5"]),
        (["$1.234", "$12,345.678", "$0.0042"], ["1.234", "12345.678", "0.0042"]),
        (["1.459 €/l", "1.509 €/l"], [None, None]),
        (["KWD 1.250"], [None]),
        (["KWD 1.250", "KWD 0.750"], ["1.25", "0.75"]),
        (["KD 1,250.500", "KD 0.750"], ["1250.5", "0.75"]),
        (["EUR 1.250", "EUR 0.750"], [None, "0.75"]),
        (["37.99 €", "12,50 €", "3.746 €"], ["37.99", "12.5", None]),
        (["12,50 €", "$3.746"], ["12.5", None]),
        (["12,50 €", "CHF 3.746"], ["12.5", "3746"]),
        (["R15", "R3,799.00"], ["15", "3799"]),
        (["5", "7.50", "$8"], ["5", "7.5", "8"]),
        (["1.234,56 €", "2.500 €", "2.400", "9"], ["1234.56", "2500", "2400", "9"]),
        (["$5.50", "$8", "2.400"], ["5.5", "8", None]),
    ],
)
def test_other_values_of_the_source_say_how_a_lone_mark_is_read(texts: list[str], amounts: list[str | None]) -> None:
    assert _read(texts)[0] == [None if amount is None else Decimal(amount) for amount in amounts]


@pytest.mark.parametrize(("text", "usual"), [("₩359 299원", "₩1,200"), ("￥499 416円", "￥980"), ("£359 299£", "£99")])
def test_two_prices_side_by_side_are_not_one_with_spaces_between_its_thousands(text: str, usual: str) -> None:
    assert _read([*[usual] * 8, text])[0][-1] is None
    assert _read(["$1 499 CAD", "$5"])[0] == [1499, 5]


def test_a_shared_sign_is_the_only_currency_of_its_family_in_the_source() -> None:
    assert _read(["$5", "CAD 9.50"])[1] == ["CAD", "CAD"]
    assert _read(["$5", "CAD 9.50", "US$3"])[1] == ["$", "CAD", "USD"]
    assert _read(["$5", "7,50 €"])[1] == ["$", "EUR"]
    assert _read(["Free", "£5"])[1] == ["GBP", "GBP"]


def test_what_a_price_is_for_is_beside_it() -> None:
    texts = ["$8.99 / 300g", "€ 7,69/kg", "£5 per month", "£3"]
    units = read(decide(observe(texts)), texts)["unit"].to_pylist()
    assert units == ["300g", "kg", "month", None]
    for text in ("571 Kč/měs.", "571,00 zł miesięcznie", "571 Kč měsíčně", "571.00 ر.س شهريا"):
        columns = read(decide(observe([text])), [text])
        assert (columns["amount"].to_pylist(), columns["unit"].null_count) == ([571], 0)


def test_amounts_are_exact_and_those_that_do_not_fit_are_empty() -> None:
    texts = ["€0.000000000001", "€0.0000000000001", "€99,999,999,999.10", f"€{'9' * 23}", "€0.10"]
    column = read(decide(observe(texts)), texts)["amount"]
    assert column.type == pa.decimal128(38, 12)
    assert column.to_pylist() == [
        Decimal("0.000000000001"), None, Decimal("99999999999.10"), Decimal("9" * 23), Decimal("0.10"),
    ]  # fmt: skip


def test_every_spelling_that_is_read_passes_the_first_sieve() -> None:
    from meter_pipeline.sync.values.money import find_price
    from meter_pipeline.sync.values.spelling import clean

    for text, _ in PRICES + LARGE + MORE:
        cleaned = clean(text)
        if find_price(cleaned) is not None:
            assert may_be_value(cleaned), text
