"""Text from elsewhere: nothing that a terminal obeys is printed, and JSON keeps every character all the same."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.text.printable import PrintableLog, json_text, make_printable, printable

# Colours, a retitled window, a hidden link, an erased screen as one C1 character, DEL, and a reversed direction.
HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\ \x9b2J\x7f\u202ekcab"
DANGEROUS = [*map(chr, range(32)), "\x7f", *map(chr, range(0x80, 0xA0)), *"\u202a\u202b\u202c\u202d\u202e"]
DANGEROUS += [*"\u2028\u2029\u2066\u2067\u2068\u2069", "\ud800", "\udfff"]
anything = st.text(st.one_of(st.sampled_from(DANGEROUS), st.characters(codec=None)))


@given(anything)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert not set(printable(text)) & set(DANGEROUS)
    assert not set(printable(text, lines=True).replace("\r\n", "\n")) & (set(DANGEROUS) - set("\n\t"))
    printable(text).encode()


@given(anything)
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize(
    "text", ["", "Zażółć 東京 👩‍👩‍👧 🏳️‍🌈", "می‌خواهم", "\u200fשלום", "[red]not markup[/red]", "a  b"]
)
def test_text_of_people_is_not_touched(text: str) -> None:
    assert printable(text) == text


def test_escapes_can_be_read_and_one_line_stays_one_line() -> None:
    assert printable("a\x1b[2J\x9b\u202eb") == r"a\x1b[2J\x9b\u202eb"
    assert printable("told\r\n\tby two lines\u2028or three") == "told by two lines or three"
    assert printable("a\r\nb\tc\rd", lines=True) == "a\r\nb\tc\\x0dd"


@given(st.recursive(st.none() | st.integers() | anything, lambda inner: st.dictionaries(anything, inner)))
def test_json_keeps_every_character_and_prints_none_bare(value: object) -> None:
    text = json_text(value)
    assert json.loads(text) == value
    assert not set(text) & set(DANGEROUS)


def test_a_log_that_is_filtered_prints_no_escape_sequence(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("meter_pipeline_tests.printable")
    log.addFilter(PrintableLog())
    log.warning("%s: %d", HOSTILE, 3)
    assert caplog.messages == [printable(f"{HOSTILE}: 3")]


def test_the_texts_of_an_exception_and_of_its_causes_are_made_printable() -> None:
    error = RuntimeError(HOSTILE)
    error.__cause__ = ValueError(HOSTILE, 7)
    make_printable(error)
    assert str(error) == printable(HOSTILE)
    assert error.__cause__.args == (printable(HOSTILE), 7)
