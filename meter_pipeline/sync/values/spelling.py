"""Cleans a text of what its characters carry besides their meaning, before values are recognised in it.

Not Unicode's NFKC, which makes 37⁹⁹ the number 3799 and ½ the digits 1 and 2.
"""

from __future__ import annotations

import html
import unicodedata

DECIMAL_ARABIC = "\u066b"
"""Arabic decimal separator, which has no second reading and stays as it is."""
_GROUPS = "'’‘ʼʻ′´`＇\u066c"
_WIDE_SIGNS = {"￥": "¥", "￡": "£", "￦": "₩", "￠": "¢"}
_MINUS = "−﹣－"


class _Characters(dict[int, str | None]):
    """Maps characters for `str.translate`; learns each when it is first met."""

    def __missing__(self, code: int) -> str | None:
        result = self[code] = _plain(chr(code))
        return result


def _plain(character: str) -> str | None:
    if character in _GROUPS:
        return "'"
    if character in _MINUS:
        return "-"
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    if "！" <= character <= "～":
        return chr(ord(character) - 0xFEE0)
    if character == "\u060c":
        return ","
    if character in _WIDE_SIGNS:
        return _WIDE_SIGNS[character]
    # The wave dash of Japanese.
    if character == "〜":
        return "~"
    category = unicodedata.category(character)
    if category in ("Zs", "Zl", "Zp", "Cc"):
        return " "
    # Zero-width, left-to-right and right-to-left marks, soft hyphens.
    if category == "Cf":
        return None
    return "-" if category == "Pd" else character


_CHARACTERS = _Characters()


def clean(text: str) -> str:
    """The text with plain digits, spaces, hyphens and apostrophes, without invisible marks and HTML entities.

    Every kind of space becomes one space, every dash a hyphen, every apostrophe and the Arabic thousands separator `'`.
    """
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = text.translate(_CHARACTERS)
    return " ".join(text.split())
