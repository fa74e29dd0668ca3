"""Reads the texts of a field as was decided from the facts of all of them.

A text that does not fit is null, never another value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from meter_pipeline.sync.values import finding
from meter_pipeline.sync.values.currencies import THREE_DECIMALS, usual_decimal
from meter_pipeline.sync.values.dates import Moment
from meter_pipeline.sync.values.finding import Finding
from meter_pipeline.sync.values.money import Price, amount_of
from meter_pipeline.sync.values.numbers import COMMA, DECIMAL_OF, POINT, Spelled
from meter_pipeline.sync.values.price_words import is_measured
from meter_pipeline.sync.values.quantities import Count, Percentage, Rating
from meter_pipeline.sync.values.reading import MIXED, TEXT, Reading
from meter_pipeline.sync.values.relative import Age

_LARGEST = Decimal(10) ** 26
# Texts of a field whose numbers are kept.
_MOST_KNOWN = 20_000


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
