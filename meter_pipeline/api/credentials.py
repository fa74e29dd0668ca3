"""The API key, in the one object that knows it: it signs requests, scrubs texts, and shows itself to nobody."""

from __future__ import annotations

from collections.abc import MutableMapping
from urllib.parse import quote

import requests
import requests.auth

from meter_pipeline.api.errors import MeterConfigError

SHOWN = "sk_live_***"


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
        self._spellings = tuple({key.encode(), quote(key, safe="").encode()})

    def __repr__(self) -> str:
        return f"Credentials({SHOWN})"

    def __reduce__(self) -> str:
        raise TypeError("credentials are not pickled")

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        self.sign(r.headers)
        return r

    def sign(self, headers: MutableMapping[str, str]) -> None:
        """Puts the key where the API looks for it."""
        headers["Authorization"] = f"Bearer {self._value}"

    def scrub(self, text: bytes) -> bytes:
        """`text` without the key, should a server have repeated it."""
        for spelling in self._spellings:
            text = text.replace(spelling, SHOWN.encode())
        return text
