"""Parses and checks the API's base URL and prefix as configured."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from meter_pipeline.api.dialect import BY_PREFIX, Dialect
from meter_pipeline.api.errors import MeterConfigError

_HINT = "set METER_BASE_URL to something like https://api.meter.sh"

log = logging.getLogger("meter_pipeline.api")


def parse_address(base_url: str, prefix: str) -> tuple[str, Dialect | None]:
    """Returns the base URL without a trailing slash, and the dialect, None if it is still to be found out.

    A base URL that ends in `/v1` or `/api` names the prefix too. Any other path is where a proxy serves the API.

    Raises:
        MeterConfigError: The base URL or the prefix cannot be used.
    """
    url = _checked(base_url)
    dialect = _dialect(prefix)
    for ending, named in BY_PREFIX.items():
        if url.endswith(ending):
            if dialect is not None and dialect is not named:
                raise MeterConfigError(
                    f"the base URL ends in {ending}, the prefix is {dialect.prefix}",
                    hint="leave the prefix out of METER_BASE_URL",
                )
            return url[: -len(ending)], named
    return url, dialect


def _checked(base_url: str) -> str:
    url = base_url.strip() if isinstance(base_url, str) else ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        shown = "" if "@" in url else f" {url[:100]!r}"
        raise MeterConfigError(f"the base URL{shown} is not an http(s) address", hint=_HINT)
    if parts.query or parts.fragment or parts.username is not None:
        raise MeterConfigError("the base URL has a query, a fragment or a password in it", hint=_HINT)
    if parts.scheme == "http" and not _local(host):
        log.warning("the API key will travel unencrypted to %s: use https", host)
    return url.rstrip("/")


def _dialect(prefix: str) -> Dialect | None:
    name = prefix.strip().strip("/").lower() if isinstance(prefix, str) else ""
    if name == "auto":
        return None
    found = BY_PREFIX.get(f"/{name}")
    if found is None:
        raise MeterConfigError(
            f"the prefix {str(prefix)[:40]!r} is not known", hint="set METER_API_PREFIX to auto, /v1 or /api"
        )
    return found


def _local(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1" or "." not in host
