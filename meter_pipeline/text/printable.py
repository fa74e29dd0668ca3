"""Text from elsewhere, made safe to print.

A scraped page, an error of the API or a file name may hold escape sequences that move the cursor, retitle the window or
hide a link, and marks that draw text in another order than it has. Whatever is printed or logged goes through
`printable`, which shows such characters as escapes (`\\x1b`) instead of sending them.
"""

from __future__ import annotations

import json
import logging
import re

# Control characters (C0, DEL, C1), separators of lines, overrides of the writing direction, and half surrogates, which
# have no UTF-8. Joiners and the plain direction marks stay: emoji, Persian and Hebrew are written with them.
_UNSAFE = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff"
_ANY = re.compile(f"[{_UNSAFE}]")
_NOT_OF_LINES = re.compile(f"(?!\r?\n|\t)[{_UNSAFE}]")
_BREAKS = re.compile("[\t-\r\x85\u2028\u2029]+")


def printable(text: str, *, lines: bool = False) -> str:
    """`text` without anything that a terminal obeys: such characters become `\\x1b`, `\\u202e`, and the like.

    Args:
        text: Text from anywhere.
        lines: Whether line breaks and tabs stay; otherwise each run of them becomes a space, so that one line stays
            one line.
    """
    if text.isascii() and text.isprintable():
        return text
    if lines:
        return _NOT_OF_LINES.sub(_escape, text)
    return _ANY.sub(_escape, _BREAKS.sub(" ", text))


def json_text(value: object, *, indent: int | None = None) -> str:
    """`value`, which is in JSON's own types, as JSON that is safe to print and keeps every character."""
    # Beyond ASCII these stand inside strings alone, where JSON has an escape for each.
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _NOT_OF_LINES.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


class PrintableLog(logging.Filter):
    """Makes every message of a logger printable: logs are read on terminals, too."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites the message; keeps every record."""
        record.msg, record.args = printable(record.getMessage()), ()
        return True


def make_printable(error: BaseException) -> None:
    """Makes the texts of an exception, and of those it was raised from, printable where they stand."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        current.args = tuple(printable(arg, lines=True) if isinstance(arg, str) else arg for arg in current.args)
        waiting += [current.__cause__, current.__context__]


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
