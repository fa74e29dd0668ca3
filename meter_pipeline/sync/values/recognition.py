"""Decides how a field is read from the facts of all its texts, and reads its texts that way.

`observe` texts, `merge` their facts with those kept, `decide`, and `read`. A text that does not fit is null, never
another value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from meter_pipeline.sync.values import finding
from meter_pipeline.sync.values.currencies import THREE_DECIMALS, may_mean, usual_decimal
from meter_pipeline.sync.values.dates import Moment
from meter_pipeline.sync.values.facts import FieldFacts, load, merge, observe
from meter_pipeline.sync.values.finding import Finding
from meter_pipeline.sync.values.money import Price, amount_of
from meter_pipeline.sync.values.months import AMBIGUOUS, find_month
from meter_pipeline.sync.values.numbers import COMMA, DECIMAL_OF, POINT, Spelled
from meter_pipeline.sync.values.price_words import is_measured
from meter_pipeline.sync.values.quantities import Count, Percentage, Rating
from meter_pipeline.sync.values.reading import MIXED, TEXT, Reading
from meter_pipeline.sync.values.relative import Age

__all__ = [
    "FieldFacts",
    "Measured",
    "Reading",
    "decide",
    "is_free",
    "load",
    "measure",
    "measure_alone",
    "merge",
    "observe",
    "read",
]

# Share of a field's texts that have to do with prices, from which on it is a field of prices.
_MONEY_SHARE = 0.6
# Share of texts that have to do with prices, beside numbers alone.
_SIGNED_SHARE = 0.2
# Distinct numbers with decimals from which on a field of comma decimals is one of numbers, not of pairs.
_FEW = 3
_DATES = (finding.DATE, finding.LOCAL, finding.ZONED)
_LARGEST = Decimal(10) ** 26
# Texts of a field whose numbers are kept.
_MOST_KNOWN = 20_000


def decide(facts: FieldFacts) -> Reading:
    """How a field with these facts is read."""
    kinds = set(facts.seen)
    if facts.is_text or not kinds:
        return Reading(TEXT)
    total = facts.count(*kinds)
    priced = facts.count(finding.MONEY, finding.PRICED, finding.FREE)
    # Some sites write the currency beside a few of the prices only.
    rest = total - facts.count(finding.NUMBER)
    is_money = bool(_codes(facts)) or facts.has("ending")
    if is_money and priced >= _MONEY_SHARE * rest and priced >= _SIGNED_SHARE * total:
        return _decide_money(facts)
    if kinds == {finding.NUMBER}:
        return _decide_number(facts)
    if finding.COUNT in kinds and kinds <= {finding.COUNT, finding.NUMBER}:
        return _decide_count(facts)
    if kinds == {finding.PERCENT}:
        return _with_marks(Reading(finding.PERCENT), facts)
    if kinds == {finding.RATING}:
        return _decide_rating(facts)
    if kinds == {finding.RELATIVE}:
        return Reading(finding.RELATIVE)
    if len(kinds) == 1 and kinds <= {*_DATES}:
        return _decide_date(facts, kinds.pop())
    return Reading(TEXT, _reason(facts, total))


def _reason(facts: FieldFacts, total: float) -> str:
    """Why a field of several kinds is text; empty where none of them is the usual one."""
    if finding.SHORT_YEAR in facts.seen and facts.count(finding.SHORT_YEAR, *_DATES) * 2 > total:
        return f"years of two digits, as in {facts.examples[finding.SHORT_YEAR]!r}"
    most = max(facts.seen, key=lambda kind: (facts.count(kind), kind))
    if most in (finding.OTHER, finding.NUMBER) or facts.count(most) * 2 < total:
        return ""
    if most == finding.MONEY:
        return f"what stands beside the numbers may be another word than a currency, as in {facts.examples[most]!r}"
    if most == finding.PRICED:
        return f"no text is one price, as in {facts.examples[most]!r}"
    odd = min(kind for kind in facts.seen if kind != most) if len(facts.seen) > 1 else most
    return f"most texts are of the kind {most!r}, but not {facts.examples[odd]!r}"


def _codes(facts: FieldFacts) -> frozenset[str]:
    return frozenset(word.partition(" ")[2] for word in facts.evidence if word.startswith("currency "))


def _styles(facts: FieldFacts, word: str) -> set[str]:
    return {entry.partition(" ")[2] for entry in facts.evidence if entry.startswith(f"{word} ")}


def _with_marks(reading: Reading, facts: FieldFacts) -> Reading:
    point, comma = _styles(facts, POINT), _styles(facts, COMMA)
    agreed = {**dict.fromkeys(point - comma, POINT), **dict.fromkeys(comma - point, COMMA)}
    overall = MIXED if point and comma else POINT if point else COMMA if comma else ""
    lone = _styles(facts, "lone")
    # A lone mark begins decimals only where numbers of this style leave no doubt: they group with the other mark, some
    # have three decimals and more, and nothing in the field speaks against it.
    long = _styles(facts, "long") & _styles(facts, "grouped") if overall != MIXED else set()
    return Reading(
        reading.kind,
        marks=tuple(sorted((style, mark) for style, mark in agreed.items() if style in lone)),
        contrary=tuple(sorted(point & comma & lone)),
        overall=overall,
        long=tuple(sorted(long & lone)),
    )


def _decide_money(facts: FieldFacts) -> Reading:
    codes = _codes(facts)
    explicit = frozenset(
        code for code in codes if len(code) == 3 and code.isupper() and code.isascii() and code != "CFA"
    )
    shared = codes - explicit
    meant = {sign: code for sign in shared if (code := may_mean(sign, explicit)) is not None}
    means = {meant.get(code, code) for code in codes}
    marks = _with_marks(Reading(finding.MONEY), facts)
    needs_currency = finding.NUMBER in facts.seen or finding.FREE in facts.seen or facts.has("ending")
    return Reading(
        finding.MONEY,
        marks=tuple(sorted((*marks.marks, *_find_groups(facts, marks)))),
        contrary=marks.contrary,
        overall=marks.overall,
        long=marks.long,
        strong=tuple(sorted(_styles(facts, "strong") & _styles(facts, "weak"))),
        currencies=tuple(sorted(meant.items())),
        only=means.pop() if len(means) == 1 and needs_currency else "",
        unit=facts.has("unit"),
    )


def _find_groups(facts: FieldFacts, known: Reading) -> Iterator[tuple[str, str]]:
    """Styles whose lone marks group thousands although no price shows their decimal mark, each with that mark.

    `$ 12.990` beside `$ 990`: if three decimals were always written, 990 would have them; if zeros at the end were left
    out, 12.990 would be 12.99. So neither has decimals. Prices of a unit of measure may be of another kind.
    """
    if facts.has("measured") or known.overall == MIXED:
        return
    decided = {*_styles(facts, POINT), *_styles(facts, COMMA)}
    points, commas = _styles(facts, f"lone-{POINT}"), _styles(facts, f"lone-{COMMA}")
    for style in (_styles(facts, "round") & _styles(facts, "whole") & (points ^ commas)) - decided:
        mark, other = (POINT, COMMA) if style in points else (COMMA, POINT)
        if known.overall != mark:
            yield style, other


def _decide_number(facts: FieldFacts) -> Reading:
    """Numbers alone are ids, versions and times as well: only what none of these can be makes a field of numbers."""
    reading = _with_marks(Reading(finding.NUMBER), facts)
    if reading.overall == MIXED:
        return Reading(TEXT, "in some numbers the point marks decimals, in others the comma")
    if not reading.overall:
        example = facts.examples[finding.NUMBER]
        lone = facts.has("lone ")
        return Reading(TEXT, f"no number shows whether its mark begins decimals, as in {example!r}" if lone else "")
    if reading.overall == COMMA and facts.has("decimal") and facts.count(finding.NUMBER) >= _FEW:
        return reading
    grouped = facts.has("grouped ") and facts.has("decimal", "small")
    if grouped or (facts.has("clear") and facts.has("padded")):
        return reading
    return Reading(TEXT)


def _decide_count(facts: FieldFacts) -> Reading:
    counted = facts.has("counted") or (facts.has("shortened") and finding.NUMBER in facts.seen)
    return Reading(finding.COUNT) if counted and not facts.has("decimal") else Reading(TEXT)


def _decide_rating(facts: FieldFacts) -> Reading:
    best = _styles(facts, "best")
    if len(best) > 1:
        return Reading(TEXT, f"ratings out of {' and of '.join(sorted(best))}")
    return Reading(finding.RATING) if facts.has("worded") else Reading(TEXT)


def _decide_date(facts: FieldFacts, kind: str) -> Reading:
    first, second, either = (_styles(facts, word) for word in ("first", "second", "either"))
    example = facts.examples[kind]
    if first & second:
        return Reading(TEXT, "in some dates the day comes first, in others the month")
    if either - first - second:
        return Reading(TEXT, f"no date shows whether the day or the month comes first, as in {example!r}")
    months = {name: find_month(name, facts.languages) for name in sorted(_styles(facts, "name") & AMBIGUOUS)}
    unknown = [name for name, month in months.items() if month is None]
    if unknown:
        return Reading(TEXT, f"the month {unknown[0]!r} depends on the language, which no other month shows")
    known = tuple((name, month) for name, month in months.items() if month is not None)
    return Reading(kind, day_first=tuple(sorted(first)), months=known)


def read(
    reading: Reading, texts: Sequence[str | None] | pa.Array, moment: datetime | Sequence[datetime] | None = None
) -> dict[str, pa.Array]:
    """The typed columns of texts.

    Args:
        reading: How their field is read.
        texts: The texts, each once or in rows; null stays null.
        moment: Time of the job, or the time of each text's job: relative times count from it. Needed for these alone.

    Returns:
        By suffix, arrays as long as `texts`, of the types in `reading.columns`.
    """
    given: Sequence[str | None] = texts.to_pylist() if isinstance(texts, (pa.Array, pa.ChunkedArray)) else texts
    types = reading.columns
    if reading.kind == TEXT:
        return {}
    if reading.is_number:
        measured = [measure(reading, text) if text is not None else None for text in given]
        return {suffix: pa.array(_list_part(measured, suffix), type_) for suffix, type_ in types.items()}
    found = [finding.find(text) if text is not None else None for text in given]
    if reading.kind == finding.RELATIVE:
        if moment is None:
            raise ValueError("relative times need the time of the job")
        moments = [moment] * len(found) if isinstance(moment, datetime) else moment
        values: list[Any] = [_before(one, when) for one, when in zip(found, moments, strict=True)]
    else:
        convert = _CONVERSIONS[reading.kind]
        values = [convert(reading, one) if one is not None else None for one in found]
    ((suffix, type_),) = types.items()
    return {suffix: pa.array(values, type_)}


class Measured(NamedTuple):
    """A number that a text states; of a price with its currency and its unit of measure, where these are known."""

    number: Decimal | float | int
    currency: str | None = None
    unit: str | None = None


def measure(reading: Reading, text: str) -> Measured | None:
    """The number of one text, as the typed column of its field has it; None where that has none.

    The typed columns and the change feed read the same texts: what they were read as is kept with the reading.
    """
    known = reading.known
    if text not in known:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[text] = _measure(reading, finding.find(text))
    found: Measured | None = known[text]
    return found


def _measure(reading: Reading, found: Finding) -> Measured | None:
    if reading.kind == finding.MONEY:
        return _price(reading, found)
    number = _CONVERSIONS[reading.kind](reading, found) if reading.is_number else None
    return None if number is None else Measured(number)


def _list_part(measured: Sequence[Measured | None], suffix: str) -> list[Any]:
    """The values of the typed column with this suffix."""
    name = suffix if suffix in ("currency", "unit") else "number"
    return [None if found is None else getattr(found, name) for found in measured]


def measure_alone(text: str) -> Measured | None:
    """The number that a text states by itself, without other texts of its field; None where that leaves it open."""
    found = finding.find(text)
    price = found.value
    if not isinstance(price, Price):
        return None
    if found.kind == finding.MONEY:
        return _price(_ALONE, found)
    return None if price.number.lone else Measured(amount_of(price))


def is_free(text: str) -> bool:
    """Whether a text says that something costs nothing."""
    return finding.find(text).kind == finding.FREE


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def _before(found: Finding | None, moment: datetime) -> datetime | None:
    return found.value.before(_in_utc(moment)) if found is not None and isinstance(found.value, Age) else None


def _price(reading: Reading, found: Finding) -> Measured | None:
    """The price of one text."""
    amount = _amount(reading, found)
    if amount is None:
        return None
    price = found.value if isinstance(found.value, Price) else None
    currency = (price and price.currency) or reading.only or None
    meant = reading.meaning.get(currency, currency) if currency else None
    return Measured(amount, meant, price.unit or None if price else None)


def _amount(reading: Reading, found: Finding) -> Decimal | None:
    if found.kind == finding.FREE:
        return Decimal(0)
    price = found.value
    if not isinstance(price, Price):
        return None
    if found.kind == finding.NUMBER and not _is_price(reading, price):
        return None
    if price.weak and price.style not in reading.strong:
        return None
    groups = True
    if price.number.lone:
        read_as = _lone_groups(reading, price)
        if read_as is None:
            return None
        groups = read_as
    amount = amount_of(price, groups)
    return amount if _fits(amount) else None


def _is_price(reading: Reading, price: Price) -> bool:
    """Whether a number alone is a price among prices: it is written like one, or the field holds nothing else."""
    number = price.number
    if number.grouped or len(number.fraction) == 2:
        return True
    # `3,8` and `12` among prices of several kinds may be anything. A lone mark of `2.400` may group thousands.
    return bool(reading.only) and reading.overall != MIXED and bool(number.lone or not number.fraction)


def _fits(amount: Decimal) -> bool:
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -12 and abs(amount) < _LARGEST


def _lone_groups(reading: Reading, price: Price) -> bool | None:
    """Whether the only mark of an amount, three digits before its end, groups thousands; None if that is open."""
    mark = DECIMAL_OF[price.number.lone]
    style = price.style
    if style in reading.contrary:
        return None
    # Prices of a litre or a kilogram do have three decimals.
    measured = is_measured(price.unit)
    usual = usual_decimal(price.currency, price.before, price.spaced, price.number.lone) if not measured else None
    if price.scale != 1:
        # `1.234 million` is a usual way to write 1,234,000. Only English words in English order tell.
        return mark == COMMA if price.english and reading.mark_of.get(style, POINT) == POINT else None
    shown = reading.mark_of.get(style)
    if shown is not None:
        if shown != mark:
            return True
        return False if style in reading.long or price.currency in THREE_DECIMALS else None
    if usual is not None:
        return True
    # Other styles of the field agree, and custom does not contradict them.
    against = usual_decimal(price.currency, price.before, price.spaced, "," if price.number.lone == "." else ".")
    return True if reading.overall in (POINT, COMMA) and reading.overall != mark and against is None else None


def _value(reading: Reading, number: Spelled, style: str) -> Decimal | None:
    """A number that is no money."""
    if not number.lone:
        return number.value()
    shown = reading.mark_of.get(style)
    if shown is None:
        return None
    if shown != DECIMAL_OF[number.lone]:
        return number.value()
    return number.value(lone_groups=False) if style in reading.long else None


def _number(reading: Reading, found: Finding) -> float | None:
    price = found.value
    if not isinstance(price, Price) or found.kind != finding.NUMBER:
        return None
    value = _value(reading, price.number, "")
    return None if value is None else float(-value if price.negative else value)


def _percent(reading: Reading, found: Finding) -> float | None:
    if not isinstance(found.value, Percentage):
        return None
    number, negative = found.value
    value = _value(reading, number, "%")
    return None if value is None else float(-value if negative else value)


def _rating(_: Reading, found: Finding) -> float | None:
    return float(found.value.number.value()) if isinstance(found.value, Rating) else None


def _count(_: Reading, found: Finding) -> int | None:
    """A count has no decimals, so a lone mark groups."""
    counted = found.value
    if found.kind == finding.MONEY or not isinstance(counted, Count | Price):
        return None
    value = counted.number.value() * counted.scale
    if isinstance(counted, Price) and counted.negative:
        return None
    return int(value) if value == int(value) and value < 2**63 else None


def _date(reading: Reading, found: Finding) -> date | None:
    moment = found.value
    if not isinstance(moment, Moment) or moment.clock is not None:
        return None
    return moment.date(moment.mark in reading.day_first, dict(reading.months))


def _time(reading: Reading, found: Finding) -> datetime | None:
    moment = found.value
    if not isinstance(moment, Moment) or found.kind != reading.kind:
        return None
    return moment.time(moment.mark in reading.day_first, dict(reading.months))


_ALONE = Reading(finding.MONEY)
_CONVERSIONS: dict[str, Callable[[Reading, Finding], Any]] = {
    finding.NUMBER: _number,
    finding.PERCENT: _percent,
    finding.RATING: _rating,
    finding.COUNT: _count,
    finding.DATE: _date,
    finding.LOCAL: _time,
    finding.ZONED: _time,
}
