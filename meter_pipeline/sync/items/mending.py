"""Makes JSON of a rejected item where it is clear what is meant; numbers and all else stay as they were written."""

from __future__ import annotations

import re

from meter_pipeline.store.item_json import ItemError, parse_items

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\w.])(?:-?(?:NaN|nan|Infinity|inf)|undefined|None)(?![\w.])', re.DOTALL)
# Two backslashes, or a backslash and what JSON allows after it, are as they should be; other backslashes stand alone.
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
_CONTROL = re.compile(r"[\x00-\x1f]")


def mend(item: bytes) -> bytes:
    """A rejected item as JSON.

    `NaN`, infinities, `undefined` and `None` become null, bytes that are no UTF-8 the replacement character, and in
    texts a backslash that begins no escape, or a control character, stands for itself.

    Raises:
        ItemError: It is not JSON for another reason.
    """
    mended = _TOKEN.sub(_mend_token, item.decode("utf-8", "replace")).encode()
    if len(parse_items([mended])) != 1:
        raise ItemError("an item is not one JSON value")
    return mended


def _mend_token(token: re.Match[str]) -> str:
    text = token[0]
    if text[0] != '"':
        return "null"
    text = _ESCAPE.sub(lambda escape: escape[0] if escape[1] else "\\\\", text)
    return _CONTROL.sub(lambda control: f"\\u{ord(control[0]):04x}", text)
