"""Reads one price with its currency from a text, if the text is that and nothing else.

Every part of the text must be understood: a word that is not known may scale the number, or make it another thing.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from meter_pipeline.sync.values import price_words
from meter_pipeline.sync.values.currencies import (
    ENGLISH,
    FAMILIES,
    SIGNS,
    THREE_DECIMALS,
    WEAK,
    WITHOUT_DECIMALS,
)
from meter_pipeline.sync.values.numbers import COMMA, NUMBER, Spelled, spell
from meter_pipeline.sync.values.scales import ENGLISH_WORDS, LONG_SCALE, find_scale

_NUMBERS = re.compile(NUMBER)
# A currency by its ISO 4217 code.
_CODE = re.compile(r"[A-Za-z]{3}")
# `,-` `.--` `:-` `/-` `/=`: the amount has no decimals.
_ENDING = re.compile(r"(?:[.,:]|/)-{1,2}(?![\d-])|/=")
_DECORATION = " *!†‡§→►▶•·✓✔🔥"
_FOOTNOTES = tuple("¹²³⁴⁵⁶⁷⁸⁹")
_HAS_SIGN = re.compile(r"[$£€¥₹₩₽₺₪₫฿₴₦₱₡₲₸₼₾₭₮৳៛₵₿円元원]|\b(?:USD|EUR|GBP|CHF|CAD|AUD|JPY|CNY|INR)\b")


class Price(NamedTuple):
    """A price as it is spelled.

    Attributes:
        number: Its number; `number.lone` is empty unless the source must say how it is read.
        negative: Whether a minus stands before it.
        scale: The factor of the word or letter behind the number, 1 without.
        english: Whether that word is an English one in English order.
        currency: Code, or a sign that several currencies share; empty for a number alone.
        style: How the currency is written, or the ending in its place (`:-`): evidence counts for values of one style.
        weak: Whether the sign is a word or letter that means other things too, and the number is none of a price.
        unit: What the price is for, as `kg`; empty for the thing itself.
    """

    number: Spelled
    negative: bool
    scale: int
    english: bool
    currency: str
    style: str
    weak: bool
    unit: str

    @property
    def before(self) -> bool:
        """Whether the currency stands before the number."""
        return self.style[-1:] == "<"

    @property
    def spaced(self) -> bool:
        """Whether there is a space between currency and number."""
        return " " in self.style[-2:] or self.style.startswith("> ")


class _Beside(NamedTuple):
    """What stands on both sides of a number."""

    negative: bool
    whole_only: bool
    scale: int
    word: str
    currency: str
    style: str
    sign: str


def mentions_money(text: str) -> bool:
    """Whether a cleaned text has a sign of a currency and a digit."""
    return _HAS_SIGN.search(text) is not None


@lru_cache(maxsize=4096)
def _currency(sign: str) -> str | None:
    """The currency of a sign as written; None if it is none."""
    sign = sign.strip()
    found = SIGNS.get(sign) or SIGNS.get(sign.replace(" ", "")) or SIGNS.get(sign.lower())
    if found is None and " " in sign:
        # `37.80 $ CAD`: two signs that agree.
        first, _, second = sign.partition(" ")
        return _agreed(_currency(first), _currency(second)) if " " not in second else None
    return found


def _agreed(one: str | None, other: str | None) -> str | None:
    if not one or not other:
        return None
    if one == other or one in FAMILIES.get(other, ()):
        return one
    return other if other in FAMILIES.get(one, ()) else None


@lru_cache(maxsize=8192)
def _beside(before: str, after: str) -> _Beside | None:
    """The meaning of what stands before and after a number; None if any part of it has none."""
    spaced_before, spaced_after = before.endswith(" "), after.startswith(" ")
    before = price_words.without_phrases_before(before.strip(" *"))
    negative = before.startswith("-") and not before.startswith("- ")
    sign_before = before[1:] if negative else before
    if sign_before.endswith("-") and len(sign_before) > 1 and not negative and not spaced_before:
        negative, sign_before = True, sign_before[:-1]
    after = price_words.without_phrases_after(after.rstrip(" *"))
    ending = ""
    if found := _ENDING.match(after.lstrip()):
        ending, after = found[0], after.lstrip()[found.end() :]
    scale, word, after = find_scale(after)
    after = after.strip()
    # `€5.`: the end of a sentence.
    after = "" if after == "." else after
    if negative and spaced_before and not sign_before:
        return None
    sign_before = sign_before.strip()
    first = _currency(sign_before) if sign_before else ""
    # A point ends an abbreviation or a sentence here; before a number it may begin decimals (`$.99`).
    # `6 G$` and `7 B$`: letters that scale before the sign of a dollar.
    if after in ("G$", "T$", "B$", "M$", "K$"):
        return None
    last = _currency(after) or _currency(after.rstrip(".")) if after else ""
    if first is None or last is None:
        return None
    currency = _agreed(first, last) if first and last else first or last
    if currency is None:
        return None
    # `$4.320 CLP` is another style than `$4.32`.
    both = f"{after}|" if first and last else ""
    style = f"{both}{sign_before}{' ' if spaced_before else ''}<" if first else f">{' ' if spaced_after else ''}{after}"
    return _Beside(negative, bool(ending), scale, word, currency, style if currency else ending, sign_before or after)


def find_price(text: str) -> Price | None:
    """The price in a cleaned text, or None if the text is not exactly one price or number."""
    text = _without_decoration(text)
    places = _find_numbers(text)
    if not places:
        return None
    if len(places) > 1:
        if was := price_words.WAS_NOW.fullmatch(text) or price_words.NOW_WAS.fullmatch(text):
            old, new = find_price(was["old"]), find_price(was["new"])
            return new if old and new and (old.currency == new.currency) else None
        if "%" in text:
            text = price_words.NOTES.sub(" ", text).strip()
            places = _find_numbers(text)
    unit = counted = ""
    last = text[-1]
    may_have_unit = "/" in text or (" " in text and last > "9" and last.isalnum()) or last == "."
    if may_have_unit and places and (found := price_words.UNIT.search(text, places[0][1])):
        unit, text = (found["unit"] or found["often"]).strip(), text[: found.start()]
        counted = unit.lstrip("0123456789., ") if unit[0].isdigit() else ""
        places = [place for place in places if place[1] <= len(text)]
    if len(places) == 2:
        return _with_cents(text, places, unit.lower())
    if len(places) != 1:
        return None
    start, end = places[0]
    beside = _beside(text[:start], text[end:])
    # `416 Ft / 665 Ft`: what looks like feet is a second price.
    if beside is None or (counted and _currency(counted) == beside.currency):
        return None
    number = spell(text[start:end], beside.whole_only, beside.currency in THREE_DECIMALS)
    return _price(number, beside, unit.lower()) if number is not None else None


def _find_numbers(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _NUMBERS.finditer(text)]


def _without_decoration(text: str) -> str:
    """The text without arrows, ticks and marks of footnotes around it."""
    text = text.strip(_DECORATION)
    # A raised digit at a digit may be cents, at a metre it makes a square one.
    return text[:-1].rstrip() if text[-1:] in _FOOTNOTES and not text[-2:-1].isalnum() else text


def _with_cents(text: str, places: list[tuple[int, int]], unit: str) -> Price | None:
    """The price of `37€80`: a sign in the place of the decimal mark."""
    (start, end), (cents, last) = places
    sign = text[end:cents].strip()
    whole, fraction = text[start:end], text[cents:last]
    if start or last != len(text) or len(fraction) != 2 or not whole.isdigit() or _currency(sign) != "EUR":
        return None
    number = spell(whole)
    beside = _Beside(False, False, 1, "", "EUR", f">{sign}", sign)
    return _price(number._replace(fraction=fraction), beside, unit) if number and len(sign) == 1 else None


def _price(number: Spelled, beside: _Beside, unit: str) -> Price | None:
    currency = beside.currency
    if number.fraction and not number.lone:
        digits = len(number.fraction)
        # Cents of yen: a number of another kind, or a mark that groups after all.
        if currency in WITHOUT_DECIMALS and beside.scale == 1 and digits == 1:
            return None
        if beside.scale != 1 and beside.word in ("k", "K") and digits > 3:
            return None
    last, both, _ = beside.style.partition("|")
    if both and number.spaced and not number.fraction and len(number.whole) <= 6 and not _CODE.fullmatch(last):
        # `¥499 416円`: two prices side by side. In `$1 499 CAD` the code says which dollar is meant.
        return None
    if not currency and (beside.scale != 1 or ((unit or number.spaced) and not beside.whole_only)):
        return None
    if beside.word in LONG_SCALE and not _is_english(number, beside):
        return None
    english = beside.word in ENGLISH_WORDS and beside.style.endswith("<")
    return Price(number, beside.negative, beside.scale, english, currency, beside.style, _is_weak(number, beside), unit)


def _is_english(number: Spelled, beside: _Beside) -> bool:
    """Whether an amount is written in the English way, so that a word like *billion* is the English one."""
    if number.shows == COMMA and number.fraction:
        return False
    if beside.word in ("m", "M"):
        return beside.currency != "IDR"
    if not beside.style.endswith("<"):
        return beside.currency in ENGLISH and beside.word in ("billion", "trillion")
    return beside.currency in ENGLISH or (beside.currency in ("EUR", "CHF") and not beside.style.endswith(" <"))


def _is_weak(number: Spelled, beside: _Beside) -> bool:
    sign = beside.sign
    if sign not in WEAK:
        return False
    if sign in ("EUR", "CAD"):
        return number.whole.isdigit() and not number.fraction and not number.grouped and len(number.whole) <= 2
    if number.grouped or beside.whole_only or number.lone:
        return False
    return len(number.fraction) != 2 or beside.currency in WITHOUT_DECIMALS


def digits_alone(text: str) -> Price:
    """A text of digits as a number alone."""
    return Price(Spelled(text), False, 1, False, "", "", False, "")


def amount_of(price: Price, lone_groups: bool = True) -> Decimal:
    """The amount of a price; `lone_groups` says how a lone mark is read."""
    amount = price.number.value(lone_groups) * price.scale
    return -amount if price.negative else amount
