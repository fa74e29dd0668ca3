"""Makes untrusted text safe to print.

A scraped page, an error of the API or a file name may hold escape sequences that move the cursor, retitle the window or
hide a link, and marks that reorder text. Everything that is printed or logged goes through `printable`, which replaces
such characters by visible escapes (`\\x1b`).
"""

from __future__ import annotations

import json
import logging
import re

# Control characters (C0, DEL, C1), line separators, overrides of the writing direction, and lone surrogates, which have
# no UTF-8 form. Joiners and plain direction marks are safe: emoji, Persian and Hebrew need them.
_UNSAFE = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff"
_ANY = re.compile(f"[{_UNSAFE}]")
_NOT_OF_LINES = re.compile(f"(?!\r?\n|\t)[{_UNSAFE}]")
_BREAKS = re.compile("[\t-\r\x85\u2028\u2029]+")


def printable(text: str, *, lines: bool = False) -> str:
    """Replaces characters that a terminal obeys by escapes such as `\\x1b` and `\\u202e`.

    Args:
        text: Untrusted text.
        lines: Whether to keep line breaks and tabs; otherwise each run of them becomes a space, so that the result is
            one line.
    """
    if text.isascii() and text.isprintable():
        return text
    if lines:
        return _NOT_OF_LINES.sub(_escape, text)
    return _ANY.sub(_escape, _BREAKS.sub(" ", text))


def json_text(value: object, *, indent: int | None = None) -> str:
    """Encodes a value of JSON's types as JSON that is safe to print and keeps every character."""
    # Unsafe characters occur only inside strings, where JSON has an escape for each.
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _NOT_OF_LINES.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


class PrintableLog(logging.Filter):
    """Makes every message of a logger printable, because logs are read on terminals."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites the message; keeps every record."""
        record.msg, record.args = printable(record.getMessage()), ()
        return True


def make_printable(error: BaseException) -> None:
    """Makes the arguments of an exception, its causes and its contexts printable, in place."""
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
