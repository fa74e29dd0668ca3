"""Sizes in bytes: parsed from and spelled as people write them (`4 GiB`, `64 MB`, `1048576`), and the defaults."""

from __future__ import annotations

import re

# Default limits in bytes: of a body, of an item, of a page of a listing; and the bytes of a disk to keep free.
MAX_BODY = 4 * 2**30
MAX_RECORD = 64 * 10**6
MAX_PAGE = 256 * 10**6
KEEP_FREE = 100 * 10**6

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)\s*")
_SHOWN = (("TiB", 2**40), ("GiB", 2**30), ("GB", 10**9), ("MiB", 2**20), ("MB", 10**6), ("KiB", 2**10), ("kB", 10**3))


def parse_size(text: str) -> int:
    """Parses a size into bytes.

    Raises:
        ValueError: The text is not a number with or without a unit, or less than one byte.
    """
    match = _SIZE.fullmatch(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    size = int(float(match[1]) * unit) if match and unit else 0
    if size < 1:
        raise ValueError(f"{text!r} is not a size: write a number of bytes, or one with a unit, such as 64MB or 4GiB")
    return size


def spell_size(size: int) -> str:
    """Spells a size in the unit that makes it a whole number below 10,000, or else rounded to a tenth."""
    for unit, factor in _SHOWN:
        if size and size % factor == 0 and size // factor < 10_000:
            return f"{size // factor} {unit}"
    if size < 1000:
        return f"{size} bytes"
    unit, factor = next((unit, factor) for unit, factor in _SHOWN if unit[1] == "B" and size >= factor)
    return f"{size / factor:.1f} {unit}"
