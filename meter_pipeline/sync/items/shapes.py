"""How much the values and the name of a field resemble those of a key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from meter_pipeline.config.field_paths import Path
from meter_pipeline.store.columns import snake
from meter_pipeline.sync.items.comparisons import Fields
from meter_pipeline.sync.items.evidence import Evidence
from meter_pipeline.sync.items.samples import TARGET_PATH, is_picture

# A number of as many digits is seldom an amount or a count.
_LONG_NUMBER = 10**7
# Epochs in seconds and milliseconds: long, and as likely to change as any time.
_TIMES = ((10**9, 2 * 10**9), (10**12, 2 * 10**12))
# Numbers that were given one after another: at least this many, the lowest at least this, and all within this share of
# it. Amounts and counts differ more, and years are left out.
_LEAST_SERIES, _LEAST_OF_SERIES, _SERIES_WIDTH, _YEARS = 3, 100, 0.05, (1800, 2200)
# Two or three short numbers: times of day, dates, versions, results. These are no more of a code than a number is.
_READING = re.compile(r"\W{0,2}[vV]?\d{1,4}(?:[:.,/x×-]\d{1,4}){1,2}\W{0,2}")
# A code or an address: no spaces, and digits in it or a scheme before it.
_CODE = re.compile(r"\A(?=.*(?:\d|://))\S+\Z")
# Repeats that numbers drawn at random would have, and the share of these that still counts as few.
_SURPRISING, _SELDOM = 8, 0.25
# Shapes of values, best first: codes and addresses, the page that stands for its item, other text, numbers of many
# digits, and numbers that chance may have made different.
CODES, PAGE, WORDS, LONG, SPREAD = range(5)
# Words at the end of a name that suggest a key, to choose between fields with equal evidence.
KEY_WORDS = (
    "id", "uuid", "guid", "sku", "isbn", "isbn13", "ean", "gtin", "upc", "asin", "mpn", "doi", "key", "code", "slug",
    "handle", "url", "link", "permalink", "href", "uri", "number", "no", "symbol", "name", "title", "heading",
)  # fmt: skip
# Words of fields that identify a part of an item, or the scrape, and not the item.
_PART_WORDS = frozenset(
    {"image", "img", "thumbnail", "photo", "picture", "icon", "session", "request", "scrape", "seller"}
)


def find_shape(evidence: Evidence, fields: Fields) -> int:
    """How much values resemble codes and addresses; of several fields the best counts, since they belong together."""
    return min(find_field_shape(evidence, path) for path in fields)


def find_field_shape(evidence: Evidence, path: Path) -> int:
    """How much the values of a field resemble codes and addresses."""
    if path == TARGET_PATH:
        return PAGE
    if evidence.is_time(path):
        return SPREAD
    values = evidence.values(path)
    if values and all(type(value) is str and _READING.fullmatch(value) for value in values[:500]):
        return SPREAD
    numbers = [number for value in values if (number := _read_number(value)) is not None]
    if numbers and len(numbers) == len(values):
        low, high = min(numbers), max(numbers)
        # Numbers drawn from the same range at random would repeat more often.
        expected = len(values) ** 2 / 2 / (high - low + 1)
        if expected >= _SURPRISING and evidence.count((path,)).repeated / len(evidence.samples) <= _SELDOM * expected:
            return CODES
        is_time = any(start <= low and high <= end for start, end in _TIMES)
        return LONG if not is_time and (low >= _LONG_NUMBER or _is_series(numbers)) else SPREAD
    values = values[:500]
    texts = [value for value in values if type(value) is str]
    coded = sum(bool(_CODE.search(text)) and not is_picture(text) for text in texts)
    return CODES if texts and coded >= 0.9 * len(texts) else WORDS


def _is_series(numbers: Sequence[float]) -> bool:
    """Whether numbers seem to have been given one after another: close together, and far from 0."""
    low, high = min(numbers), max(numbers)
    is_close = low >= _LEAST_OF_SERIES and high - low <= _SERIES_WIDTH * low
    is_year = _YEARS[0] <= low and high <= _YEARS[1]
    return is_close and not is_year and len(set(numbers)) >= _LEAST_SERIES


def _read_number(value: Any) -> float | None:
    """A number, also one spelled as text if it has no more digits than an amount may have."""
    if type(value) in (int, float):
        return float(value)
    is_short = type(value) is str and value.isascii() and value.isdigit() and int(value) < _LONG_NUMBER
    return float(value) if is_short and (value == "0" or value[0] != "0") else None


@lru_cache(maxsize=4_096)
def name_rank(name: str) -> int:
    """Lower for better names of a key; the same for all names that suggest none."""
    words = snake(name).split("_")
    if _PART_WORDS & set(words) or words[-1] not in KEY_WORDS:
        return len(KEY_WORDS)
    return KEY_WORDS.index(words[-1])


def is_named_key(fields: Fields) -> bool:
    """Whether the name of each field suggests an id, a code or an address."""
    return all(path and name_rank(path[-1]) < KEY_WORDS.index("name") for path in fields)
