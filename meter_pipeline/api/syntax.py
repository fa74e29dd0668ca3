"""Parses JSON text into values and into slices: of a text that is not JSON as a whole, the parts that are remain.

`msgspec.Raw` finds where a value begins and ends without building it, and rejects what is not JSON (NaN, bad numbers,
bad escapes), lone surrogates (`"\\ud800"`), which JSON allows and scraped pages contain, and what is nested deeper than
the recursion limit. Such a text is cut by its brackets, commas and strings alone, so that one bad part does not make
the others unreadable: a slice is what stands between two commas, and whoever uses it parses it.
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
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},"]', re.DOTALL)
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
    """The elements of a JSON array, each exactly as it stands in `text`; they need not be JSON by themselves.

    Raises:
        Malformed: It is not an array, or where an element ends is unknown.
    """
    try:
        return list(map(bytes, _ELEMENTS.decode(text)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _parts(text, b"[")


def count_elements(text: bytes) -> int:
    """The number of elements of a JSON array, without copying them."""
    try:
        return len(_ELEMENTS.decode(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return len(elements(text))


def raw_members(text: bytes) -> Mapping[str, msgspec.Raw | bytes]:
    """The members of a JSON object as slices of `text`; the values need not be JSON by themselves.

    Raises:
        Malformed: It is not an object, or where a member ends is unknown.
    """
    try:
        return _MEMBERS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return dict(map(_member, _parts(text, b"{")))


def _parts(text: bytes, opening: bytes) -> list[bytes]:
    """The parts of an array or object, cut by its brackets, commas and strings alone."""
    if text[:1] != opening:
        raise Malformed("not the JSON expected here")
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
            if closers.pop() != mark:
                raise Malformed("not JSON: brackets do not match")
            if not closers:
                parts.append(text[start : match.start()].strip(WHITESPACE))
                end = match.end()
                break
        elif mark == b"," and len(closers) == 1:
            parts.append(text[start : match.start()].strip(WHITESPACE))
            start = match.end()
        elif mark == b'"':
            # A quote without its other one: what is text and what is structure cannot be known.
            break
    if end < 0:
        raise Malformed("not JSON: it ends in the middle", cut=True)
    if text[end:].strip(WHITESPACE):
        raise Malformed("not JSON: text after its end")
    if parts == [b""]:
        return []
    if b"" in parts:
        raise Malformed("not JSON: a comma with no value after it")
    return parts


def _member(part: bytes) -> tuple[str, bytes]:
    """The key and the value of an object's part."""
    key = _KEY.match(part)
    name = None if key is None else value(key[1])
    if key is None or not isinstance(name, str):
        raise Malformed("not JSON: a member without a key")
    return name, part[key.end() :]


def value(text: bytes) -> Any:
    """The Python value of a JSON text: integers of any size, lone surrogates as U+FFFD, no NaN."""
    try:
        found = _VALUE.decode(text)
    except RecursionError:
        raise Malformed(TOO_DEEP) from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        check_utf8(text)
        return _patient_value(text)
    if is_too_deep(found, text):
        raise Malformed(TOO_DEEP)
    return found


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
