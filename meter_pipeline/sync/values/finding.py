"""What one text is by itself: a price, a date, a number of some kind, or none of these.

A finding depends on its text alone. What it leaves open (which mark is decimal, which number is the day) is decided by
the evidence of all texts of the field: see `meter_pipeline.sync.values.deciding`.

Evidence is a set of words, bounded by the tables of this room:
    `point STYLE`, `comma STYLE`: the decimal mark of numbers written in this style (of a currency, or of a kind).
    `grouped STYLE`: thousands are grouped where the decimal mark is known; `long STYLE`: three decimals and more.
    `lone STYLE`: a number with one mark and three digits after it, which needs to know the decimal mark.
    `lone-point STYLE`, `lone-comma STYLE`: which mark that is; `round STYLE`: the last of the digits is 0;
    `whole STYLE`: a number of three digits without a mark. Prices of a unit of measure never give these.
    `strong STYLE`: a sign that is also a word stands beside an amount that is written as a price.
    `currency CODE`, `ending`: currencies as read; an ending in the place of one.
    `unit`, `measured`: prices of a unit, such as a month; and of a measure, such as a litre.
    `first MARK`, `second MARK`: which number of a numeric date is a day; `either MARK`: it can be both.
    `name NAME`: a month's name whose meaning depends on the language.
    `counted`, `shortened`: counts with a noun, and those like 3.4k.
    `best NUMBER`, `worded`: see `quantities.Rating`; `decimal`, `clear`, `padded`, `small`: see `_numbers`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from meter_pipeline.sync.values import price_words
from meter_pipeline.sync.values.currencies import THREE_DECIMALS
from meter_pipeline.sync.values.dates import Moment, find_moment, has_short_year
from meter_pipeline.sync.values.money import Price, digits_alone, find_price, mentions_money
from meter_pipeline.sync.values.months import ALL_LANGUAGES
from meter_pipeline.sync.values.numbers import DECIMAL_OF, Spelled
from meter_pipeline.sync.values.quantities import Count, Percentage, Rating, find_count, find_percentage, find_rating
from meter_pipeline.sync.values.relative import Age, find_age
from meter_pipeline.sync.values.scales import THOUSAND
from meter_pipeline.sync.values.spelling import clean
from meter_pipeline.sync.values.vocabulary import may_be_value

MONEY, PRICED, FREE, NUMBER = "money", "priced", "free", "number"
PERCENT, RATING, COUNT = "percent", "rating", "count"
DATE, LOCAL, ZONED, RELATIVE, SHORT_YEAR = "date", "local", "zoned", "relative", "short_year"
OTHER, EMPTY = "other", "empty"
# Longer texts are prose or addresses.
_LENGTH = 80
# Longer numbers are ids.
_DIGITS = 19
_DIGIT = re.compile("[0-9]")

Value: TypeAlias = "Price | Rating | Count | Moment | Age | Percentage | None"


class Finding(NamedTuple):
    """What a text is by itself.

    Attributes:
        kind: One of the kinds above. `priced` has to do with prices, but is not exactly one.
        value: What was read, by kind.
        evidence: What the text proves.
        languages: Mask of the languages that have its name of a month.
    """

    kind: str
    value: Value = None
    evidence: tuple[str, ...] = ()
    languages: int = ALL_LANGUAGES


_OTHER, _EMPTY, _FREE, _PRICED = Finding(OTHER), Finding(EMPTY), Finding(FREE), Finding(PRICED)


def find(text: str) -> Finding:
    """The finding of a text as received."""
    if len(text) > 2 * _LENGTH or "://" in text:
        return _OTHER
    return _find(text)


@lru_cache(maxsize=16384)
def _find(text: str) -> Finding:
    cleaned = clean(text)
    if len(cleaned) > _LENGTH:
        return _OTHER
    if cleaned.isdigit():
        return _number(digits_alone(cleaned)) if cleaned[0] != "0" and len(cleaned) < _DIGITS else _OTHER
    if not may_be_value(cleaned):
        return _PRICED if mentions_money(cleaned) else _OTHER
    if not _DIGIT.search(cleaned):
        return _without_digits(cleaned)
    price = find_price(cleaned)
    if price is not None:
        return _money(price) if price.style else _number(price)
    if (moment := find_moment(cleaned)) is not None:
        return _moment(moment)
    if (age := find_age(cleaned)) is not None:
        return Finding(RELATIVE, age)
    if (percentage := find_percentage(cleaned)) is not None:
        return Finding(PERCENT, percentage, _marks_of(percentage.number, "%"))
    if (rating := find_rating(cleaned)) is not None:
        return Finding(RATING, rating, (f"best {rating.best}", *(["worded"] if rating.worded else [])))
    if (count := find_count(cleaned)) is not None:
        return _count(count)
    if has_short_year(cleaned):
        return Finding(SHORT_YEAR)
    return _PRICED if mentions_money(cleaned) else _OTHER


def _without_digits(text: str) -> Finding:
    if price_words.is_empty(text):
        return _EMPTY
    if price_words.is_free(text):
        return _FREE
    age = find_age(text)
    return Finding(RELATIVE, age) if age is not None else _OTHER


def _marks(shows: str, grouped: bool, lone: bool, long: bool, style: str) -> tuple[str, ...]:
    shown = [f"{shows} {style}"] if shows else []
    if shows and grouped:
        shown.append(f"grouped {style}")
    if lone:
        shown.append(f"lone {style}")
    if long:
        shown.append(f"long {style}")
    return tuple(shown)


def _marks_of(number: Spelled, style: str) -> tuple[str, ...]:
    return _marks(number.shows, number.grouped, bool(number.lone), number.long, style)


def _money(price: Price) -> Finding:
    if price.weak:
        return Finding(MONEY, price, (f"weak {price.style}",))
    number = price.number
    written = number.grouped or bool(number.fraction)
    marks = number.shows, number.grouped, bool(number.lone), number.long
    measured = price_words.is_measured(price.unit)
    digits = () if measured else _digits_of(price)
    evidence = _price_evidence(price.style, price.currency, marks, digits, written, bool(price.unit), measured)
    return Finding(MONEY, price, evidence)


def _digits_of(price: Price) -> tuple[str, ...]:
    """Evidence of how the lone marks in the style of a price are read."""
    number = price.number
    if price.scale != 1 or price.currency in THREE_DECIMALS:
        return ()
    if number.lone:
        mark = f"lone-{DECIMAL_OF[number.lone]}"
        return (mark, "round") if number.fraction[-1] == "0" else (mark,)
    return ("whole",) if len(number.whole) == 3 and not number.fraction else ()


@lru_cache(maxsize=4096)
def _price_evidence(
    style: str,
    currency: str,
    marks: tuple[str, bool, bool, bool],
    digits: tuple[str, ...],
    written: bool,
    unit: bool,
    measured: bool,
) -> tuple[str, ...]:
    evidence = [*_marks(*marks, style), f"currency {currency}" if currency else "ending"]
    evidence += [f"{word} {style}" for word in digits]
    if written:
        evidence.append(f"strong {style}")
    if unit:
        evidence.append("unit")
    if measured:
        evidence.append("measured")
    return tuple(evidence)


def _number(price: Price) -> Finding:
    """A number alone.

    Versions, times and days are written like decimals. `clear` numbers are no time and no day (45.99), `padded` ones no
    version (5.05, 2.00). Beside `small` ones, grouped numbers are no ids (12.345.678).
    """
    number = price.number
    evidence = [*_marks_of(number, "")]
    fraction = "" if number.lone else number.fraction
    if fraction:
        evidence.append("decimal")
        whole, part = int(number.whole), int(fraction)
        if (whole > 24 or part > 59) and (whole > 31 or part > 12):
            evidence.append("clear")
        if fraction[0] == "0" and len(fraction) > 1:
            evidence.append("padded")
    elif not number.grouped and len(number.whole) <= 3:
        evidence.append("small")
    return Finding(NUMBER, price, tuple(evidence))


def _count(count: Count) -> Finding:
    """A count. Without a noun it may be a resolution (4K), a distance (5K) or a length (1.5M)."""
    if count.noun:
        return Finding(COUNT, count, ("counted",))
    return Finding(COUNT, count, ("shortened",) if count.number.fraction and count.scale == THOUSAND else ())


def _moment(moment: Moment) -> Finding:
    evidence = []
    if moment.mark:
        # `month` is the first of the two numbers.
        order = "either" if moment.swappable else "first" if moment.month > 12 else "second" if moment.day > 12 else ""
        evidence += [f"{order} {moment.mark}"] if order else []
    if moment.name:
        evidence.append(f"name {moment.name}")
    kind = DATE if moment.clock is None else LOCAL if moment.zone is None else ZONED
    return Finding(kind, moment, tuple(evidence), moment.languages)
