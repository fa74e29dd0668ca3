"""What the audit knows of a single value: its form, a mark to recognise it by, its number, length, pattern and unit.

Comes in: parsed JSON values. Goes out: facts about each, which follow from the value alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

from meter_pipeline.store.item_json import spell_json
from meter_pipeline.sync.audit.amounts import CURRENCY, CURRENCY_BEGIN, read_amount
from meter_pipeline.sync.values.dates import Moment, find_moment
from meter_pipeline.sync.values.spelling import clean

#: The forms of a value. Up to `EMPTY` there is no value.
FORMS = (
    "absent", "null", "empty", "boolean", "number", "list", "object", "text", "number as text", "date", "time", "URL",
    "date as text",
)  # fmt: skip
ABSENT, NULL, EMPTY, BOOLEAN, NUMBER, LIST, OBJECT, TEXT, MEASURE, DATE, TIME, URL, SPELLED = range(len(FORMS))
#: What may be remarkable about a value; a bit each.
FLAGS = (
    "HTML tags", "HTML entities", "damaged characters", "unprintable characters", "placeholders", "blanks around it",
    "zero", "negative", "Latin", "Greek", "Cyrillic", "Arabic or Hebrew", "Chinese, Japanese or Korean", "other script",
)  # fmt: skip
HTML, ENTITY, DAMAGED, UNPRINTABLE, PLACEHOLDER, PADDED, ZERO, NEGATIVE = range(8)
FIRST_SCRIPT = 8
#: The day from which days are counted.
EPOCH = date(1970, 1, 1).toordinal()
# Characters of a text that are examined: enough for its pattern, and long texts cost no more than short ones.
_EXAMINED = 96
_PATTERN = 24
_MEASURE_LENGTH = 40
_UNIT_LENGTH = 12
_USUAL_DECIMALS = 2
#: The pattern of numbers with more decimals than are counted; patterns of texts are larger.
MOST_DECIMALS = 20
# Numbers, and texts of so few characters, whose facts all tables share: some megabytes.
_MOST_KNOWN, _SHORT = 16_384, 24

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,80}>|<!--")
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,5});")
# UTF-8 read as Latin-1 or Windows-1252: a lead byte as a letter, followed by a continuation byte as a sign.
_DAMAGED = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
    "|\ufffd|[\ud800-\udfff]"
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PLACEHOLDER_ALONE = re.compile(
    r"\W*(?:undefined|null|none|nan|n/?a|tbd|todo|error|loading|please wait|placeholder|test|string)\W*$", re.I
)
_PLACEHOLDER = re.compile(
    r"\[object \w+\]|\{\{.*\}\}|\$\{.*\}|<%.*%>|\blorem ipsum\b|^data:image/|%[sd]\b"
    r"|\bblank\.(?:gif|png)|\bspacer\.gif|\bplaceholder\b",
    re.I,
)
# What an ASCII text with a placeholder within it has: a search for the whole pattern takes longest of all.
_HINT = re.compile(r"[\[{<%]|data:image/|lorem ipsum|blank\.|spacer|placeholder")
_DATE = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)(?:$|[T ](\d\d):(\d\d)(?::(\d\d))?)")
_DATE_BEGIN = re.compile(r"\d{4}[-/]")
# Shapes of other dates, with `w` for letters and `9` for digits: a year, and a day and a month around it.
_YEAR = re.compile(r"\d{4}")
_LIKE_SPELLED = re.compile(
    r"(?:[\sw,.:]{0,24} )?(?:\d{1,2}(?:[/.-]|\. )\d{1,2}(?:[/.-]|\. )\d{4}"
    r"|\d{1,2}\S{0,2}[ /-](?:w\w )?w{3,10}\W{1,2}(?:w\w )?\d{4}|w{3,10}\.? \d{1,2}(?:w\w)?,? \d{4})(?!\w)"
    r"|\d{4}(?:[./] ?|w ?)\d{1,2}(?!\d)"
)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)$")
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]{1,12}:)?//\S+$|/[\w.~%-]+(?:/\S*)?$|mailto:\S+$|data:\w+/", re.I)
_HOST = re.compile(r"(?:https?:)?//([^/?#\s]{1,60})", re.I)
_MEASURE = re.compile(r"^([^\d]{0,12}?)([-+−]?\d[\d.,'’\u00a0\u202f ]*\d|[-+−]?\d)([^\d]{0,12})$")
# Before a number only a currency or a sign is a unit: `LH101` and `Oak 12` are names.
_BEFORE = re.compile(rf"(?:{CURRENCY}|[^\w\s]{{1,2}}|)")
_AFTER = re.compile(
    rf"(?:{CURRENCY}|[%°′″'\"]+|°?[A-Za-z\u00b2-\u00ff\u0370-\u052f]{{1,3}}[.²³]?(?:/[a-z]{{1,3}})?|[^\w\s]{{1,2}}|[\u3040-\uffef]|)"
)
# What is read in one way only, and most prices are.
_PLAIN = re.compile(r"([$€£¥]?)((?:0|[1-9]\d{0,8})(?:\.\d\d?)?)([€%]?)$")
# A currency beside the digits of a text with other words.
_SIGN = re.compile(rf"{CURRENCY_BEGIN}(?:{CURRENCY}(?=\s?\d)|(?<=\d){CURRENCY}|(?<=\d\s){CURRENCY})")
# Where a text of some shape may have such a currency.
_MAY_HAVE_SIGN = re.compile(r"[^\d\s]\s?\d|\d\s?[^\d\s]")
_WORD = re.compile(r"w[w'’]*(?:[ ,.;:!?&()/+-]{1,2}w[w'’]*)+|ww+")
_NINES, _BLANKS = re.compile(r"99+"), re.compile(r"\s+")
# The shape of a text with other characters than these does not rule out a placeholder or a scheme: where case does not
# count, some letters beyond ASCII are those of ASCII.
_UNUSUAL = re.compile("[^\x00-\x7f£€¥]")
_LETTERS, _DIGITS = bytes(range(65, 91)) + bytes(range(97, 123)), bytes(range(48, 58))
_SHAPES = bytes.maketrans(_LETTERS + _DIGITS, b"w" * len(_LETTERS) + b"9" * len(_DIGITS))
# Shapes of texts with a placeholder, and of addresses that are known by their letters.
_LIKE_PLACEHOLDER = re.compile(
    r"^\W*(?:w{3,11}|w/?w|w{6} w{4})\W*$|[\[{<%]|\bw{5} w{5}\b|\bw{5,6}\.w{3}|\bw{11}\b|^w{4}:w{5}/"
)
_LIKE_URL = re.compile(r"(?:ww)?wwww:")
# The shapes of a strategy's texts are few beside its texts.
_MOST_SHAPES = 8_192
_SCRIPTS = (
    (re.compile("[A-Za-z\u00c0-\u024f]"), 8),
    (re.compile("[\u0370-\u03ff]"), 9),
    (re.compile("[\u0400-\u052f]"), 10),
    (re.compile("[\u0590-\u06ff]"), 11),
    (re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"), 12),
    (re.compile("[\u0530-\u058f\u0900-\u1fff\ua000-\uabff]"), 13),
)


class _Classes(dict[int, str]):
    """The class of each character, found out when it first occurs."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        found = self[code] = "w" if char.isalpha() else "9" if char.isdigit() else char
        return found


_CLASSES = _Classes()
_NOTHING = float("nan")


def is_value(value: Any) -> bool:
    """Whether a value is one: neither null nor empty, nor a text of blanks."""
    if type(value) is str:
        return not (not value or value.isspace())
    return value is not None and (type(value) not in (dict, list) or bool(value))


def mark(value: Any) -> int:
    """A number of 32 bits for a value: equal for equal values, in every process."""
    if type(value) is str:
        return crc32(value.encode("utf-8", "surrogatepass"))
    if type(value) is bool:
        return 1 + value
    if type(value) is int or type(value) is float:
        # With a zero added, minus zero is zero.
        return crc32(b"%r" % (value + 0.0)) if abs(value) < 2**53 else crc32(b"%r" % value)
    return 0 if value is None else crc32(spell_json(value).encode())


#: What is known of a value: its form, mark, number, length, flags, pattern and unit, and the unit's name if it has one.
Facts = tuple[int, int, float, int, int, int, int, str | None]


def describe_all(values: Sequence[Any], kind: type) -> list[Facts]:
    """The facts about values of one kind."""
    if kind is str:
        return [_know_text(text) if len(text) <= _SHORT else _describe_text(text) for text in values]
    return list(map(_know_number if kind in (int, float) else _describe, values))


def _describe(value: Any) -> Facts:
    """The facts about a value that is neither a text nor a number."""
    if value is None:
        return NULL, 0, _NOTHING, 0, 0, 0, 0, None
    if type(value) is bool:
        return BOOLEAN, mark(value), _NOTHING, 0, 0, 0, 0, None
    if not value:
        return EMPTY, 0, _NOTHING, 0, 0, 0, 0, None
    return LIST if type(value) is list else OBJECT, mark(value), float(len(value)), 0, 0, 0, 0, None


# The same prices, ratings and names come again in strategy after strategy, and facts follow from a value alone.
@lru_cache(_MOST_KNOWN, typed=True)
def _know_number(value: int | float) -> Facts:
    number = value + 0.0 if abs(value) < 1e37 else _NOTHING
    return NUMBER, mark(value), number, 0, _signs(number), _decimals(number), 0, None


@lru_cache(_MOST_KNOWN)
def _know_text(text: str) -> Facts:
    return _describe_text(text)


def _describe_text(text: str) -> Facts:
    stripped = text.strip()
    if not stripped:
        return EMPTY, 0, _NOTHING, 0, 0, 0, 0, None
    form, number, unit, unit_name = TEXT, _NOTHING, 0, None
    head = text if len(text) <= _EXAMINED else text[:_EXAMINED]
    shape = _know_shape(head.encode("utf-8", "surrogatepass").translate(_SHAPES))
    flags = shape.flags
    if shape.may_be_placeholder and _has_placeholder(head):
        flags |= 1 << PLACEHOLDER
    if "&" in head and _ENTITY.search(head):
        flags |= 1 << ENTITY
    if len(stripped) < len(text):
        flags |= 1 << PADDED
    if shape.may_be_number and len(text) <= _MEASURE_LENGTH:
        found = read_date(text) if shape.may_be_date else None
        measure = None
        spelled = find_moment(clean(text)) if found is None and shape.may_be_spelled else None
        if found is None and spelled is None and shape.is_like_measure:
            measure = read_measure(text)
        elif found is None and spelled is None and shape.may_have_sign:
            measure = _read_among_words(text)
        if found is not None:
            form, number = (DATE if len(text) <= 10 else TIME), found
        elif spelled is not None:
            form, number = SPELLED, _days_of(spelled)
        elif measure is not None:
            form, (number, unit_name) = MEASURE, measure
            unit = mark(unit_name)
            flags |= _signs(number)
    if form == TEXT and (shape.is_url or (shape.may_be_url and _URL.match(head.strip()))):
        form = URL
        unit_name = host[1] if (host := _HOST.match(head)) else ""
        unit = mark(unit_name)
    return form, mark(text), number, len(text), flags, shape.pattern, unit, unit_name


def read_date(text: str) -> float | None:
    """Days since 1970 of an ISO date or time, the part of a day as a fraction; None for any other text."""
    parts = _DATE.match(text)
    if parts is None:
        return None
    year, month, day, hour, minute, second = parts.groups(default="0")
    try:
        days = _count_days(date(int(year), int(month), int(day)), int(hour), int(minute), int(second))
    except ValueError:
        return None
    offset = _OFFSET.search(text) if hour != "0" or len(text) > 10 else None
    if offset:
        shift = (int(offset[2]) * 60 + int(offset[3])) / 1440
        days += shift if offset[1] == "-" else -shift
    return days


def _days_of(moment: Moment) -> float:
    """Days since 1970 of a date; NaN where only other texts can say which of its numbers is the day, or its month."""
    # Nobody writes a month before a point.
    if moment.swappable and moment.mark.strip() != ".":
        return _NOTHING
    found = moment.date(True, {}) or moment.date(False, {})
    if found is None:
        return _NOTHING
    hour, minute, second, _ = moment.clock or (0, 0, 0, 0)
    return _count_days(found, hour, minute, second)


def _count_days(day: date, hour: int, minute: int, second: int) -> float:
    return day.toordinal() - EPOCH + (hour * 3600 + minute * 60 + second) / 86400


def read_measure(text: str) -> tuple[float, str] | None:
    """The number and the unit of a text such as `£1,234.56`, `45 %` or `3,5 kg`; None for any other text."""
    plain = _PLAIN.match(text)
    if plain is not None:
        return float(plain[2]), plain[1] or plain[3]
    parts = _MEASURE.match(text.strip())
    if parts is None:
        return _read_among_words(text)
    before, digits, after = parts[1], parts[2], parts[3].strip()
    if not ((_BEFORE.fullmatch(before) or _BEFORE.fullmatch(before.strip("-+− "))) and _AFTER.fullmatch(after)):
        return _read_among_words(text)
    number = read_amount(text.strip())
    if number is None:
        number = read_amount(digits)
    if number is None or abs(number) > 1e37:
        return None
    return number, " ".join(filter(None, (before.strip(" -+−"), after)))[:_UNIT_LENGTH]


def _read_among_words(text: str) -> tuple[float, str] | None:
    """The amount and the currency of a text such as `from £48` or `3,98 €/kg`."""
    currency = _SIGN.search(text)
    number = None if currency is None else read_amount(text)
    return None if number is None or currency is None or abs(number) > 1e37 else (number, currency[0])


def pattern_of(text: str) -> str:
    """The pattern of a text: words as `w`, digits as `9`, other characters as they are; `9-9-9` for a date."""
    return _BLANKS.sub(" ", _NINES.sub("9", _WORD.sub("w", text.translate(_CLASSES))))[:_PATTERN]


def _decimals(number: float) -> int:
    """The pattern of a number: how many decimals it has, if more than two."""
    # What was a whole number or cents may be either; with three decimals it was computed, or its comma misread.
    if number != number or abs(number) > 1e15 or round(number, _USUAL_DECIMALS) == number:
        return 1
    spelled = repr(number)
    return len(spelled) - spelled.index(".") if "e" not in spelled else MOST_DECIMALS


def _signs(number: float) -> int:
    return (number == 0) << ZERO | (number < 0) << NEGATIVE


def _has_placeholder(head: str) -> bool:
    if _PLACEHOLDER_ALONE.match(head):
        return True
    return not (head.isascii() and _HINT.search(head.lower()) is None) and _PLACEHOLDER.search(head) is not None


class _Shape(NamedTuple):
    """What follows from a text whichever letters and digits it has, and what these may make of it.

    Attributes:
        pattern: The mark of its pattern.
        flags: Its flags, apart from those of placeholders, entities and blanks around it.
        is_url: Whether it is an address.
        may_be_number: Whether it may be a date, a time, or a number written as text.
    """

    pattern: int
    flags: int
    is_url: bool
    may_be_url: bool
    may_be_number: bool
    may_be_date: bool
    may_be_spelled: bool
    is_like_measure: bool
    may_have_sign: bool
    may_be_placeholder: bool


@lru_cache(_MOST_SHAPES)
def _know_shape(shape: bytes) -> _Shape:
    """What texts share that differ in their letters and digits alone; these are given as `w` and `9`."""
    head = shape.decode("utf-8", "surrogatepass")
    stripped = head.strip()
    flags = (1 << HTML if "<" in head and _TAG.search(head) else 0) | _find_scripts(head)
    if _UNPRINTABLE.search(head):
        flags |= 1 << UNPRINTABLE
    may_be_date = _DATE_BEGIN.match(head) is not None
    may_be_spelled = _YEAR.search(stripped) is not None and bool(_LIKE_SPELLED.match(stripped.translate(_CLASSES)))
    is_like_measure = _MEASURE.match(stripped) is not None
    may_have_sign = _MAY_HAVE_SIGN.search(head) is not None
    is_unusual = _UNUSUAL.search(head) is not None
    return _Shape(
        crc32(pattern_of(head).encode("utf-8", "surrogatepass")),
        flags,
        is_url=_URL.match(stripped) is not None,
        may_be_url=is_unusual or _LIKE_URL.match(stripped) is not None,
        may_be_number=may_be_date or may_be_spelled or is_like_measure or may_have_sign,
        may_be_date=may_be_date,
        may_be_spelled=may_be_spelled,
        is_like_measure=is_like_measure,
        may_have_sign=may_have_sign,
        may_be_placeholder=is_unusual or _LIKE_PLACEHOLDER.search(head) is not None,
    )


def _find_scripts(head: str) -> int:
    if head.isascii():
        # The case of a letter differs from its other case.
        return 1 << FIRST_SCRIPT if head.upper() != head.lower() else 0
    flags = 1 << DAMAGED if _DAMAGED.search(head) else 0
    for script, bit in _SCRIPTS:
        if script.search(head):
            flags |= 1 << bit
    return flags
