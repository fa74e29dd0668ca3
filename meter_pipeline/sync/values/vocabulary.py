"""All words that stand in values, to tell prose from values before anything else is tried.

Every part of a value is understood, so a text with a word that is in no table is none.
"""

from __future__ import annotations

import re

from meter_pipeline.sync.values import currencies, dates, months, price_words, quantities, relative, scales

_WORD = re.compile(r"[^\W\d_]+")
_OPTIONAL = re.compile(r"([^\W\d_]+)[^\W\d_]\?")
# Words in the patterns of `dates`, `price_words`, `quantities` and `relative`.
_OTHERS = " ".join(
    pattern.pattern
    for pattern in (
        *dates.PATTERNS, *relative.PATTERNS, *quantities.PATTERNS,
        price_words.UNIT, price_words.NOTES, price_words.WAS_NOW, price_words.NOW_WAS,
    )
)  # fmt: skip
_TABLES = (
    currencies.SIGNS, price_words.BEFORE, price_words.AFTER, price_words.FREE, price_words.EMPTY, quantities.NOUNS,
    relative.WORDS, scales.SCALES, scales.LONG_SCALE, scales.PREFIXED, months.MONTHS, months.WEEKDAYS,
)  # fmt: skip
# Scripts from here on write words without spaces, so their words cannot be separated.
_FIRST_JOINED = "\u0590"


def _gather() -> frozenset[str]:
    text = " ".join([*(entry for table in _TABLES for entry in table), _OTHERS, "am pm stella stelle"])
    # `stars?` in a pattern is two words.
    short = " ".join(_OPTIONAL.findall(_OTHERS))
    found = set(_WORD.findall(f"{text} {short}".lower()))
    # `utc+1`, `10h`, `3m`: letters at digits, and marks of footnotes.
    return frozenset(found | set("abcdefghijklmnopqrstuvwxyzº¹²³⁴⁵⁶⁷⁸⁹"))


_VOCABULARY = _gather()


def may_be_value(text: str) -> bool:
    """Whether all words of a cleaned text are words of values."""
    return all(word in _VOCABULARY or word[0] >= _FIRST_JOINED for word in _WORD.findall(text.lower()))
