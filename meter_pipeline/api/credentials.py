"""The API key, held by one object that signs requests, removes the key from texts and never shows it."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from urllib.parse import quote

import requests
import requests.auth

from meter_pipeline.api.errors import MeterConfigError

SHOWN = "sk_live_***"
# A key shorter than this (Meter's are longer) may be a word of a page: it is removed from errors only, not from data.
_SHORTEST = 12


class Credentials(requests.auth.AuthBase):
    """A bearer key. As a session's `auth` it also keeps a `.netrc` from replacing the header.

    Args:
        key: The key as configured; white space around it is dropped.

    Raises:
        MeterConfigError: There is no key, or it cannot stand in a header.
    """

    __slots__ = ("_spellings", "_value")

    def __init__(self, key: str) -> None:
        key = key.strip() if isinstance(key, str) else ""
        if not key:
            raise MeterConfigError("there is no API key", hint="set METER_API_KEY")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise MeterConfigError(
                "the API key has characters that cannot be in one", hint="check METER_API_KEY for quotes or line breaks"
            )
        self._value = key
        quoted = json.dumps(key)[1:-1]
        spellings = {key, quote(key, safe=""), quoted, quoted.replace("/", "\\/")}
        self._spellings = tuple(spelling.encode() for spelling in spellings)

    def __repr__(self) -> str:
        return f"Credentials({SHOWN})"

    def __reduce__(self) -> str:
        raise TypeError("credentials are not pickled")

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        self.sign(r.headers)
        return r

    def sign(self, headers: MutableMapping[str, str]) -> None:
        """Adds the key as the header that the API expects."""
        headers["Authorization"] = f"Bearer {self._value}"

    def scrub(self, text: bytes) -> bytes:
        """Replaces the key in `text`, in case a server has repeated it."""
        for spelling in self._spellings:
            text = text.replace(spelling, SHOWN.encode())
        return text

    def scrubber(self) -> Scrubber:
        """A new `Scrubber` for one body."""
        return Scrubber(self._spellings if len(self._value) >= _SHORTEST else ())


class Scrubber:
    """Replaces spellings of a key in a text that comes in pieces, also where the key stands across two of them.

    Args:
        spellings: The key as plain text, in a URL, in JSON.
    """

    def __init__(self, spellings: tuple[bytes, ...]) -> None:
        self._spellings = spellings
        self._longest = max(map(len, spellings), default=0)
        self._held = b""

    def __repr__(self) -> str:
        return f"Scrubber({SHOWN})"

    def feed(self, piece: bytes) -> bytes:
        """Adds the next bytes; returns the finished ones, without an end that may be the beginning of the key."""
        text = self._held + piece if self._held else piece
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, SHOWN.encode())
        held = self._beginning(text)
        self._held = text[len(text) - held :] if held else b""
        return text[: len(text) - held] if held else text

    def end(self) -> bytes:
        """Returns the bytes still held back, at the end of the text."""
        held, self._held = self._held, b""
        return held

    def _beginning(self, text: bytes) -> int:
        """The number of bytes at the end of `text` that may be the beginning of a spelling."""
        tail = text[max(0, len(text) - self._longest + 1) :] if self._longest else b""
        longest = 0
        for spelling in self._spellings:
            start = tail.find(spelling[:1])
            while start >= 0 and len(tail) - start > longest:
                if spelling.startswith(tail[start:]):
                    longest = len(tail) - start
                start = tail.find(spelling[:1], start + 1)
        return longest
