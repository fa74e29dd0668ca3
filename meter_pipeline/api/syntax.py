"""Parses JSON text into values and into slices; refuses all that is not JSON, and accepts all that is.

`msgspec.Raw` finds where a value begins and ends without building it, and rejects what is not JSON (NaN, bad numbers,
bad escapes). It leaves three things to this module: it does not check UTF-8 inside skipped text, it rejects lone
surrogates (`"\\ud800"`), which JSON allows and scraped pages contain, and it stops at the recursion limit. Items nested
deeper are cut by their brackets, so that one such item does not make the others unreadable.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from meter_pipeline.text.nesting import TOO_DEEP, is_too_deep

WHITESPACE = b" \t\r\n"

_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(rb"\\(u[dD][89abAB]..\\u[dD][c-fC-F]..|u[dD][89a-fA-F]..|.)", re.DOTALL)
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)
_KEY = re.compile(rb'[ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_CLOSERS = {b"{": b"}", b"[": b"]"}
# Python refuses to make an int of more than 4300 digits.
_LONGEST_INT = 4000


class Malformed(Exception):
    """The text is not valid JSON, or not the record expected.

    Attributes:
        reason: What is wrong, in half a sentence.
        cut: Whether the text seems to be cut off at its end.
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
        if isinstance(failure, RecursionError):
            return _parts(text, b"[")
        raise meaning(failure)
    try:
        raws = _ELEMENTS.decode(masked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        failure = error
    else:
        return _cut_like(text, [len(memoryview(raw)) for raw in raws])
    if isinstance(failure, RecursionError):
        return _parts(text, b"[")
    raise meaning(failure)


def count_elements(text: bytes) -> int:
    """The number of elements of a JSON array, without copying them."""
    try:
        return len(_ELEMENTS.decode(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return len(elements(text))


def check_elements(text: bytes) -> None:
    """Raises `Malformed` unless `text` is a JSON array in UTF-8."""
    check_utf8(text)
    try:
        _ELEMENTS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        elements(text)


def raw_members(text: bytes) -> Mapping[str, msgspec.Raw | bytes] | None:
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
        if isinstance(failure, RecursionError):
            return dict(map(_member, _parts(text, b"{")))
        raise meaning(failure)
    try:
        _MEMBERS.decode(masked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        failure = error
    else:
        return None
    if isinstance(failure, RecursionError):
        return dict(map(_member, _parts(text, b"{")))
    raise meaning(failure)


def _parts(text: bytes, opening: bytes) -> list[bytes]:
    """The parts of an array or object that is nested deeper than the parser goes, cut by its brackets alone.

    Parts that the parser can follow are validated; one that it cannot is left to whoever parses it.
    """
    closers: list[bytes] = []
    parts: list[bytes] = []
    start, end = 0, -1
    for match in _STRUCTURE.finditer(text):
        mark = match.group()
        if mark in _CLOSERS:
            closers.append(_CLOSERS[mark])
            if len(closers) == 1:
                start = match.end()
        elif mark in (b"]", b"}"):
            if not closers or closers.pop() != mark:
                raise Malformed("not JSON: brackets do not match")
            if not closers:
                parts.append(text[start : match.start()].strip(WHITESPACE))
                end = match.end()
                break
        elif mark == b"," and len(closers) == 1:
            parts.append(text[start : match.start()].strip(WHITESPACE))
            start = match.end()
    if end < 0:
        raise Malformed("not JSON: it ends in the middle", cut=True)
    if text[:1] != opening or text[end:].strip(WHITESPACE):
        raise Malformed("not the JSON expected here")
    if parts == [b""]:
        return []
    for part in parts:
        _check_part(part, opening)
    return parts


def _check_part(part: bytes, opening: bytes) -> None:
    try:
        if opening == b"[":
            _ELEMENTS.decode(b"[" + part + b"]")
        else:
            _MEMBERS.decode(b"{" + part + b"}")
    except RecursionError:
        return
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if mask_surrogates(part) is None:
            raise meaning(error) from None


def _member(part: bytes) -> tuple[str, bytes]:
    """The key and the value of an object's part."""
    key = _KEY.match(part)
    name = None if key is None else value(mask_surrogates(key[1]) or key[1])
    if key is None or not isinstance(name, str):
        raise Malformed("not JSON: a member without a key")
    return name, part[key.end() :]


def value(text: bytes) -> Any:
    """The Python value of a JSON text: integers of any size, lone surrogates as U+FFFD, no NaN."""
    try:
        found = _VALUE.decode(text)
    except RecursionError as error:
        failure: Exception = error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        check_utf8(text)
        return _patient_value(text)
    else:
        if is_too_deep(found, text):
            raise Malformed(TOO_DEEP)
        return found
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
        return Malformed(TOO_DEEP)
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
        raise Malformed(TOO_DEEP) from None
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
        raise Malformed(f"not JSON: {error.msg} (character {error.pos})", cut=cut) from None
    if is_too_deep(loaded, text):
        raise Malformed(TOO_DEEP)
    return _clean(loaded)


def _no_constant(name: str) -> NoReturn:
    raise Malformed(f"not JSON: {name} is not a JSON value")


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
