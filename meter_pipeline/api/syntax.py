"""JSON text to values and to slices, strict about what JSON is and unharmed by what it allows.

`msgspec.Raw` finds where a value begins and ends without building it, and rejects what is not JSON (NaN, bad numbers,
bad escapes) on the way. It leaves three things to us: it does not look at UTF-8 inside skipped text, it rejects lone
surrogates (`"\\ud800"`), which JSON allows and scraped pages contain, and it stops at the recursion limit.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import msgspec

WHITESPACE = b" \t\r\n"

_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(rb"\\(u[dD][89abAB]..\\u[dD][c-fC-F]..|u[dD][89a-fA-F]..|.)", re.DOTALL)
# Python refuses to make an int of more than 4300 digits.
_LONGEST_INT = 4000


class Malformed(Exception):
    """The text is not what it should be.

    Attributes:
        reason: What is wrong, in half a sentence.
        cut: Whether the text looks cut off at its end.
    """

    def __init__(self, reason: str, *, cut: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cut = cut


def check_utf8(text: bytes) -> None:
    """Raises `Malformed` unless `text` is UTF-8."""
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"not UTF-8 (byte {error.start})") from None


def elements(text: bytes) -> list[bytes]:
    """The elements of a JSON array, each exactly as it stands in `text`."""
    try:
        return list(map(bytes, _ELEMENTS.decode(text)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        failure: Exception = error
    masked = mask_surrogates(text)
    if masked is None:
        raise meaning(failure)
    try:
        raws = _ELEMENTS.decode(masked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        failure = error
    else:
        return _cut_like(text, [len(memoryview(raw)) for raw in raws])
    raise meaning(failure)


def check_elements(text: bytes) -> None:
    """Raises `Malformed` unless `text` is a JSON array in UTF-8."""
    check_utf8(text)
    try:
        _ELEMENTS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        elements(text)


def raw_members(text: bytes) -> dict[str, msgspec.Raw] | None:
    """The members of a JSON object as slices of `text`; `None` when lone surrogates call for the slower way.

    Raises:
        Malformed: It is not a JSON object.
    """
    try:
        return _MEMBERS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        failure: Exception = error
    masked = mask_surrogates(text)
    if masked is None:
        raise meaning(failure)
    try:
        _MEMBERS.decode(masked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        failure = error
    else:
        return None
    raise meaning(failure)


def value(text: bytes) -> Any:
    """The Python value of a JSON text: integers of any size, lone surrogates as U+FFFD, no NaN."""
    try:
        return _VALUE.decode(text)
    except RecursionError as error:
        failure: Exception = error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        check_utf8(text)
        return _patient_value(text)
    raise meaning(failure)


def mask_surrogates(text: bytes) -> bytes | None:
    """`text` with lone surrogates replaced by U+FFFD, same length; `None` when there are none."""
    if _SURROGATE.search(text) is None:
        return None
    masked = _ESCAPE.sub(_mask, text)
    return None if masked == text else masked


def _mask(match: re.Match[bytes]) -> bytes:
    escape = match.group()
    lone = len(escape) == 6 and escape[2:3] in (b"d", b"D") and escape[3:4] in b"89abcdefABCDEF"
    return b"\\ufffd" if lone else escape


def _cut_like(text: bytes, lengths: list[int]) -> list[bytes]:
    """Cuts an array's text into items of known lengths: between two of them is nothing but commas and white space."""
    separators = re.compile(rb"[ \t\r\n,]*")
    position = text.index(b"[") + 1
    items = []
    for length in lengths:
        match = separators.match(text, position)
        start = match.end() if match else position
        position = start + length
        items.append(text[start:position])
    return items


def meaning(failure: Exception) -> Malformed:
    """What a decoder's exception means."""
    if isinstance(failure, RecursionError):
        return Malformed("nested deeper than the parser can follow")
    if isinstance(failure, UnicodeDecodeError):
        return Malformed(f"not UTF-8 (byte {failure.start})")
    if isinstance(failure, msgspec.ValidationError):
        return Malformed(f"not the JSON expected here: {failure}")
    reason = str(failure)
    if reason == "Input data was truncated":
        return Malformed("not JSON: it ends in the middle", cut=True)
    return Malformed(f"not JSON: {reason.removeprefix('JSON is malformed: ')}")


def _patient_value(text: bytes) -> Any:
    try:
        loaded = json.loads(text, parse_constant=_no_constant, parse_float=_float, parse_int=_int)
    except RecursionError:
        raise Malformed("nested deeper than the parser can follow") from None
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
        raise Malformed(f"not JSON: {error.msg} (character {error.pos})", cut=cut) from None
    return _clean(loaded)


def _no_constant(name: str) -> NoReturn:
    raise Malformed(f"not JSON: {name} is no JSON value")


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _int(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INT else text


def _clean(loaded: Any) -> Any:
    if isinstance(loaded, str):
        return loaded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(loaded, list):
        return [_clean(item) for item in loaded]
    if isinstance(loaded, dict):
        return {_clean(key): _clean(item) for key, item in loaded.items()}
    return loaded
