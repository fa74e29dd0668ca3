"""Dates, times and ages of thirty languages are right or empty, and what has two readings stays text with a reason."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime, timezone

import pytest

from meter_pipeline.sync.values.deciding import decide
from meter_pipeline.sync.values.facts import observe
from meter_pipeline.sync.values.recognition import read
from meter_pipeline.sync.values.relative import Age
from meter_pipeline_tests.sync.values.calendars import (
    AGE_UNITS,
    AGES,
    LANGUAGES,
    NO_DATES,
    NUMERIC,
    draw_day,
    open_dates,
    open_times,
    write_date,
)


def _judge(rows: Sequence[tuple[str, date]]) -> int:
    """Asserts that no date or time is wrong, and returns how many are present."""
    texts = [text for text, _ in rows]
    columns = read(decide(observe(texts)), texts)
    found = next(iter(columns.values())).to_pylist() if columns else [None] * len(rows)
    wrong = [(*row, moment) for row, moment in zip(rows, found, strict=True) if moment not in (None, row[1])]
    assert wrong == []
    return sum(moment is not None for moment in found)


def test_twenty_thousand_dates_of_sites_in_many_languages_are_right_and_nearly_all_there() -> None:
    random_ = random.Random(2027)
    present = sum(_judge(list(open_dates(random_, random_.choice(list(LANGUAGES)), 400))) for _ in range(50))
    assert present >= 0.97 * 20_000


@pytest.mark.parametrize("name", sorted(LANGUAGES))
def test_every_form_of_a_language_is_read(name: str) -> None:
    random_ = random.Random(name)
    for form in LANGUAGES[name].forms.split("|"):
        rows = [(write_date(LANGUAGES[name], form, day), day) for day in (draw_day(random_) for _ in range(30))]
        assert _judge(rows) == 30, form


@pytest.mark.parametrize("form", NUMERIC.split("|"))
def test_numeric_dates_with_a_day_after_the_twelfth_are_read(form: str) -> None:
    random_ = random.Random(form)
    days = [date(2026, 3, 31), *(draw_day(random_) for _ in range(30))]
    assert _judge([(day.strftime(form), day) for day in days]) == 31


def test_times_with_clocks_and_zones_of_many_forms_are_read() -> None:
    random_ = random.Random(8)
    assert sum(_judge(list(open_times(random_, 40))) for _ in range(60)) == 2400


def test_two_languages_in_one_field_are_right_or_text() -> None:
    random_ = random.Random(11)
    present = 0
    for _ in range(40):
        names = random_.sample(sorted(LANGUAGES), 2)
        present += _judge([row for name in names for row in open_dates(random_, name, 20)])
    assert present >= 0.9 * 1600


@pytest.mark.parametrize("text", NO_DATES.split("|"))
def test_what_is_no_date_by_itself_stays_text(text: str) -> None:
    assert decide(observe([text])).kind == "text"


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["03/04/2026 3:05 PM", "05/06/2026 4:05 PM"], "no date shows whether the day or the month comes first, as in"),
        (["31/12/2026", "12/31/2026"], "in some dates the day comes first, in others the month"),
        (["02-MAR-26", "13 Apr 26", "2 มี.ค. 69"], "years of two digits, as in"),
    ],
)
def test_dates_with_two_readings_stay_text_and_say_why(texts: list[str], reason: str) -> None:
    reading = decide(observe(texts))
    assert reading.kind == "text"
    assert reading.reason.startswith(reason)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("13.3.2026 klo 15.05", datetime(2026, 3, 13, 15, 5)),
        ("2 marzo 2026 ore 15:05", datetime(2026, 3, 2, 15, 5)),
        ("2026年3月2日 下午3:05", datetime(2026, 3, 2, 15, 5)),
        ("2026년 3월 2일 오전 12:05", datetime(2026, 3, 2, 0, 5)),
        ("Mon Mar 02 2026 15:05:00 GMT+0100", datetime(2026, 3, 2, 14, 5, tzinfo=timezone.utc)),
        ("2 March 2026, 15:05 UTC+2", datetime(2026, 3, 2, 13, 5, tzinfo=timezone.utc)),
        ("Publié le 2 mars 2026", date(2026, 3, 2)),
        ("公開日：2026年3月2日", date(2026, 3, 2)),
        ("2-Apr-2026", date(2026, 4, 2)),
        ("2-agosto-2026", date(2026, 8, 2)),
        ("2-a Aprilo 2026", None),
        ("2026年3月2日 下午15:05", None),
    ],
)
def test_clocks_labels_and_separators_of_many_places_are_understood(text: str, moment: date | None) -> None:
    columns = read(decide(observe([text])), [text])
    assert [column.to_pylist() for column in columns.values()] == ([[moment]] if moment else [])


@pytest.mark.parametrize("name", sorted(AGES))
def test_ages_in_the_units_of_a_language_are_understood(name: str) -> None:
    noon = datetime(2026, 3, 31, 12, tzinfo=timezone.utc)
    form, words = AGES[name]
    space = "" if name in ("japanese", "korean", "chinese") else " "
    texts = [form.format(f"5{space}{word}") for word in words.split()]
    reading = decide(observe(texts))
    assert reading.kind == "relative"
    assert read(reading, texts, noon)["at"].to_pylist() == [Age(5, unit).before(noon) for unit in AGE_UNITS]
