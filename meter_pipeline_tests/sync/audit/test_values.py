"""What the audit sees in a single value: numbers with units, dates, patterns, marks of damage."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.sync.audit.amounts import CURRENCY
from meter_pipeline.sync.audit.value_table import ValueTable
from meter_pipeline.sync.audit.values import FLAGS, FORMS, mark, pattern_of, read_date, read_measure


def take(table: ValueTable, value: object) -> int:
    return table.take([value], type(value))[0]


def describe(value: object) -> tuple[str, set[str]]:
    table = ValueTable()
    number = take(table, value)
    columns = table.columns()
    return FORMS[columns[0][number]], {name for bit, name in enumerate(FLAGS) if columns[4][number] >> bit & 1}


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("£1,234.56", 1234.56, "£"),
        ("1.234,56 €", 1234.56, "€"),
        ("45 %", 45, "%"),
        ("3,5 kg", 3.5, "kg"),
        ("12 km/h", 12, "km/h"),
        ("1 234 ₽", 1234, "₽"),
        ("4.20", 4.2, ""),
    ],
)
def test_numbers_in_text_are_read_with_their_unit(text: str, number: float, unit: str) -> None:
    assert read_measure(text) == (number, unit)


@pytest.mark.parametrize("text", ["LH101", "Oak Yarn 1", "2 of 5", "call us", "v1.2.3-rc", "大阪桜12", "Oak 12"])
def test_names_and_sentences_are_no_numbers(text: str) -> None:
    assert read_measure(text) is None


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("2025-09-01", "9-9-9"),
        ("01/09/2025", "9/9/9"),
        ("Oak Yarn 12", "w 9"),
        ("Café Øst 1", "w 9"),
        ("A-1_b", "w-9_w"),
    ],
)
def test_a_pattern_keeps_signs_and_forgets_words_and_digits(text: str, pattern: str) -> None:
    assert pattern_of(text) == pattern


def test_dates_are_days_with_their_offset() -> None:
    assert read_date("1970-01-02") == 1
    assert read_date("2025-09-01T02:00:00+02:00") == read_date("2025-09-01T00:00:00+00:00")
    assert read_date("2025-13-01") is None


@pytest.mark.parametrize(
    ("value", "form", "flag"),
    [
        ("<b>Oak</b>", "text", "HTML tags"),
        ("Oak &amp; Sons", "text", "HTML entities"),
        ("cafÃ©", "text", "damaged characters"),
        ("caf\ufffd", "text", "damaged characters"),
        ("undefined", "text", "placeholders"),
        ("{{ title }}", "text", "placeholders"),
        (" Oak", "text", "blanks around it"),
        ("Дом", "text", "Cyrillic"),
        (0, "number", "zero"),
        ("-£4.00", "number as text", "negative"),
    ],
)
def test_marks_of_damage_and_scripts_are_seen(value: object, form: str, flag: str) -> None:
    seen = describe(value)
    assert seen[0] == form
    assert flag in seen[1]


@pytest.mark.parametrize("text", ["Oak & Sons", "a < b > c", "Crème brûlée", "Ärger", "Testing bench", "5 > 3"])
def test_right_texts_have_no_marks_of_damage(text: str) -> None:
    assert describe(text)[1] <= {"Latin"}


def test_equal_numbers_have_one_mark_and_a_boolean_another() -> None:
    assert mark(1) == mark(1.0)
    assert mark(True) not in (mark(1), mark(False), mark(None))
    assert mark({"b": 1}) != mark({"b": 2})
    assert mark(-0.0) == mark(0.0) == mark(0)


@pytest.mark.parametrize(
    "values", [[0.0, -0.0], [1, 1.0, True], ["£4.50", "4.50"], ["Oak", "Oak" * 20, "//oak.example/a"]]
)
def test_what_is_known_of_a_value_does_not_depend_on_the_values_before_it(values: list[object]) -> None:
    def facts(table: ValueTable, value: object) -> list[str]:
        number = take(table, value)
        return [repr(column[number]) for column in table.columns()]

    tables = [ValueTable() for _ in values]
    alone = [facts(table, value) for table, value in zip(tables, values, strict=True)]
    for step in (1, -1):
        together = ValueTable()
        assert [facts(together, value) for value in values[::step]] == alone[::step]
        for table in tables:
            assert table.units.items() <= together.units.items()


@pytest.mark.parametrize(
    ("text", "form", "flags", "other"),
    [
        ("2024-05-17", "date", set(), "2024-99-99"),
        ("mailto:anna@example.org", "URL", {"Latin"}, "tomail:anna@example.org"),
        ("data:image/png", "URL", {"Latin", "placeholders"}, "aabb:image/png"),
        ("loading", "text", {"Latin", "placeholders"}, "leading"),
        ("n/a", "text", {"Latin", "placeholders"}, "a/b"),
        ("/img/spacer.gif", "URL", {"Latin", "placeholders"}, "/img/square.gif"),
        ("a &#xab; b", "text", {"Latin", "HTML entities"}, "a &#xyz; b"),
        ("Abcd 12", "text", {"Latin"}, "US$ 12"),
        ("7 %s", "text", {"Latin", "placeholders"}, "7 %x"),
        ("mailto:änna@example.org", "URL", {"Latin"}, "tomail:änna@example.org"),
        ("lorem ipsum ø", "text", {"Latin", "placeholders"}, "lirum ipsam ø"),
    ],
)
def test_letters_and_digits_tell_apart_texts_of_one_shape(text: str, form: str, flags: set[str], other: str) -> None:
    assert describe(other) != (form, flags)
    assert describe(text) == (form, flags)
    assert describe(other) != (form, flags)


WORDS = (
    "lorem ipsum", "blank.gif", "spacer.gif", "placeholder", "data:image/", "null", "n/a", "error", "please wait",
)  # fmt: skip
MARKS = (" ", ".", "-", "_", "7", "%s", "{{", "}}", "[", "£", "Tide", "Atlas")


@given(st.lists(st.sampled_from(WORDS + MARKS), min_size=1, max_size=5).map("".join))
def test_a_text_has_a_placeholder_whether_its_letters_are_usual_or_not(text: str) -> None:
    """Texts with a letter beyond ASCII are searched whole, others only where their shape lets them have one."""
    _, usual = describe(f"{text}, wide")
    _, unusual = describe(f"{text}, wïde")
    assert ("placeholders" in usual) == ("placeholders" in unusual)
    _, alone = describe(text)
    _, quoted = describe(f"{text}’")
    assert ("placeholders" in alone) == ("placeholders" in quoted)


@pytest.mark.parametrize(
    "currency", ["$", "US$", "R$", "¥", "₽", "€", "EUR", "VND", "kr", "zł", "Kč", "Fr.", "lei", "руб.", "円"]
)
def test_a_currency_is_found_beside_a_number_among_words(currency: str) -> None:
    assert re.fullmatch(CURRENCY, currency)
    assert read_measure(f"only today, each for 48 {currency} (reduced)") == (48, currency)


def test_values_that_are_equal_in_python_are_told_apart_by_their_kind() -> None:
    table = ValueTable()
    values = [1, 1.0, True, "1", [1], {"a": 1}, '{"a":1}', 0, False, None, ""]
    numbers = [take(table, value) for value in values]
    assert len(set(numbers)) == len(values)
    assert [take(table, value) for value in values] == numbers
