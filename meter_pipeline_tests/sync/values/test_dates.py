"""Dates and times are read where all texts of a field are read in one way; otherwise the field says why it is text."""

from __future__ import annotations

import random
import re
from datetime import date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from babel import Locale
from babel.dates import format_date
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.sync.values.deciding import decide
from meter_pipeline.sync.values.facts import observe
from meter_pipeline.sync.values.months import LANGUAGES, MONTHS
from meter_pipeline.sync.values.recognition import read

_LOCALES = (
    "en_US en_GB de_DE fr_FR es_ES pt_BR it_IT nl_NL sv_SE da_DK pl_PL cs_CZ hr_HR hu_HU ru_RU uk_UA "
    "tr_TR ja_JP ko_KR zh_CN vi_VN el_GR fi_FI ar_EG hi_IN "
)
_NOON = datetime(2026, 3, 1, 12, 30, tzinfo=timezone.utc)


def _read(texts: list[str]) -> list[object]:
    reading = decide(observe(texts))
    assert reading.kind != "text", reading.reason
    (column,) = read(reading, texts, _NOON).values()
    return column.to_pylist()


def _with_long_years(pattern: str) -> str:
    return re.sub("y+", "yyyy", pattern)


def test_dates_of_many_locales_and_forms_are_never_wrong_and_nearly_all_there() -> None:
    random_ = random.Random(5)
    total = present = 0
    for name in _LOCALES.split():
        locale = Locale.parse(name)
        forms = [_with_long_years(locale.date_formats["short"].pattern), "medium", "long", "full"]
        for form in forms:
            days = [date(1990, 1, 1) + timedelta(random_.randint(0, 15_000)) for _ in range(200)]
            texts = [format_date(day, form, locale=locale) for day in days]
            reading = decide(observe(texts))
            total += len(days)
            if reading.kind == "text":
                continue
            found = read(reading, texts)["date"].to_pylist()
            assert [(text, day) for text, day in zip(texts, found, strict=True) if day is not None] == [
                (text, day) for text, day, one in zip(texts, days, found, strict=True) if one is not None
            ]
            present += sum(day is not None for day in found)
    assert total == 20_000
    assert present >= 0.95 * total


@given(
    days=st.lists(st.dates(date(1800, 1, 1), date(2069, 12, 31)), min_size=1, max_size=30),
    form=st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%d. %m. %Y"]),
    other=st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", None]),
)
def test_numeric_dates_are_right_or_text(days: list[date], form: str, other: str | None) -> None:
    texts = [day.strftime(form).replace(day.strftime("%Y"), f"{day.year:04}") for day in days]
    reading = decide(observe(texts))
    shown = any(day.day > 12 for day in days)
    assert (reading.kind == "date") == (shown or all(day.day == day.month for day in days))
    if reading.kind == "date":
        assert read(reading, texts)["date"].to_pylist() == days
    if other is not None and other != form and shown:
        contrary = [day.strftime(other) for day in days if day.day > 12]
        mixed = decide(observe(texts + contrary))
        assert "/" not in form or mixed.kind == "text"


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["01/02/2026", "03/04/2026"], "no date shows whether the day or the month comes first, as in '01/02/2026'"),
        (["13/02/2026", "02/13/2026"], "in some dates the day comes first, in others the month"),
        (["1 listopada 2026"], "the month 'listopada' depends on the language, which no other month shows"),
        (["01/02/26", "13/02/26"], "years of two digits, as in '01/02/26'"),
        (["2026-03-01", "2026-03-02", "soon"], "most texts are of the kind 'date', but not 'soon'"),
        (["2 days ago", "3 days ago", "Mar 1, 2026"], "most texts are of the kind 'relative', but not 'Mar 1, 2026'"),
    ],
)
def test_a_field_that_stays_text_says_why(texts: list[str], reason: str) -> None:
    reading = decide(observe(texts))
    assert (reading.kind, reading.reason, read(reading, texts)) == ("text", reason, {})


def test_other_months_tell_the_language_of_a_month() -> None:
    assert _read(["1 listopada 2026", "2 grudnia 2026"]) == [date(2026, 11, 1), date(2026, 12, 2)]
    assert _read(["1 listopada 2026", "2 siječnja 2026"]) == [date(2026, 10, 1), date(2026, 1, 2)]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T06:00:00Z", datetime(2026, 3, 1, 6, tzinfo=timezone.utc)),
        ("2026-03-01 06:00:00.25+05:30", datetime(2026, 3, 1, 0, 30, 0, 250_000, timezone.utc)),
        ("Sun, 01 Mar 2026 10:30:00 GMT", datetime(2026, 3, 1, 10, 30, tzinfo=timezone.utc)),
        ("2026-03-01 06:00", datetime(2026, 3, 1, 6)),
        ("Mar 1, 2026 12:05 AM", datetime(2026, 3, 1, 0, 5)),
        ("1 March 2026 at 10:30 pm", datetime(2026, 3, 1, 22, 30)),
        ("31.12.2026, 23:59 Uhr", datetime(2026, 12, 31, 23, 59)),
        ("2026年3月1日 10:30", datetime(2026, 3, 1, 10, 30)),
        ("٢ مارس ٢٠٢٦", date(2026, 3, 2)),
        ("Posted on Mar 1, 2026", date(2026, 3, 1)),
        ("Donnerstag, 5. März 2026", date(2026, 3, 5)),
        ("3 de marzo de 2026", date(2026, 3, 3)),
        ("1er janv. 2026", date(2026, 1, 1)),
    ],
)
def test_a_time_has_a_zone_only_if_the_text_names_one(text: str, moment: object) -> None:
    assert _read([text]) == [moment]


@pytest.mark.parametrize(
    "text",
    [
        "20260301", "2026-13-01", "31.02.2026", "30 février 2026", "March 2026", "Mar 1", "12:30", "5 in 2026",
        "1 Foo 2026", "1404/12/10", "2082-11-17", "1 มีนาคม 2569", "2026-03-01 25:00", "10:30 PST",
        "1 March 2026 10:30 EST",
    ],
)  # fmt: skip
def test_what_is_no_date_or_one_of_another_calendar_stays_text(text: str) -> None:
    assert decide(observe([text])).kind == "text"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2 days ago", datetime(2026, 2, 27, tzinfo=timezone.utc)),
        ("vor 3 Stunden", datetime(2026, 3, 1, 9, 30, tzinfo=timezone.utc)),
        ("il y a 10 minutes", datetime(2026, 3, 1, 12, 20, tzinfo=timezone.utc)),
        ("hace un mes", datetime(2026, 2, 1, tzinfo=timezone.utc)),
        ("2年前", datetime(2024, 3, 1, tzinfo=timezone.utc)),
        ("вчера", datetime(2026, 2, 28, tzinfo=timezone.utc)),
        ("an hour ago", datetime(2026, 3, 1, 11, 30, tzinfo=timezone.utc)),
        ("just now", _NOON),
    ],
)
def test_a_relative_time_counts_from_the_job(text: str, moment: datetime) -> None:
    assert _read([text]) == [moment]
    assert decide(observe([text])).moves


def test_each_text_counts_from_the_time_of_its_own_job() -> None:
    texts = ["2 days ago", "2 days ago"]
    column = read(decide(observe(texts)), texts, [_NOON, _NOON + timedelta(days=1)])["at"]
    assert column.type == pa.timestamp("us", "UTC")
    assert [moment.day for moment in column.to_pylist()] == [27, 28]
    with pytest.raises(ValueError, match="time of the job"):
        read(decide(observe(texts)), texts)


def test_the_last_day_of_a_month_has_one_in_every_other_month() -> None:
    texts = ["1 month ago", "12 months ago"]
    moment = datetime(2024, 3, 31, 8, tzinfo=timezone.utc)
    found = read(decide(observe(texts)), texts, moment)["at"].to_pylist()
    assert [one.date() for one in found] == [date(2024, 2, 29), date(2023, 3, 31)]


def test_names_of_months_agree_with_those_of_locales() -> None:
    for name in ("de", "fr", "ru", "pl", "hr", "tr", "el", "hi"):
        bit = 1 << LANGUAGES.index(name)
        for month, text in Locale.parse(name).months["format"]["wide"].items():
            assert MONTHS[text.lower()].get(month, 0) & bit
