"""Reads one text as an amount of money, by itself: the audit compares values of one field before all of them are known.

Typed columns, the change feed and the price mart have numbers by `meter_pipeline.sync.values` instead, which reads a
field by all of its texts. Here every text has one reading, so that a mark that moves is a step in the number.

An amount is a number with at most one currency around it, its digits in groups or not. The last of two different marks
is the decimal one; one mark alone groups when it occurs more than once, or stands before exactly three digits as a
comma, or as a dot in an amount with a currency. Words around the amount ("from £5", "£3.99 each", "€2/kg") do no harm
where no second number could be meant and the currency is beyond doubt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Longer texts are not amounts; in characters.
_LENGTH = 40
# Unicode's category Sc, and the code points that its block of currency signs has left.
_CURRENCY_SIGNS = "$¢-¥֏؋߾߿৲৳৻૱௹฿៛\u20a0-\u20cf\ua838﷼﹩＄￠￡￥￦𑿝-𑿠𞋿𞲰"
_DOLLARS_OF = "US|CA|AU|NZ|HK|NT|MX|R|C|A|S"
_DOLLARS = rf"(?:{_DOLLARS_OF})?\$"
_CODES = (
    "AED|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MAD|MXN|MYR|NGN|NOK|NZD|PEN|"
    "PHP|PKR|PLN|QAR|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
_NAMES = r"kr\.?|zł|Kč|Ft|Fr\.|lei|лв\.?|руб\.?|Rs\.?|円|元"
# What a currency begins with: where a text has another character, none of the many spellings is tried.
_LETTERS = "".join(sorted({spelled[0] for spelled in f"{_DOLLARS_OF}|{_CODES}|{_NAMES}".split("|")}))
#: Where a currency may begin.
CURRENCY_BEGIN = rf"(?=[{_CURRENCY_SIGNS}{_LETTERS}])"
#: A currency beyond doubt: a sign, a known code, or a name. Three other capitals may be a unit, as in "100 RPM".
CURRENCY = rf"{CURRENCY_BEGIN}(?:[{_CURRENCY_SIGNS}]|{_DOLLARS}|{_CODES}|{_NAMES})"
_MAYBE_CURRENCY = rf"(?:[{_CURRENCY_SIGNS}]|{_DOLLARS}|[A-Z]{{3}}|{_NAMES})"
_BLANK = r" \t\n\r\f"
_SPACE = f"[{_BLANK}\u00a0\u202f\u2009]"
_DIGITS = (
    r"(?:[0-9]+(?:[.,][0-9]+)?|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]+)?"
    "|[0-9]{1,3}(?:[.,'’\u00a0\u202f\u2009 ][0-9]{3})+(?:[.,][0-9]+)?)"
)
_SIGN = "([-−+]?)"
_ROUND = "(?:[,.][-–—])?"
# An amount alone, in groups: sign, currency, sign, digits, currency.
_AMOUNT = (f"^~*{_SIGN}~*({_MAYBE_CURRENCY}?)~*{_SIGN}({_DIGITS}){_ROUND}~*({_MAYBE_CURRENCY}?){_ROUND}~*$").replace(
    "~", _SPACE
)
_WORDS = rf"[^0-9{_CURRENCY_SIGNS}]*"
# An amount among words: the first group is the amount, which `_AMOUNT` matches.
_AMOUNT_AMONG_WORDS = (
    rf"^~*(?:[^0-9{_CURRENCY_SIGNS}(]{_WORDS}[{_BLANK}:(])?"
    rf"([-−]?{CURRENCY}~*{_DIGITS}|[-−]?{_DIGITS}~*{CURRENCY}){_ROUND}(?:[{_BLANK}/(),;*]{_WORDS})?$"
).replace("~", _SPACE)
# What is not a digit or a mark between digits.
_NOT_DIGITS = "[^0-9.,]"
# Digits that are an identifier, not a number, unless they have a currency.
_LEADING_ZERO = "^0[0-9]"
_MINUS = ("-", "−")


@dataclass(frozen=True)
class _Grouping:
    """A spelling of digits in groups: what it matches, the mark between groups, and whether it needs a currency."""

    pattern: str
    mark: str
    needs_currency: bool = False


# The first that matches decides; what is left of a comma then is the decimal mark.
_GROUPINGS = (
    _Grouping(r"\..*,", "."),
    _Grouping(r",.*\.", ","),
    _Grouping("^[1-9][0-9]{0,2}(,[0-9]{3})+$", ","),
    _Grouping("^[1-9][0-9]?(,[0-9]{2})+,[0-9]{3}$", ","),
    _Grouping(r"^[1-9][0-9]{0,2}(\.[0-9]{3}){2,}$", "."),
    _Grouping(r"^[1-9][0-9]{0,2}\.[0-9]{3}$", ".", needs_currency=True),
)

_amount, _among_words = re.compile(_AMOUNT), re.compile(_AMOUNT_AMONG_WORDS)
_not_digits, _leading_zero = re.compile(_NOT_DIGITS), re.compile(_LEADING_ZERO)
_groupings = [(re.compile(grouping.pattern), grouping) for grouping in _GROUPINGS]
_any_digit = re.compile("[0-9]")


def read_amount(text: str) -> float | None:
    """The amount that a text names, None where it names none or several."""
    if len(text) > _LENGTH or not _any_digit.search(text):
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
        return None if digits is None else float(digits) * (-1 if parts[1] + parts[3] in _MINUS else 1)
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
