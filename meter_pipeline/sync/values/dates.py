"""Reads one date or time from a text, if the text is that and nothing else.

Compact forms (`20260301` is an id as well), years of two digits, and months or days alone are no dates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple

from meter_pipeline.sync.values.months import ALL_LANGUAGES, AMBIGUOUS, MONTHS, WEEKDAYS, find_month, languages_of

# Other calendars are now in other centuries: Persian in the 15th, Nepali in the 2080s, Thai in the 26th.
_YEARS = range(1800, 2070)
_CLOCK = (
    r"(?:(?P<part>上午|下午|午前|午後|오전|오후) ?)?"
    r"(?P<hour>\d{1,2})(?::|h|時|时|시 ?)(?P<minute>\d{2})[分분]?(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<half>[ap]\.?m\.?)(?![a-z]))?"
    r"(?: ?(?P<zone>z|utc|gmt|(?:utc|gmt)?[+-]\d{2}:?\d{2}|[+-]\d{2}|(?:utc|gmt)[+-]\d{1,2}|\(utc\)))?(?: uhr| h)?"
)
_AFTERNOON = ("下午", "午後", "오후")
_AT = r"at|um|à|a las|alle ore|alle|ore|às|klo|kl\.?|om|o|в|о|la|lúc|pukul|@|-"
_TIME = rf"(?:(?:,? (?:{_AT})? ?|t| )?{_CLOCK})?"
# Finnish, Danish and Italian clocks have a point, which is one of a time after the word for it.
_POINTED_CLOCK = re.compile(r"(?<= )(klo|kl\.?|ore) (\d{1,2})\.(\d{2})$")
_YEAR_FIRST = re.compile(
    rf"(?P<year>\d{{4}})(?P<mark>\. |[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}})\.?{_TIME}"
)
_YEAR_LAST = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>\. |[-/.])(?P<second_part>\d{1,2})(?P=mark)"
    rf"(?P<year>\d{{4}})\.?(?: [гр]\.)?{_TIME}"
)
_HAS_YEAR = re.compile(r"\d{4}")
_SHORT_YEAR = re.compile(r"\d{1,2}([-/.])\d{1,2}\1\d{2}(?: .*)?")
_SHORT_NAMED = re.compile(r"\d{1,2}\.?[ /-](?P<name>[^\W\d_][^\d/ -]*)[ /-]'?\d{2}")
_EAST_ASIAN = re.compile(
    r"(?P<year>\d{4}) ?[年년] ?(?P<month>\d{1,2}) ?[月월] ?(?P<day>\d{1,2}) ?[日일号]?"
    r"(?: ?\(?(?:[月火水木金土日](?:曜日?)?|[월화수목금토일](?:요일)?|(?:星期|周|週)?[一二三四五六日])\)?)?"
    rf"{_TIME}"
)
_VIETNAMESE = re.compile(
    rf"(?:ngày )?(?P<day>\d{{1,2}}) (?:tháng|thg) (?P<month>\d{{1,2}}),?(?: năm)? (?P<year>\d{{4}}){_TIME}"
)
# Vowel signs of Indian scripts are no letters to `re`.
_NAME = r"(?P<name>[^\W\d_](?:[^\d,_/]*[^\d\s,_/.:-])?)\.?"
_DAY_FIRST = re.compile(
    r"(?:le |den |d\. |el |am |on |the )?"
    rf"(?P<day>\d{{1,2}})(?:(?:st|nd|rd|th|er|-a|:e)(?![^\W\d_])|\.?º|°|\.)?[ /-]?(?:of |de |do |d'|di )?{_NAME}"
    r"[ ,/-]{1,2}(?:de |del |do |ค\.ศ\. ?)?"
    rf"(?P<year>\d{{4}})(?: ?(?:года|року|roku|г\.?|р\.?|г\. в|r\.|m\.|\.))?{_TIME}"
)
_MONTH_FIRST = re.compile(rf"{_NAME}[ -]?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?[ -](?P<year>\d{{4}}){_TIME}")
# 2026. március 1., 2026 m. kovo 1 d., 2026 mars 1.
_YEAR_NAME = re.compile(
    rf"(?P<year>\d{{4}})(?:\.|-| m\.| г\.|(?:ko|eko)\b)?[ -]{_NAME}[ -](?P<day>\d{{1,2}})(?:\.|a| d\.)?{_TIME}"
)
# Wed Aug 05 12:00:00 2015: the form of C's `ctime`.
_YEAR_AFTER_TIME = re.compile(rf"{_NAME} {{1,2}}(?P<day>\d{{1,2}}) {_CLOCK} (?P<year>\d{{4}})")
# 2026. gada 1. marts, 2026 ж. 1 наурыз.
_YEAR_DAY = re.compile(rf"(?P<year>\d{{4}})(?:\. gada| ж\.) (?P<day>\d{{1,2}})\.? {_NAME}{_TIME}")
_LEADING = re.compile(
    r"^(?:(?:(?:posted|published|(?:last )?(?:updated|modified)|added|created|released|release date|date|"
    r"veröffentlicht|aktualisiert|erschienen|publié|mis à jour|publicado|actualizado|atualizado|pubblicato|aggiornato|"
    r"gepubliceerd|publicerad|uppdaterad|opublikowano|dodano|опубликовано|обновлено|добавлено)"
    r"(?: on| am| le| el| il| em| op)?|le|el|il):? |"
    r"(?:公開日|更新日|発売日|投稿日|发布于|发布时间|更新时间|게시일|등록일):? ?)(?=.)"
)
_WEEKDAY = re.compile(r"([^\W\d_][^\d,]*?)(?:ที่)?[.,]{0,2} (?=\d|[^\d, ]+ \d)")
_WEEKDAY_LAST = re.compile(r",? \(?([^\d,()]+?)\)?$")

PATTERNS = (
    *(_YEAR_FIRST, _YEAR_LAST, _EAST_ASIAN, _VIETNAMESE),
    *(_DAY_FIRST, _MONTH_FIRST, _YEAR_NAME, _YEAR_DAY, _YEAR_AFTER_TIME, _LEADING),
)
"""All patterns, whose words are words of dates."""


class Moment(NamedTuple):
    """A date or time as it is spelled.

    Attributes:
        year: The year.
        month: The month; in a form without an order (`swappable`) the first of the two numbers.
        day: The day; likewise the second.
        swappable: Whether only the source can say which of the two numbers is the day.
        mark: The separator of a form whose order varies, otherwise empty.
        name: The name of the month, if its month depends on the language.
        languages: Mask of the languages that have the name; all where there is none.
        clock: Time of day, None for a date alone.
        zone: Offset from UTC in minutes, None without one.
    """

    year: int
    month: int
    day: int
    swappable: bool
    mark: str
    name: str
    languages: int
    clock: tuple[int, int, int, int] | None
    zone: int | None

    def date(self, day_first: bool, months: Mapping[str, int]) -> date | None:
        """The date; None where the month depends on the language and is not in `months`, or there is no such day."""
        month: int | None = self.month
        day = self.day
        if self.mark and day_first:
            month, day = self.day, self.month
        if self.name:
            month = months.get(self.name)
        return _date(self.year, month, day) if month is not None else None

    def time(self, day_first: bool, months: Mapping[str, int]) -> datetime | None:
        """The time: with UTC if the text names a zone, otherwise without one."""
        found = self.date(day_first, months)
        if found is None or self.clock is None:
            return None
        result = datetime(found.year, found.month, found.day, *self.clock)
        if self.zone is None:
            return result
        return (result - timedelta(minutes=self.zone)).replace(tzinfo=timezone.utc)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def has_short_year(text: str) -> bool:
    """Whether a cleaned text is a date with a year of two digits."""
    if _SHORT_YEAR.fullmatch(text):
        return True
    named = _SHORT_NAMED.fullmatch(text.lower())
    return named is not None and (named["name"] in MONTHS or _bare(named["name"]) in MONTHS)


def find_moment(text: str) -> Moment | None:
    """The date or time in a cleaned text, or None if the text is not exactly one."""
    if len(text) > 60 or not _HAS_YEAR.search(text):
        return None
    text = text.lower().replace("i̇", "i")
    text = _LEADING.sub("", text, count=1)
    if "." in text[-4:]:
        text = _POINTED_CLOCK.sub(r"\1 \2:\3", text)
    # The short name of a month is that of a day elsewhere: `mar 1, 2026`.
    if (found := _find(text)) is not None:
        return found
    weekday = _WEEKDAY.match(text)
    if weekday and weekday[1] in WEEKDAYS:
        return _find(text[weekday.end() :])
    weekday = _WEEKDAY_LAST.search(text)
    return _find(text[: weekday.start()]) if weekday and weekday[1] in WEEKDAYS else None


def _find(text: str) -> Moment | None:
    if match := _YEAR_FIRST.fullmatch(text) or _EAST_ASIAN.fullmatch(text) or _VIETNAMESE.fullmatch(text):
        return _moment(match, int(match["month"]), int(match["day"]))
    if match := _YEAR_LAST.fullmatch(text):
        return _moment(match, int(match["first"]), int(match["second_part"]), match["mark"])
    for form in (_DAY_FIRST, _MONTH_FIRST, _YEAR_NAME, _YEAR_DAY, _YEAR_AFTER_TIME):
        if match := form.fullmatch(text):
            name = match["name"]
            name = name if name in MONTHS else _bare(name)
            if name not in MONTHS:
                continue
            month = find_month(name, ALL_LANGUAGES)
            found = _moment(match, month or 1, int(match["day"]), "", name if name in AMBIGUOUS else "")
            return found._replace(languages=languages_of(name)) if found is not None else None
    return None


def _bare(name: str) -> str:
    """A name without the dots and articles that some languages put at it."""
    return (
        name.removeprefix("de ")
        .removeprefix("d'")
        .removesuffix(" de")
        .removesuffix(" del")
        .removeprefix("ב")
        .rstrip(". '")
    )


def _moment(match: re.Match[str], month: int, day: int, mark: str = "", name: str = "") -> Moment | None:
    year = int(match["year"])
    swapped = bool(mark) and _date(year, day, month) is not None
    if year not in _YEARS or not (swapped or name or _date(year, month, day) is not None) or not 1 <= day <= 31:
        return None
    clock, zone = None, None
    if match["hour"] is not None:
        clock = _clock(match)
        if clock is None:
            return None
        zone = _zone(match["zone"]) if match["zone"] else None
        if match["zone"] and zone is None:
            return None
    swappable = swapped and _date(year, month, day) is not None and month != day
    return Moment(year, month, day, swappable, mark, name, ALL_LANGUAGES, clock, zone)


def _clock(match: re.Match[str]) -> tuple[int, int, int, int] | None:
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    half, part = match["half"], match["part"]
    if half or part:
        if not 1 <= hour <= 12 or (half and part):
            return None
        is_afternoon = half[0] == "p" if half else part in _AFTERNOON
        hour = hour % 12 + (12 if is_afternoon else 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    return hour, minute, second, int((match["fraction"] or "").ljust(6, "0")[:6])


def _zone(text: str) -> int | None:
    digits = text.strip("()").removeprefix("utc").removeprefix("gmt")
    if digits in ("", "z"):
        return 0
    hours, minutes = int(digits[1:3]), int(digits[3:].lstrip(":") or 0)
    if hours > 14 or minutes > 59:
        return None
    return (hours * 60 + minutes) * (-1 if digits[0] == "-" else 1)
