"""What counts as an amount of money: one set of rules, for Python here and for the SQL that the warehouse makes of it.

An amount is a number with at most one currency around it, its digits in groups or not. The last of two different marks
is the decimal one; one mark alone groups when it occurs more than once, or stands before exactly three digits as a
comma, or as a dot in an amount with a currency. Words around the amount ("from £5", "£3.99 each", "€2/kg") do no harm
where no second number could be meant and the currency is beyond doubt.

The patterns are in the common part of Python's and RE2's syntax (DuckDB uses RE2), with ASCII digits.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

#: Longer texts are not amounts; in characters.
MAX_LENGTH = 40
# Unicode's category Sc, and the code points that its block of currency signs has left.
SIGNS = "$¢-¥֏؋߾߿৲৳৻૱௹฿៛\u20a0-\u20cf\ua838﷼﹩＄￠￡￥￦𑿝-𑿠𞋿𞲰"
_DOLLARS = r"(?:US|CA|AU|NZ|HK|NT|MX|R|C|A|S)?\$"
_CODES = (
    "AED|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MAD|MXN|MYR|NGN|NOK|NZD|PEN|"
    "PHP|PKR|PLN|QAR|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
_NAMES = r"kr\.?|zł|Kč|Ft|Fr\.|lei|лв\.?|руб\.?|Rs\.?|円|元"
#: A currency beyond doubt: a sign, a known code, or a name. Three other capitals may be a unit, as in "100 RPM".
CURRENCY = rf"(?:[{SIGNS}]|{_DOLLARS}|{_CODES}|{_NAMES})"
_MAYBE_CURRENCY = rf"(?:[{SIGNS}]|{_DOLLARS}|[A-Z]{{3}}|{_NAMES})"
_BLANK = r" \t\n\r\f"
_SPACE = f"[{_BLANK}\u00a0\u202f\u2009]"
_DIGITS = (
    r"(?:[0-9]+(?:[.,][0-9]+)?|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]+)?"
    "|[0-9]{1,3}(?:[.,'’\u00a0\u202f\u2009 ][0-9]{3})+(?:[.,][0-9]+)?)"
)
_SIGN = "([-−+]?)"
_ROUND = "(?:[,.][-–—])?"
#: An amount alone, in groups: sign, currency, sign, digits, currency.
AMOUNT = (f"^~*{_SIGN}~*({_MAYBE_CURRENCY}?)~*{_SIGN}({_DIGITS}){_ROUND}~*({_MAYBE_CURRENCY}?){_ROUND}~*$").replace(
    "~", _SPACE
)
_WORDS = rf"[^0-9{SIGNS}]*"
#: An amount among words: the first group is the amount, which `AMOUNT` matches.
AMOUNT_AMONG_WORDS = (
    rf"^~*(?:[^0-9{SIGNS}(]{_WORDS}[{_BLANK}:(])?"
    rf"([-−]?{CURRENCY}~*{_DIGITS}|[-−]?{_DIGITS}~*{CURRENCY}){_ROUND}(?:[{_BLANK}/(),;*]{_WORDS})?$"
).replace("~", _SPACE)
#: What is not a digit or a mark between digits.
NOT_DIGITS = "[^0-9.,]"
#: Digits that are an identifier, not a number, unless they have a currency.
LEADING_ZERO = "^0[0-9]"
MINUS = ("-", "−")


@dataclass(frozen=True)
class Grouping:
    """A spelling of digits in groups: what it matches, the mark between groups, and whether it needs a currency."""

    pattern: str
    mark: str
    needs_currency: bool = False


#: The first that matches decides; what is left of a comma then is the decimal mark.
GROUPINGS = (
    Grouping(r"\..*,", "."),
    Grouping(r",.*\.", ","),
    Grouping("^[1-9][0-9]{0,2}(,[0-9]{3})+$", ","),
    Grouping("^[1-9][0-9]?(,[0-9]{2})+,[0-9]{3}$", ","),
    Grouping(r"^[1-9][0-9]{0,2}(\.[0-9]{3}){2,}$", "."),
    Grouping(r"^[1-9][0-9]{0,2}\.[0-9]{3}$", ".", needs_currency=True),
)

_amount, _among_words = re.compile(AMOUNT), re.compile(AMOUNT_AMONG_WORDS)
_not_digits, _leading_zero = re.compile(NOT_DIGITS), re.compile(LEADING_ZERO)
_groupings = [(re.compile(grouping.pattern), grouping) for grouping in GROUPINGS]
_any_digit = re.compile("[0-9]")


def read_number(value: str) -> float | None:
    """The number that a JSON text holds: a number itself, or a text that reads as an amount; None for any other."""
    if value[:1] == '"':
        # Escapes take six characters at most.
        return read_amount(json.loads(value)) if len(value) <= 6 * MAX_LENGTH + 2 else None
    if not _any_digit.match(value.removeprefix("-")):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def read_amount(text: str) -> float | None:
    """The amount that a text names, None where it names none or several."""
    if len(text) > MAX_LENGTH or not _any_digit.search(text):
        return None
    amount = _read_alone(text)
    if amount is None and (among := _among_words.match(text)):
        amount = _read_alone(among[1])
    return amount


def _read_alone(text: str) -> float | None:
    parts = _amount.match(text)
    if parts is None:
        return None
    digits = _plain_digits(_not_digits.sub("", parts[4]), has_currency=bool(parts[2] or parts[5]))
    try:
        return None if digits is None else float(digits) * (-1 if parts[1] + parts[3] in MINUS else 1)
    except ValueError:
        return None


def _plain_digits(digits: str, *, has_currency: bool) -> str | None:
    """Digits with a dot for the decimal mark and no other marks."""
    if _leading_zero.match(digits) and not has_currency:
        return None
    for pattern, grouping in _groupings:
        if (has_currency or not grouping.needs_currency) and pattern.search(digits):
            digits = digits.replace(grouping.mark, "")
            break
    return digits.replace(",", ".")
